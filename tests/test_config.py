import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro import config
from greencoro.config import Settings
from greencoro.errors import ConfigError

DEFAULTS = Settings()
SETTINGS = list(config.describe())


def file_with(tmp_path, text):
    path = tmp_path / "greencoro.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_those_of_the_promises():
    assert (DEFAULTS.tick_seconds, DEFAULTS.peer_timeout_seconds) == (5, 20)
    assert (DEFAULTS.handshake_seconds, DEFAULTS.max_handshake_frame_bytes) == (5, 4096)
    assert (DEFAULTS.max_unauthenticated, DEFAULTS.max_unauthenticated_per_address) == (64, 16)
    assert (DEFAULTS.max_queue_messages, DEFAULTS.max_queue_bytes) == (10_000, 64 * 2**20)
    assert (DEFAULTS.max_message_bytes, DEFAULTS.chunk_bytes) == (64 * 2**20, 256 * 2**10)
    assert (DEFAULTS.connect_timeout_seconds, DEFAULTS.log_lines_per_second) == (5, 10)
    assert DEFAULTS.max_blocked_seconds == 5


def test_an_empty_environment_and_no_file_give_the_defaults():
    assert Settings.from_env({}) == DEFAULTS


def test_the_environment_of_the_process_is_read_where_none_is_given(monkeypatch):
    monkeypatch.setenv("GREENCORO_TICK_SECONDS", "0.25")
    assert Settings.from_env().tick_seconds == 0.25


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_every_default_can_be_written_in_the_environment_and_in_a_file(setting, tmp_path):
    assert Settings.from_env({setting.environment_variable: setting.default}) == DEFAULTS
    assert Settings.from_env({}, file_with(tmp_path, f"{setting.name} = '{setting.default}'")) == DEFAULTS


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_a_setting_is_described_and_its_variable_is_its_name(setting):
    assert setting.environment_variable == f"GREENCORO_{setting.name.upper()}"
    assert setting.doc.endswith(".") and setting.allowed


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path):
    file = file_with(tmp_path, "tick_seconds = 1\npeer_timeout_ticks = 6")
    settings = Settings.from_env({"GREENCORO_TICK_SECONDS": "2"}, file)
    assert (settings.tick_seconds, settings.peer_timeout_ticks, settings.handshake_seconds) == (2, 6, 5)


def test_a_variable_that_is_set_but_empty_counts_as_not_set():
    assert Settings.from_env({"GREENCORO_TICK_SECONDS": " "}) == DEFAULTS


def test_a_whole_number_of_seconds_becomes_a_float():
    assert isinstance(Settings(tick_seconds=1).tick_seconds, float)


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("8 KiB", 8192), ("8kib", 8192), ("1MiB", 2**20), ("65_536 B", 65_536)]
)
def test_bytes_may_be_written_with_a_unit(text, size):
    assert Settings.from_env({"GREENCORO_CHUNK_BYTES": text}).chunk_bytes == size


@settings(deadline=None)
@given(st.integers(0, 2**50))
def test_a_shown_number_of_bytes_reads_back(size):
    assert config._read_bytes(config._show_bytes(size)) == size


def test_send_waits_as_long_as_the_peer_timeout_unless_told_otherwise():
    assert Settings(tick_seconds=0.5).effective_send_timeout_seconds == 2
    assert Settings(send_timeout_seconds=0).effective_send_timeout_seconds == 0


def test_the_secret_is_in_the_configuration_directory_of_the_user_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert DEFAULTS.secret_path == tmp_path / "greencoro" / "secret"
    assert Settings.from_env({"GREENCORO_SECRET_FILE": "~/s"}).secret_path == Path.home() / "s"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"GREENCORO_TICK_SECONDS": "soon"},
            "tick_seconds is 'soon' in the environment as GREENCORO_TICK_SECONDS, "
            "but must be a number of seconds from 0.01 to 3600",
        ),
        (
            {"GREENCORO_MAX_QUEUE_MESSAGES": "0"},
            "max_queue_messages is 0 in the environment as GREENCORO_MAX_QUEUE_MESSAGES, "
            "but must be a whole number from 1 to 100000000",
        ),
        (
            {"GREENCORO_CHUNK_BYTES": "2 MiB"},
            "chunk_bytes is 2097152 in the environment as GREENCORO_CHUNK_BYTES, "
            "but must be a number of bytes from 4 KiB to 1 MiB",
        ),
        (
            {"GREENCORO_MAX_MESSAGE_BYTES": "128 MiB"},
            "max_message_bytes is 128 MiB in the environment as GREENCORO_MAX_MESSAGE_BYTES, "
            "more than max_queue_bytes, which is 64 MiB by default: "
            "a message of full size would never find room in the queue",
        ),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(environ, sentence):
    with pytest.raises(ConfigError) as refused:
        Settings.from_env(environ)
    assert str(refused.value) == sentence


