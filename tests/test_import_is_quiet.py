import json
import subprocess
import sys

import pytest

# Compares the process before and after. gevent is imported only to be asked, after the import under test.
PROBE = """
import json, os, sys, threading

def look():
    fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
    return {"threads": len(os.listdir("/proc/self/task")), "names": [t.name for t in threading.enumerate()],
            "fds": len(fds), "signals": open("/proc/self/status").read().split("SigCgt:")[1].split()[0]}

before = look()
__import__(sys.argv[1], fromlist=["x"])
after = look()
from gevent import monkey
from gevent._hub_local import get_hub_if_exists
import greenlet
print(json.dumps({"before": before, "after": after, "patched": sorted(monkey.saved),
                  "hub": repr(get_hub_if_exists()), "greenlet": greenlet.getcurrent().parent is None}))
"""

MODULES = ["greencoro", "greencoro.config", "greencoro.errors", "greencoro.log"]


@pytest.mark.parametrize("module", MODULES)
def test_importing_starts_opens_and_patches_nothing(module):
    done = subprocess.run([sys.executable, "-c", PROBE, module], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["after"] == seen["before"]
    assert seen["patched"] == []
    assert seen["hub"] == "None"
    assert done.stderr == ""


def test_importing_the_top_leaves_gevent_and_the_network_unimported():
    code = (
        "import greencoro, sys; print([m for m in ('gevent', 'greenlet', 'socket', 'ssl', 'dill') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("patched", [False, True])
def test_what_a_cluster_and_a_computation_need_is_imported_after_the_daemons_start_but_before_where_patched(patched):
    """So that the daemon imports meanwhile; in a patched process threads that import at once can hang."""
    code = f"""
import sys
from greencoro.hub.patching import patch_all
if {patched}:
    patch_all()
from greencoro import Computation, LocalCluster
names = ("compute.cluster_parts", "compute.declaration", "compute.run_many", "compute.scheduler", "distributed.runtime")
print(*{{"greencoro." + name in sys.modules for name in names}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{patched}\n"
