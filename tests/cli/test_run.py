import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.conftest import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def start(directory, *words, command=("-m", "greencoro", "run"), **options):
    return subprocess.Popen(
        [sys.executable, *command, *map(str, words)],
        cwd=directory,
        env={**ENVIRONMENT, **options.pop("env", {})},
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def outcome(process):
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, out, err


def run(directory, *words):
    return outcome(start(directory, *words))


def python(directory, *words):
    return outcome(start(directory, *words, command=()))


@pytest.fixture
def write(tmp_path):
    def write_file(source, name="prog.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    return write_file


LOOKS = """
import os, sys
print(__name__, __file__, __package__, __spec__ and __spec__.name, sys.argv, sys.path[0], __cached__, __doc__)
print(__loader__.__class__.__name__, sys.modules["__main__"].__dict__ is globals(), __builtins__)
"""


@pytest.mark.parametrize(
    "words",
    [
        ("prog.py", "one", "--two", "-m"),
        ("./sub/../prog.py",),
        ("sub/link.py",),
        ("pkg",),
        ("-m", "prog", "x"),
        ("-m", "pkg", "-c"),
        ("-m", "pkg.inner"),
    ],
)
def test_a_program_finds_everything_as_under_python(tmp_path, write, words):
    write(LOOKS)
    write(LOOKS, "pkg/__main__.py")
    write("", "pkg/__init__.py")
    write(LOOKS, "pkg/inner.py")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link.py").symlink_to("../prog.py")
    assert run(tmp_path, *words) == python(tmp_path, *words)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", 0),
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("raise SystemExit('no')", 1),
        ("def f():\n    1/0\nf()", 1),
        ("import nothing_of_this_name", 1),
        ("try:\n    1/0\nexcept ZeroDivisionError:\n    raise ValueError('x') from None", 1),
        ("try:\n    1/0\nexcept ZeroDivisionError:\n    raise ValueError('x')", 1),
        ("x = = 1", 1),
        ("import sys\nsys.excepthook = lambda kind, *_: print('mine', kind)\n1/0", 1),
        ("import os, atexit\natexit.register(print, 'bye')\nprint('out')", 0),
        ("# coding: latin-1\nprint(ascii('\xe4'))", 0),
    ],
)
def test_a_program_ends_as_under_python_with_the_same_words(tmp_path, write, source, code):
    Path(tmp_path, "prog.py").write_bytes(source.encode("latin-1"))
    assert run(tmp_path, "prog.py") == python(tmp_path, "prog.py")
    assert run(tmp_path, "prog.py")[0] == code


