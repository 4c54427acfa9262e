"""examples/analyse_sources.py as a whole, on real server processes."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

from tests.support.examples import EXAMPLES, program_environment, run_program
from tests.support.polling import poll_until
from tests.support.terminal import AtTerminal

pytestmark = pytest.mark.cluster

#: Two seconds are promised; a machine that does other things as well is given more. What misses it computes for longer.
END = 10

DEMO = EXAMPLES / "analyse_sources.py"
LAST_LINE = re.compile(
    r"demo: (\d+) files on (\d+) servers, all results verified, (\d+\.\d) s \(sequential (\d+\.\d) s\)"
)
#: The source of a file that takes a while to analyse.
LARGE = "".join(
    f"def f{number}(a, b=[1, 2, 3], *c):\n    return [x + a for x in b if x > {number}]\n" for number in range(4000)
)


@pytest.fixture
def environment(tmp_path):
    """For the demo: a secret of the test's own, and a mark by which every process that comes of it is known."""
    marked = program_environment(GREENCORO_SECRET_FILE=str(tmp_path / "private/secret"), DEMO_TEST=uuid.uuid4().hex)
    yield marked
    for process in processes_of(marked):
        process.kill()


def processes_of(environment):
    """Every live process with this environment's mark, whatever became of its parent or group."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DEMO_TEST") == environment["DEMO_TEST"]:
                found.append(process)
        except psutil.Error:
            continue  # it ended, or is a zombie, or is not ours
    return found


def assert_nothing_runs(environment):
    poll_until(lambda: not processes_of(environment), END, "no process of the demo is left")


@pytest.fixture
def demonstrate(environment):
    def demonstrate(*arguments, program=DEMO, **options):
        ended = run_program(program, *arguments, **environment, **options)
        assert_nothing_runs(environment)
        return ended

    return demonstrate


@pytest.fixture
def sources(tmp_path):
    """A directory with a few files that can be analysed."""
    directory = tmp_path / "sources"
    directory.mkdir()
    for number in range(5):
        (directory / f"m{number}.py").write_text(f"def f{number}():\n    return {number}\n")
    return directory


@pytest.fixture
def large_sources(tmp_path):
    """One that takes two servers many seconds."""
    directory = tmp_path / "large"
    directory.mkdir()
    for number in range(200):
        (directory / f"m{number}.py").write_text(LARGE)
    return directory


def test_a_package_of_the_standard_library_is_verified(demonstrate):
    package = Path(asyncio.__file__).parent
    count = len(list(package.glob("*.py")))
    ended = demonstrate(package)
    assert (ended.returncode, ended.stderr) == (0, "")
    files, servers, *_ = LAST_LINE.fullmatch(ended.stdout.splitlines()[-1]).groups()
    assert (int(files), int(servers)) == (count, len(os.sched_getaffinity(0)))
    modules, per_server = ended.stdout.split("The servers")
    assert len(re.findall(r"\b\w+\.py\b", modules)) == 10
    assert "base_events.py" in modules
    # server, process, jobs, files, lines, functions, messages, seconds
    rows = [
        [cell.strip().replace(",", "") for cell in line.split("│")[1:-1]]
        for line in per_server.splitlines()
        if line.startswith("│")
    ]
    assert len(rows) == int(servers)
    assert sum(int(row[3]) for row in rows) == count
    assert sum(int(row[6]) for row in rows) == count  # each file was told about while its job went on
    assert "\x1b" not in ended.stdout


def test_there_is_one_server_for_each_cpu_that_it_may_use(demonstrate, sources):
    program = (
        "import os, sys\n"
        f"os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    ended = demonstrate(program, DEMO, sources, program="-c")
    assert LAST_LINE.fullmatch(ended.stdout.splitlines()[-1])[2] == "1"


def test_bad_files_are_named_and_counted_and_the_rest_is_analysed(demonstrate, sources):
    (sources / "bad.py").write_text("def f(:\n")
    (sources / "gone.py").symlink_to(sources / "nowhere")
    ended = demonstrate(sources)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "2 of the files could not be analysed:\n" in ended.stdout
    assert "  bad.py: cannot be parsed: invalid syntax (line 1)\n" in ended.stdout
    assert "  gone.py: cannot be read: No such file or directory\n" in ended.stdout
    assert LAST_LINE.fullmatch(ended.stdout.splitlines()[-1])[1] == "7"


def test_a_directory_that_does_not_exist_gives_code_2_and_one_line(demonstrate, tmp_path):
    ended = demonstrate(tmp_path / "nowhere")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"demo: {tmp_path}/nowhere does not exist\n")


def test_an_empty_directory_gives_one_line_that_claims_nothing(demonstrate, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = demonstrate(empty)
    line = f"demo: there is no Python file in {empty}, so nothing was verified\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, line, "")


@pytest.fixture
def altered_demo(tmp_path):
    """A program that is the demo with some of its functions replaced."""

    def write(replacements):
        program = tmp_path / "altered_demo.py"
        program.write_text(
            f"import sys\nsys.path.insert(0, {str(EXAMPLES)!r})\nimport analyse_sources as demo\n"
            f"{replacements}\nsys.exit(demo.main())\n"
        )
        return program

    return write


def test_one_result_that_differs_gives_code_1_and_a_line_that_names_it(demonstrate, altered_demo, sources):
    # What the servers run is as ever; only this side's idea of what is right is another.
    program = altered_demo(
        "import dataclasses\n"
        "right = demo.run_sequentially\n"
        "def run_sequentially(paths):\n"
        "    results = right(paths)\n"
        f"    path = {str(sources / 'm3.py')!r}\n"
        "    results[path] = dataclasses.replace(results[path], sha256='0' * 64)\n"
        "    return results\n"
        "demo.run_sequentially = run_sequentially\n"
    )
    ended = demonstrate(sources, program=program)
    assert (ended.returncode, ended.stderr) == (1, "")
    *_, differs, last = ended.stdout.splitlines()
    assert re.fullmatch(rf"differs: {sources}/m3\.py: sha256 '\w{{64}}', sequentially '0{{64}}'", differs)
    assert re.match(r"demo: 5 files on \d+ servers, results that differ from the sequential run: 1, ", last)


def test_a_server_that_dies_gives_code_1_and_names_the_files_without_a_result(demonstrate, altered_demo, sources):
    program = altered_demo(
        "import os, signal\n"
        "def deadly(paths, progress, coro=None):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "demo.analyse_batch = deadly\n"
    )
    ended = demonstrate(sources, program=program)
    assert ended.returncode == 1
    differs = [line for line in ended.stdout.splitlines() if line.startswith("differs: ")]
    assert len(differs) == 5
    assert all(": no result: ServerDied: " in line and "SIGKILL" in line for line in differs)


def test_at_a_terminal_a_bar_is_drawn_and_the_cursor_comes_back(environment, sources):
    with AtTerminal([sys.executable, str(DEMO), str(sources)], environment | {"TERM": "xterm"}) as demo:
        assert demo.wait(30) == 0
    assert re.search(r"analysing.*5/5.*files", demo.output)
    assert demo.output.rindex("\x1b[?25h") > demo.output.rindex("\x1b[?25l")
    assert LAST_LINE.fullmatch(demo.output.splitlines()[-1])
    assert_nothing_runs(environment)


@pytest.mark.parametrize(
    "reached",
    ["analysing", r"[1-9]\d*/200", "checking every result"],
    ids=["while servers start", "while servers compute", "while it checks"],
)
def test_ctrl_c_ends_everything_at_once(environment, large_sources, altered_demo, reached):
    program = DEMO
    if reached.startswith("checking"):
        # The servers' part is over at once, so that the check is what is interrupted.
        program = altered_demo(
            "def run_on_servers(batches, progress):\n"
            "    return [], [ValueError()] * len(batches), 0.0\n"
            "demo.run_on_servers = run_on_servers\n"
        )
    with AtTerminal([sys.executable, str(program), str(large_sources)], environment | {"TERM": "xterm"}) as demo:
        demo.read_until(lambda output: re.search(reached, output), 30)
        demo.type("\x03")
        assert demo.wait(END) == 130
        assert_nothing_runs(environment)
    assert "Traceback" not in demo.output
    assert demo.output.endswith("demo: interrupted\r\n")
    assert demo.output.rfind("\x1b[?25h") >= demo.output.rfind("\x1b[?25l")


def test_ctrl_c_that_gets_lost_in_a_callback_ends_it_all_the_same(environment, sources, altered_demo):
    program = altered_demo(
        "import time\n"
        "def run_on_servers(batches, progress):\n"
        "    while True:\n"
        "        try:\n"
        "            print('here', flush=True)\n"
        "            time.sleep(60)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
        "demo.run_on_servers = run_on_servers\n"
    )
    with AtTerminal([sys.executable, str(program), str(sources)], environment | {"TERM": "dumb"}) as demo:
        demo.read_until(lambda output: "here" in output, 30)
        demo.type("\x03")
        assert demo.wait(END) == 130
    assert demo.output.endswith("\x1b[?25hdemo: interrupted\r\n")


#: On a busy machine the end takes longer than it may, and is cut off.
@pytest.mark.parametrize(
    "alteration",
    ["", "demo.LONGEST_END_SECONDS = 0.0001\n", "import atexit, time\natexit.register(time.sleep, 60)\n"],
    ids=["", "cut off before it was said", "cut off after it was said"],
)
def test_sigint_without_a_terminal_gives_130_too(environment, large_sources, altered_demo, alteration):
    with subprocess.Popen(
        [sys.executable, altered_demo(alteration), large_sources],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        poll_until(lambda: len(processes_of(environment)) > 3, 20, "the servers run")
        demo.send_signal(signal.SIGINT)
        demo.send_signal(signal.SIGINT)  # as `timeout` does, which tells the process and then its group
        _, errors = demo.communicate(timeout=END)
        assert_nothing_runs(environment)
    assert (demo.returncode, errors) == (130, "demo: interrupted\n")


def test_nothing_is_left_after_the_demo_is_killed(environment, large_sources):
    with subprocess.Popen([sys.executable, DEMO, large_sources], env=environment, stdout=subprocess.PIPE) as demo:
        poll_until(lambda: len(processes_of(environment)) > 3, 20, "the servers run")
        demo.kill()
        assert_nothing_runs(environment)


def test_a_reader_who_goes_away_gets_no_traceback(environment, large_sources):
    shutil.rmtree(large_sources)
    large_sources.mkdir()
    for number in range(200):
        (large_sources / f"bad{number}.py").write_text("(" * 1000)
    command = f"'{sys.executable}' '{DEMO}' '{large_sources}' | head -n 1"
    ended = subprocess.run(
        command, shell=True, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""
    assert_nothing_runs(environment)
