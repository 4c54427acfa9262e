"""What a server process becomes before it serves, in children of these tests."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.polling import poll_until

ROOT = Path(__file__).parents[2]

# The parent of a server, which has imported all that the server needs; so the user need not be able to.
PARENT = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from gevent import monkey
monkey.patch_all()
from greencoro.compute import lineage, server_process, server_words

config = server_words.Configure("00" * 32, "127.0.0.1", 0, "a server", sys.argv[1], {{}}, 30, user="nobody")
fork = monkey.get_original("os", "fork")
parent = os.getpid()
child = fork()
if not child:
    lineage.end_with_parent(parent)
    server_process._confine(config, parent)
    os.write(1, b"%d\\n" % os.getpid())
    monkey.get_original("time", "sleep")(600)
os.waitid(os.P_PID, child, os.WEXITED)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_S17_server_that_has_become_another_user_ends_with_its_parent_all_the_same(tmp_path):
    # Those above a server's directory are opened for its user.
    directory = tmp_path / "all" / "daemon" / "1"
    directory.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", PARENT, str(directory)], stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            assert child.uids().real == directory.stat().st_uid != os.getuid()
            parent.kill()
            poll_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 20)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
