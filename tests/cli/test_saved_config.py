"""Options of a command in a file."""

import os
import stat

import click
import pytest

from greencoro.cli.calling import run_command
from greencoro.cli.saved_config import config_option, given, save, save_option
from greencoro.errors import ConfigError


@pytest.fixture
def run():
    """Runs a command with some options, in a directory of its own: its exit code, and what it found."""

    @click.pass_context
    def callback(context, /, **values):
        if values["save_config"] is not None:
            save(values["save_config"], {name: each for name, each in given(context).items() if name != "save_config"})
        return dict(values)

    options = [
        click.Option(["-c", "--count"], type=int, default=0),
        click.Option(["--word"]),
        click.Option(["--many"], multiple=True),
        click.Option(["--on"], is_flag=True),
        click.Option(["-s", "--secret"]),
        save_option(),
        config_option(),
    ]
    command = click.Command("program", params=options, callback=callback)

    def run(*arguments):
        return run_command(command, "program", [str(each) for each in arguments])

    return run


def test_saved_options_are_those_given_again(run, tmp_path):
    file = tmp_path / "file"
    asked = ["-c", "-3", "--word", "a = %(b)s; # c", "--many", "x=1", "--many", "y z", "--on"]
    run(*asked, "--save_config", file)
    assert run("--config", file) == run(*asked)


def test_command_line_wins(run, tmp_path):
    file = tmp_path / "file"
    run("-c", "5", "--word", "saved", "--many", "x", "--save_config", file)
    found = run("--config", file, "-c", "7", "--many", "y")
    assert (found["count"], found["word"], found["many"]) == (7, "saved", ("y",))
    assert run("-c", "7", "--config", file)["count"] == 7, "in either order"


def test_only_what_was_given_is_saved(run, tmp_path):
    file = tmp_path / "file"
    run("--word", "x", "--save_config", file)
    assert file.read_text() == "[DEFAULT]\nword = x\n\n"


def test_options_from_a_file_are_saved_with_those_added(run, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run("-c", "5", "--save_config", first)
    run("--config", first, "--word", "x", "--save_config", second)
    assert run("--config", second) == run("-c", "5", "--word", "x")


def test_S5_file_is_for_its_owner_alone_whatever_the_umask_and_what_was_there(run, tmp_path):
    file = tmp_path / "file"
    file.write_text("older")
    file.chmod(0o644)
    before = os.umask(0)
    try:
        run("-c", "5", "--save_config", file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file], "nothing else is left"


def test_file_by_hand(run, tmp_path):
    file = tmp_path / "file"
    file.write_text("# for all nodes\n[DEFAULT]\nCount: 4\non = yes\nword =\nmany =\n   a\n\n   b\n")
    found = run("--config", file)
    assert (found["count"], found["on"], found["word"], found["many"]) == (4, True, None, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[DEFAULT]\ncount = many\n", "count: 'many' is not a valid integer"),
        ("[DEFAULT]\non = perhaps\n", "on: 'perhaps' is not a valid boolean"),
        ("[DEFAULT]\ncounts = 1\n", "there is no option counts"),
        ("[DEFAULT]\nconfig = other\n", "there is no option config"),
        ("[DEFAULT]\nsave_config = other\n", "there is no option save_config"),
        ("[DEFAULT]\nsecret = abc\n", "a file of its own"),
        ("[node]\ncount = 1\n", "not [node]"),
        ("count = 1\n", "contains no section headers"),
        ("[DEFAULT]\ncount = 1\ncount = 2\n", "already exists"),
        ("\udcff", "decode"),
        (None, "No such file"),
    ],
)
def test_Z4_file_that_cannot_be_used_is_named_and_why(run, tmp_path, capsys, text, says):
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text, errors="surrogateescape")
    assert run("--config", file) == 2
    told = capsys.readouterr().err
    assert str(file) in told
    assert says in told
    assert "abc" not in told, "S5"


def test_Z4_file_that_cannot_be_written_is_named_and_why(tmp_path):
    with pytest.raises(ConfigError, match="No such file or directory"):
        save(tmp_path / "nowhere" / "file", {"count": 1})
