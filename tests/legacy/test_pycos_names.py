"""The modules of pycos: the names in them, and what is the same thing under two names."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

LOCAL = [
    *("Task", "Pycos", "Lock", "RLock", "Event", "Condition", "Semaphore", "AsyncSocket", "HotSwapException"),
    *("MonitorStatus", "Location", "Channel", "CategorizeMessages", "AsyncThreadPool", "AsyncDBCursor", "Singleton"),
    *("logger", "serialize", "deserialize", "Logger"),
]
CLIENTS = [
    *("Scheduler", "Client", "Computation", "DispycosStatus", "DispycosTaskInfo", "DispycosNodeInfo"),
    *("DispycosNodeAvailInfo", "DispycosNodeAllocate"),
]
STARS = {
    "pycos": LOCAL,
    "pycos.netpycos": [*LOCAL, "PeerStatus", "RPS", "RTI"],
    "pycos.dispycos": CLIENTS,
    "pycos.asyncfile": ["AsyncFile", "AsyncPipe"],
}
ATTRIBUTES = [
    *(f"Task.{name}" for name in ("location", "scheduler", "locate", "register", "unregister", "set_daemon")),
    *(f"Task.{name}" for name in ("suspend", "sleep", "resume", "wakeup", "send", "deliver", "receive", "recv")),
    *(f"Task.{name}" for name in ("throw", "value", "finish", "__call__", "terminate", "hot_swappable", "hot_swap")),
    *(f"Task.{name}" for name in ("monitor", "notify", "is_alive")),
    *(f"Channel.{name}" for name in ("location", "locate", "register", "unregister", "set_transform")),
    *(f"Channel.{name}" for name in ("subscribe", "unsubscribe", "send", "deliver", "close")),
    *(f"CategorizeMessages.{name}" for name in ("add", "remove", "receive", "recv")),
    *(f"Pycos.{name}" for name in ("instance", "locations", "scheduler", "cur_task", "finish", "terminate", "join")),
    *(f"Pycos.{name}" for name in ("is_alive", "atexit", "drop_atexit", "dest_path", "locate", "peer", "peers")),
    *(f"Pycos.{name}" for name in ("discover_peers", "ignore_peers", "peer_status", "close_peer", "send_file")),
    *(f"Pycos.{name}" for name in ("del_file", "host_ipaddr")),
    *(f"RPS.{name}" for name in ("location", "locate", "register", "unregister", "monitor", "close", "__call__")),
    *(f"AsyncThreadPool.{name}" for name in ("async_task", "join", "terminate")),
    *(f"AsyncDBCursor.{name}" for name in ("execute", "executemany", "callproc")),
    *(f"Logger.{name}" for name in ("setLevel", "show_ms", "flush", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    *(f"dispycos.Client.{name}" for name in ("schedule", "nodes", "servers", "close", "rtask", "rtask_at", "io_rtask")),
    *(f"dispycos.Client.{name}" for name in ("io_rtask_at", "run", "run_at", "run_async", "run_async_at")),
    *(f"dispycos.Scheduler.{name}" for name in ("NodeIgnore", "NodeDiscovered", "NodeInitialized", "NodeClosed")),
    *(f"dispycos.Scheduler.{name}" for name in ("NodeDisconnected", "ServerDiscovered", "ServerInitialized")),
    *(f"dispycos.Scheduler.{name}" for name in ("ServerClosed", "ServerDisconnected", "TaskStarted", "TaskCreated")),
    *(f"dispycos.Scheduler.{name}" for name in ("TaskAbandoned", "TaskTerminated", "ClientScheduled", "ClientClosed")),
    *(f"config.{name}" for name in ("MsgTimeout", "MaxConnectionErrors", "NetPort", "MinPulseInterval")),
    *(f"config.{name}" for name in ("MaxPulseInterval", "DispycosSchedulerPort", "DispycosNodePort")),
]
INSTALLED = "import greencoro.legacy; greencoro.legacy.install()\n"


def ran(text):
    """What is printed by Python in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", text]
    run = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


@pytest.mark.parametrize("module", STARS)
def test_a_star_brings_the_names_that_pycos_has_and_no_others(module):
    text = f"names = dict(before=0)\nexec('from {module} import *', names)\nprint(*sorted(set(names) - {{'before'}}))"
    assert set(ran(INSTALLED + text).split()) - {"__builtins__"} == set(STARS[module])


def test_what_pycos_has_in_its_classes_and_modules_is_there():
    text = f"""
import operator, pycos, pycos.netpycos, pycos.dispycos, pycos.config
for name in {ATTRIBUTES!r}:
    operator.attrgetter(name)(pycos)
print(pycos.__version__, pycos.netpycos.Pycos is pycos.Pycos, pycos.RTI is pycos.RPS, pycos.SysTask, pycos.PeerStatus)
"""
    assert ran(INSTALLED + text).startswith("4.12.2 True True ")


def test_both_spellings_are_over_the_same_code():
    text = """
import asyncoro.disasyncoro, pycos.netpycos
same = ("AsyncSocket", "Channel", "Lock", "Location", "CategorizeMessages", "AsyncThreadPool", "logger", "serialize")
assert all(getattr(asyncoro, name) is getattr(pycos, name) for name in same)
assert issubclass(pycos.Task, asyncoro.Coro) and issubclass(pycos.RPS, asyncoro.disasyncoro.RCI)
assert issubclass(pycos.Pycos, asyncoro.AsynCoro)
"""
    assert ran(INSTALLED + text) == ""


def test_to_import_it_starts_nothing():
    text = """
import threading, pycos, pycos.netpycos, pycos.dispycos, pycos.asyncfile
assert threading.active_count() == 1 and pycos.Task.scheduler() is None
"""
    assert ran(INSTALLED + text) == ""


@pytest.mark.skipif(importlib.util.find_spec("pycos") is None, reason="needs pycos itself")
def test_programs_get_what_is_here_though_pycos_itself_is_installed_and_others_get_that():
    text = "import pycos; print('greencoro' in pycos.__file__)"
    assert ran(INSTALLED + text) == "True\n"
    assert ran(f"import greencoro.legacy\n{text}") == "False\n"


def test_several_hosts_are_refused_with_a_word_about_it():
    text = """
import pycos.netpycos
try:
    pycos.netpycos.Pycos(host=["127.0.0.1", "127.0.0.2"])
except ValueError as error:
    print(error)
"""
    assert "not supported" in ran(INSTALLED + text)