def test_settings_made_in_a_program_are_checked_as_well():
    with pytest.raises(
        ConfigError, match=r"by default, more than max_unauthenticated, which is 1 as given to Settings: one"
    ):
        Settings(max_unauthenticated=1)


def test_peers_that_would_be_lost_between_two_heartbeats_are_refused():
    with pytest.raises(ConfigError, match=r"peer_timeout_ticks is 1 .* would be lost between two heartbeats"):
        Settings(peer_timeout_ticks=1)


def test_the_watchdog_can_be_turned_off_and_has_a_shortest_time():
    assert Settings.from_env({"GREENCORO_MAX_BLOCKED_SECONDS": "none"}).max_blocked_seconds is None
    with pytest.raises(ConfigError, match=r"max_blocked_seconds is 0 .* from 0.05 to 86400, or none"):
        Settings(max_blocked_seconds=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, True, None, "1"])
def test_what_is_no_sensible_number_of_seconds_is_refused(value):
    with pytest.raises(ConfigError, match="tick_seconds is "):
        Settings(tick_seconds=value)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_numbers_that_are_no_length_of_time_are_refused_in_the_environment(text):
    with pytest.raises(ConfigError, match="tick_seconds is "):
        Settings.from_env({"GREENCORO_TICK_SECONDS": text})


@pytest.mark.parametrize("value", [1.5, True, "64", None])
def test_a_count_must_be_a_whole_number(value):
    with pytest.raises(ConfigError, match="max_unauthenticated is "):
        Settings(max_unauthenticated=value)


def test_an_unknown_key_names_the_nearest_setting(tmp_path):
    file = file_with(tmp_path, "tick_second = 1")
    with pytest.raises(
        ConfigError, match=r"^'tick_second' in .*greencoro\.toml is no setting; did you mean tick_seconds\?$"
    ):
        Settings.from_env({}, file)


def test_an_unknown_key_that_resembles_nothing_points_to_the_list(tmp_path):
    with pytest.raises(ConfigError, match=r"is no setting; `python -m greencoro\.config` lists them"):
        Settings.from_env({}, file_with(tmp_path, "[zzz]\nx = 1"))


def test_a_wrong_type_in_a_file_names_the_file(tmp_path):
    file = file_with(tmp_path, "tick_seconds = [1]")
    with pytest.raises(ConfigError, match=rf"^tick_seconds is \[1\] in {file}, but must be a number of seconds"):
        Settings.from_env({}, file)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*none\.toml: No such file"):
        Settings.from_env({}, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"greencoro\.toml is not TOML"):
        Settings.from_env({}, file_with(tmp_path, "tick_seconds : 1"))


def test_a_variable_of_ours_that_is_no_setting_is_warned_about(caplog):
    with caplog.at_level(logging.WARNING, "greencoro.config"):
        Settings.from_env({"GREENCORO_TICK_SECOND": "1", "OTHER": "x"})
    assert caplog.messages == [
        "'GREENCORO_TICK_SECOND' is set, but is no setting; did you mean GREENCORO_TICK_SECONDS?"
    ]


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        DEFAULTS.tick_seconds = 1


def run_module(**environ):
    return subprocess.run(
        [sys.executable, "-m", "greencoro.config"], env=environ, capture_output=True, text=True, timeout=30
    )


def test_the_module_prints_every_setting_with_its_value_here():
    done = run_module(GREENCORO_TICK_SECONDS="0.5")
    assert done.returncode == 0
    assert "tick_seconds = 0.5  (default 5)" in done.stdout
    assert all(s.name in done.stdout and s.doc in done.stdout for s in SETTINGS)


def test_the_module_says_what_is_wrong_in_one_line_and_fails():
    done = run_module(GREENCORO_TICK_SECONDS="x")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


READS_TWICE = "import greencoro.log; from greencoro import Settings; Settings.from_env(); Settings.from_env()"


@pytest.mark.parametrize(
    ("program", "before"),
    [
        (READS_TWICE, "greencoro: "),
        ("import logging; logging.basicConfig(); " + READS_TWICE, "WARNING:greencoro.config:"),
        ("from greencoro import Coro; Coro(print)", "greencoro: "),
    ],
)
def test_a_mistyped_variable_of_the_process_is_told_once_whether_or_not_there_is_logging(program, before):
    environ = {"PYTHONPATH": str(Path(__file__).parent.parent), "GREENCORO_MAX_BLOCKED_SECOND": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=30)
    line = "'GREENCORO_MAX_BLOCKED_SECOND' is set, but is no setting; did you mean GREENCORO_MAX_BLOCKED_SECONDS?\n"
    assert (done.returncode, done.stderr) == (0, before + line)


def test_a_mistyped_variable_is_no_matter_where_nobody_can_be_told():
    program = "import sys; sys.stderr.close(); from greencoro import Settings; Settings.from_env(); sys.exit(3)"
    environ = {"PYTHONPATH": str(Path(__file__).parent.parent), "GREENCORO_MAX_BLOCKED_SECOND": "1"}
    assert subprocess.run([sys.executable, "-c", program], env=environ, timeout=30).returncode == 3
