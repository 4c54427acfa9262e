import copy
import hashlib
import hmac
import logging
import os
import pickle
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from greencoro.distributed import secret as secret_module
from greencoro.distributed.secret import Secret, generate, load
from greencoro.errors import ConfigError

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "private" / "secret"


@pytest.fixture
def loose_umask():
    previous = os.umask(0)
    yield
    os.umask(previous)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_file_is_made_on_first_use_and_kept(file):
    first = load(None, file=file)
    assert load(None, file=file).key == first.key
    assert not first.is_open
    text = file.read_text()
    assert text.startswith("gc1-") and len(text) == 4 + 56 + 1
    assert load(text.strip()).key == first.key


def test_only_the_user_can_read_what_is_made(tmp_path, loose_umask):
    file = tmp_path / "a" / "b" / "secret"
    load(None, file=file)
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(file)) == (0o700, 0o700, 0o600)


def test_nothing_else_is_left_beside_the_file(file):
    load(None, file=file)
    assert [entry.name for entry in file.parent.iterdir()] == ["secret"]


def test_two_files_hold_two_secrets(tmp_path):
    first, second = (load(None, file=tmp_path / name) for name in ("one", "two"))
    assert first.key != second.key


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_open_to_others_is_refused_with_the_command_that_helps(file, bits):
    load(None, file=file)
    file.chmod(bits)
    with pytest.raises(ConfigError, match=f"chmod 600 {file}"):
        load(None, file=file)


def test_a_symbolic_link_is_refused(file):
    load(None, file=file)
    link = file.with_name("link")
    link.symlink_to(file)
    with pytest.raises(ConfigError, match="symbolic link"):
        load(None, file=link)


def test_a_dangling_symbolic_link_is_refused_and_not_followed(tmp_path):
    target = tmp_path / "elsewhere"
    link = tmp_path / "secret"
    link.symlink_to(target)
    with pytest.raises(ConfigError, match="symbolic link"):
        load(None, file=link)
    assert not target.exists()


@needs_root
def test_a_file_of_somebody_else_is_refused(file):
    load(None, file=file)
    os.chown(file, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        load(None, file=file)


@needs_root
def test_a_directory_of_somebody_else_is_refused(tmp_path):
    directory = tmp_path / "theirs"
    directory.mkdir(0o700)
    os.chown(directory, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        load(None, file=directory / "secret")
    assert list(directory.iterdir()) == []


def test_a_directory_that_others_can_write_is_refused_with_the_command_that_helps(file):
    load(None, file=file)
    file.parent.chmod(0o770)
    with pytest.raises(ConfigError, match=f"chmod go-w {file.parent}"):
        load(None, file=file)
    file.parent.chmod(0o1777)  # sticky: nobody can replace what belongs to others
    load(None, file=file)


def test_no_file_is_made_in_a_directory_that_others_can_write(tmp_path):
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod go-w"):
        load(None, file=directory / "secret")
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / "secret")
    with pytest.raises(ConfigError, match="not a plain file"):
        load(None, file=tmp_path / "secret")


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"x" * 4097])
def test_a_file_that_holds_no_secret_is_refused_rather_than_taken_for_an_open_one(file, content):
    load(None, file=file)
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="one line of text"):
        load(None, file=file)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "in the way").write_text("a file")
    with pytest.raises(ConfigError, match=r"secret file .*in the way"):
        load(None, file=tmp_path / "in the way" / "secret")


def test_neither_secret_nor_file_is_refused():
    with pytest.raises(ConfigError, match="neither"):
        load(None)


RACER = """
import sys, hashlib
from greencoro.distributed.secret import load
print("ready", flush=True)
sys.stdin.readline()
print(hashlib.sha256(load(None, file=sys.argv[1]).key).hexdigest())
"""


def test_processes_that_race_to_make_the_file_agree(file):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(file)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        results = {racer.communicate(timeout=30)[0] for racer in racers}
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert results == {hashlib.sha256(load(None, file=file).key).hexdigest() + "\n"}
    assert [entry.name for entry in file.parent.iterdir()] == ["secret"]


def test_the_loser_of_a_race_takes_what_the_winner_made(file, monkeypatch):
    link = os.link
    winners = []

    def overtaken(*arguments, **keywords):
        monkeypatch.setattr(os, "link", link)
        winners.append(load(None, file=file))
        link(*arguments, **keywords)

    monkeypatch.setattr(os, "link", overtaken)
    assert load(None, file=file).key == winners[0].key
    assert [entry.name for entry in file.parent.iterdir()] == ["secret"]


def test_a_typed_secret_gives_the_same_key_everywhere():
    # Fixed here, because runtimes of different versions and machines must agree on it.
    expected = hashlib.scrypt(
        b"correct horse battery", salt=b"greencoro typed secret 1", n=32768, r=8, p=1, maxmem=1 << 27, dklen=32
    )
    assert load("correct horse battery").key == expected
    assert load("Correct horse battery").key != expected


def test_two_spellings_of_one_letter_are_one_secret():
    assert load("na\u00efvet\u00e9 na\u00efve").key == load("nai\u0308vete\u0301 nai\u0308ve").key


