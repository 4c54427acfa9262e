import os
import subprocess
import sys
from pathlib import Path

import psutil

from greencoro.compute import lineage
from tests.support.polling import poll_until

ROOT = Path(__file__).parents[2]
HEAD = f"import os, signal, sys, time\nsys.path.insert(0, {str(ROOT)!r})\nfrom greencoro.compute import lineage\n"


def python(code, **options):
    return subprocess.Popen([sys.executable, "-c", HEAD + code], stdout=subprocess.PIPE, text=True, **options)


def test_process_ends_with_its_parent():
    code = """
parent = os.getpid()
child = os.fork()
if not child:
    lineage.end_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(600)
os.waitid(os.P_PID, child, os.WEXITED)
"""
    with python(code) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        poll_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 20)


def test_process_whose_parent_has_ended_before_ends_at_once():
    with python("lineage.end_with_parent(1)\nprint('goes on')") as child:
        assert child.stdout.read() == ""
        assert child.wait() == -9


def test_orphans_are_adopted_and_listed():
    code = """
lineage.adopt_orphans()
between = os.fork()
if not between:
    orphan = os.fork()
    if not orphan:
        os.setsid()
        time.sleep(600)
    os._exit(0)
os.waitid(os.P_PID, between, os.WEXITED)
[orphan] = lineage.children()
os.kill(orphan, signal.SIGKILL)
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
print(lineage.children() == {orphan})
os.waitid(os.P_PID, orphan, os.WEXITED)
print(lineage.children())
"""
    with python(code) as parent:
        assert parent.stdout.read() == "True\nset()\n"


def test_children_are_found_where_the_kernel_does_not_list_them(tmp_path):
    for pid, stat in {
        7: "7 (python) S 1 7 7 0",
        8: "8 (a) S 9 (b) S 7 7 7 0",
        9: "9 (sh) Z 7 7 7 0",
        10: "10 (sh) S 8 7 7 0",
    }.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(stat)
    (tmp_path / "11").mkdir()  # it has just ended
    (tmp_path / "self").symlink_to("7")
    assert lineage.children(tmp_path / "self") == {8, 9}


def test_name_is_shown():
    with python("lineage.show_name('greencoro-test')\nprint(flush=True)\nsys.stdin.read()", stdin=-1) as child:
        child.stdout.readline()
        assert psutil.Process(child.pid).name() == "greencoro-test"
        assert os.path.exists(f"/proc/{child.pid}")
        child.stdin.close()