def test_an_error_in_a_module_run_by_name_shows_the_programs_frames_only(tmp_path, write):
    write("def f():\n    1/0\nf()")
    code, _, err = run(tmp_path, "-m", "prog")
    assert code == 1 and err.count("File ") == 2 and "greencoro" not in err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("gone.py",), "greencoro run: cannot read gone.py: No such file or directory"),
        (("empty",), "greencoro run: empty is a directory without a __main__.py"),
        (("-m", "no_such_module"), "greencoro run: there is no module no_such_module"),
        (("-m", "no_such_package.module"), "greencoro run: there is no module no_such_package.module"),
        (("-m", "..up"), "greencoro run: there is no module ..up"),
        (("-m", "math"), "greencoro run: the module math is not written in Python, and cannot be run"),
        ((), "greencoro run: which program?"),
        (("-m",), "greencoro run: which program?"),
        (("-x", "prog.py"), "greencoro run: there is no option -x"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(tmp_path, words, line):
    (tmp_path / "empty").mkdir()
    code, out, err = run(tmp_path, *words)
    assert (code, out, err.splitlines()[0]) == (2, "", line)
    assert len(err.splitlines()) <= 2


def test_help_tells_how_it_is_called(tmp_path):
    code, out, _ = run(tmp_path, "--help")
    assert code == 0 and out.startswith("usage: greencoro run PROGRAM.py")
    code, out, _ = outcome(start(tmp_path, "--help", command=("-m", "greencoro")))
    assert code == 0 and "run " in out and "node " in out


OTHERS_GO_ON = """
import http.server, os, socket, subprocess, sys, threading, time, urllib.request
from greencoro import Coro, sleep

count = 0
def counts():
    global count
    while True:
        sleep(0.01)
        count += 1

def url():
    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(0.4)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"answer")
        def log_message(self, *args):
            pass
    with http.server.HTTPServer(("127.0.0.1", 0), Slow) as server:
        serves = threading.Thread(target=server.handle_request)
        serves.start()
        assert urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}").read() == b"answer"
        serves.join()

def sockets():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.4)
        try:
            server.accept()
        except TimeoutError:
            pass

WAITS = [
    lambda: time.sleep(0.4),
    url,
    sockets,
    lambda: threading.Event().wait(0.4),
]
if "subprocess" in sys.argv:
    SLEEPS = [sys.executable, "-c", "import time; time.sleep(0.4); print('awake')"]
    WAITS += [
        lambda: subprocess.run(SLEEPS, check=True, stdout=subprocess.DEVNULL),
        lambda: subprocess.check_output(SLEEPS, text=True) == "awake\\n" or sys.exit("not awake"),
    ]
Coro(counts).set_daemon()
def others_go_on(wait):
    before = count
    Coro(wait).value()
    return count - before >= 10

for wait in WAITS:
    # Once is enough: a machine that does other things as well may let few of them have their turn.
    print(any(others_go_on(wait) for _ in range(10)))
"""


@pytest.mark.parametrize("command", ["greencoro run", "patches itself", "both"])
def test_blocking_calls_of_the_standard_library_let_others_go_on(tmp_path, write, command):
    write(("" if command == "greencoro run" else "from gevent import monkey; monkey.patch_all()\n") + OTHERS_GO_ON)
    if command == "patches itself":
        assert python(tmp_path, "prog.py") == (0, "True\n" * 4, "")
    else:
        assert run(tmp_path, "prog.py", "subprocess") == (0, "True\n" * 6, "")


def test_coroutines_that_outlive_the_script_find_its_main_module(tmp_path, write):
    write(
        "import sys\nfrom greencoro import Coro, sleep\nclass Thing: pass\n"
        "def late():\n    sleep(0.2)\n    import pickle\n    pickle.loads(pickle.dumps(Thing()))\n"
        "    print(sys.modules['__main__'].Thing is Thing)\n"
        "Coro(late)\n"
    )
    assert run(tmp_path, "prog.py") == (0, "True\n", "")


@pytest.mark.parametrize(
    "waits",
    [
        "ready(); time.sleep(30)",
        "Coro(waits).value()",
        "Coro(waits)",
        "ready()\nwhile True: pass",
    ],
)
def test_ctrl_c_ends_it_with_130(tmp_path, write, waits):
    write(
        "import signal, time\nfrom greencoro import Coro\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        # On a machine that does other things as well the end may take longer than a person would wait.
        "from greencoro.hub import exit\nexit.GRACE_SECONDS, exit._INTERRUPTED_SECONDS = 10, 15\n"
        "def ready():\n    print('ready', flush=True)\n"
        "def waits(coro):\n"
        "    try:\n        ready()\n        coro.receive()\n"
        "    finally:\n        print('cleaned up', flush=True)\n"
        f"Coro(lambda: None).value()\n{waits}\n"
    )
    process = start(tmp_path, "prog.py")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    code, out, err = outcome(process)
    assert code == -signal.SIGINT and "Traceback" not in err
    assert out == ("cleaned up\n" if "Coro" in waits else "")


def test_ctrl_c_in_a_program_without_coroutines_is_told_as_python_tells_it(tmp_path, write):
    write(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "print('ready', flush=True)\nwhile True: time.monotonic()\n"
    )
    process = start(tmp_path, "prog.py")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    code, _, err = outcome(process)
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt" and err.count("File ") == 1


# Programs that are no file.

WITHOUT_FILE = """
import sys
print({name: value for name, value in globals().items() if name not in ("sys", "__builtins__")}, __builtins__)
print(sys.argv, repr(sys.path[0]), sys.modules["__main__"].__dict__ is globals())
"""


def from_input(directory, text, *words, command=("-m", "greencoro", "run")):
    with (directory / "input").open("wb+") as file:
        file.write(text.encode("latin-1"))
        file.seek(0)
        return outcome(start(directory, *words, command=command, stdin=file))


@pytest.mark.parametrize(
    "source",
    [
        WITHOUT_FILE,
        "import sys; sys.exit(3)",
        "def f():\n    1/0\nf()",
        "x = = 1",
        "if True:\n  print(1)\n x",
        "import traceback\ntry:\n    1/0\nexcept ZeroDivisionError:\n    traceback.print_exc()",
        "import helper; print(helper.x)",
        "",
        "print('ä', ascii('ä'))",
    ],
)
def test_a_text_is_run_as_python_runs_it(tmp_path, write, source):
    write("x = 1", "helper.py")
    words = ("-c", source, "one", "--two")
    assert run(tmp_path, *words) == python(tmp_path, *words)


@pytest.mark.parametrize(
    "source",
    [
        WITHOUT_FILE,
        "import sys; sys.exit(3)",
        "def f():\n    1/0\nf()",
        "x = = 1",
        "import helper; print(helper.x)",
        "",
        "# coding: latin-1\nprint(ascii('\xe4'))",
        "print(input())",
    ],
)
def test_standard_input_is_run_as_python_runs_it(tmp_path, write, source):
    write("x = 1", "helper.py")
    words = ("-", "one", "-c")
    assert from_input(tmp_path, source, *words) == from_input(tmp_path, source, *words, command=())


def test_coroutines_of_a_text_are_waited_for(tmp_path):
    source = "import time\nfrom greencoro import Coro\ndef f():\n    time.sleep(0.05)\n    print('over')\nCoro(f)"
    assert run(tmp_path, "-c", source) == (0, "over\n", "")
    assert from_input(tmp_path, source, "-") == (0, "over\n", "")


def test_a_missing_text_is_told(tmp_path):
    code, out, err = run(tmp_path, "-c")
    assert (code, out, err.splitlines()[0]) == (2, "", "greencoro run: which code?")


# Ctrl-C at the very end.

# At the n-th call of a Python function that follows the script's last line, which a profile function sees.
AT_THE_END = """
import os, signal, sys
from greencoro import Coro, sleep
signal.signal(signal.SIGINT, signal.default_int_handler)
def waits(coro=None):
    try:
        coro.receive()
    finally:
        print("cleaned up")
Coro(waits)
calls = 0
def watch(frame, event, argument):
    global calls
    calls += 1
    if calls == int(sys.argv[1]):
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
sleep(0.05)
sys.setprofile(watch)
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 30])
def test_ctrl_c_at_any_step_behind_the_scripts_end_is_heeded(tmp_path, write, number):
    write(AT_THE_END)
    assert run(tmp_path, "prog.py", number) == (-signal.SIGINT, "cleaned up\n", "")


def test_ctrl_c_behind_the_end_of_a_script_without_coroutines_shows_no_frames_of_ours(tmp_path, write):
    write(
        "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.setprofile(lambda frame, event, argument: frame.f_code.co_name == 'run_as_main' and event == 'return'"
        " and (sys.setprofile(None), os.kill(os.getpid(), signal.SIGINT)))\n"
    )
    assert run(tmp_path, "prog.py") == (-signal.SIGINT, "", "")


def test_a_closed_standard_input_is_an_empty_program_as_it_is_for_python(tmp_path):
    def closed(*command):
        shell = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, *command, "-", "x"]
        return subprocess.run(shell, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=30)

    ours, pythons = closed("-m", "greencoro", "run"), closed()
    assert (ours.returncode, ours.stdout, ours.stderr) == (0, "", "")
    assert pythons.returncode == 0