def test_a_typed_secret_may_be_kept_in_a_file(file):
    load(None, file=file)
    file.write_text("correct horse battery\n")
    assert load(None, file=file).key == load("correct horse battery").key


def test_a_short_typed_secret_is_warned_about_once(caplog):
    secret_module._warn_of_short.cache_clear()
    with caplog.at_level(logging.WARNING, "greencoro"):
        load("tiny-secret")
        load("tiny-secret")
        load("twelve chars")
        load(generate())
    (warning,) = caplog.records
    assert "fewer than 12 characters" in warning.getMessage()
    assert warning.getMessage().endswith("; leave it out to use the generated one")
    assert "tiny-secret" not in caplog.text


def test_of_a_short_secret_in_a_file_it_is_said_what_to_do_with_the_file(file, caplog):
    load(None, file=file)
    file.write_text("too short\n")
    load(None, file=file)
    assert caplog.messages[-1].endswith(f"; remove {file}, and a better one is generated")
    assert "too short" not in caplog.text


def test_a_short_typed_secret_is_also_told_to_those_who_set_up_no_logging(monkeypatch, capsys):
    monkeypatch.setattr("greencoro.hub.telling._is_heard", lambda logger: False)
    load("too short 2")
    assert capsys.readouterr().err.startswith("greencoro: the secret has fewer than 12 characters: ")


def test_generated_secrets_differ_and_need_no_stretching(monkeypatch):
    monkeypatch.setattr(secret_module, "_stretch", None)
    assert load(generate()).key != load(generate()).key


def test_a_generated_secret_may_be_copied_in_capitals():
    text = generate()
    assert load(text.upper()).key == load(text).key


@pytest.mark.parametrize(
    "damage", [lambda t: t[:-1], lambda t: t + "a", lambda t: t[:10] + "0" + t[11:], lambda t: "gc1-"]
)
def test_a_generated_secret_copied_wrongly_is_refused_without_showing_it(damage):
    text = damage(generate())
    with pytest.raises(ConfigError, match="copy it again") as caught:
        load(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert len(text) < 10 or text[5:] not in shown


def test_every_changed_character_of_a_generated_secret_is_noticed():
    text = generate()
    for index in range(4, len(text)):
        swapped = text[:index] + ("a" if text[index] != "a" else "b") + text[index + 1 :]
        with pytest.raises(ConfigError):
            load(swapped)


def test_the_empty_text_is_open_mode_and_so_is_its_key_in_a_child():
    secret = load("")
    assert secret.is_open and secret.fingerprint == "open"
    assert secret.key == bytes(32)
    assert Secret.from_key(secret.key).is_open
    assert len(secret.psk()) == 32


def test_a_child_with_the_key_has_the_same_secret():
    secret = load(generate())
    child = Secret.from_key(secret.key)
    assert (child.psk(), child.discovery_key(), child.fingerprint) == (
        secret.psk(),
        secret.discovery_key(),
        secret.fingerprint,
    )


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(key):
    with pytest.raises(ValueError, match="32 bytes"):
        Secret.from_key(key)


def test_each_purpose_has_a_key_of_its_own():
    secret = load(generate())
    assert len({secret.key, secret.psk(), secret.discovery_key()}) == 3


def test_fingerprints_tell_secrets_apart_and_are_stable():
    key = b"\1" * 32
    # HKDF (RFC 5869) written out: people compare fingerprints made by different versions.
    expanded = hmac.digest(hmac.digest(bytes(32), key, "sha256"), b"greencoro 1 fingerprint\1", "sha256").hex()
    assert Secret(key).fingerprint == f"{expanded[:4]}-{expanded[4:8]}-{expanded[8:12]}"
    assert len({Secret(bytes((number,)) * 32).fingerprint for number in range(1, 100)}) == 99


def test_a_secret_never_shows():
    text = generate()
    secret = load(text)
    forms = [
        str(secret),
        repr({"settings": [secret]}),
        f"{secret}",
    ]
    try:
        raise RuntimeError(secret)
    except RuntimeError as err:
        forms.append("".join(traceback.format_exception(err)))
    for form in forms:
        assert secret.fingerprint in form
        for hidden in (text, text[4:20], secret.key.hex(), repr(secret.key), secret.psk().hex()):
            assert hidden not in form


def test_a_secret_among_the_locals_of_a_traceback_does_not_show():
    def fail(kept):
        raise RuntimeError("failed")

    secret = load(generate())
    try:
        fail(secret)
    except RuntimeError as err:
        shown = "".join(traceback.TracebackException.from_exception(err, capture_locals=True).format())
    assert "kept = <Secret " in shown
    assert repr(secret.key) not in shown and secret.key.hex() not in shown


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_secret_is_not_pickled_or_copied(duplicate):
    secret = load(generate())
    with pytest.raises(TypeError, match="not pickled"):
        duplicate(secret)


def test_a_secret_has_no_attributes_to_dump():
    with pytest.raises(TypeError):
        vars(load(generate()))


def test_what_is_logged_when_a_file_is_made_does_not_show_the_secret(file, caplog):
    with caplog.at_level(logging.DEBUG, "greencoro"):
        load(None, file=file)
    assert str(file) in caplog.text
    assert file.read_text().strip()[4:] not in caplog.text
