import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Patches, and says what was patched, how often the installed packages were looked through, and what plug-ins heard.
PATCHING = """
import importlib, json, sys
from importlib import metadata

looked = []
look = metadata.Distribution.entry_points.fget
metadata.Distribution.entry_points = property(lambda self: looked.append(self.name) or look(self))
before = metadata.entry_points
module, name = sys.argv[1:]
getattr(importlib.import_module(module), name)()
from gevent import monkey
import a_plugin
print(json.dumps({
    "patched": {name: sorted(what) for name, what in monkey.saved.items()},
    "heard": a_plugin.heard,
    "looks": looked.count("a-plugin"),
    "restored": metadata.entry_points is before,
}))
"""


@pytest.fixture
def patched(tmp_path):
    (tmp_path / "a_plugin.py").write_text("heard = []\ndef hear(event): heard.append(type(event).__name__)\n")
    installed = tmp_path / "a_plugin-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: a-plugin\nVersion: 1.0\n")
    events = ("will_patch_all", "did_patch_module", "did_patch_all")
    groups = "".join(f"[gevent.plugins.monkey.{event}]\nhear = a_plugin:hear\n" for event in events)
    (installed / "entry_points.txt").write_text(groups)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}

    def patch(module):
        command = [sys.executable, "-c", PATCHING, module, "patch_all"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    return patch


def test_what_gevent_patches_is_patched_and_its_plug_ins_hear_of_it_after_one_look_for_them(patched):
    plain, ours = patched("gevent.monkey"), patched("greencoro.hub.patching")
    assert plain.pop("looks") > 10
    assert ours.pop("looks") == 1
    assert ours == plain
    assert ours["heard"][0] == "GeventWillPatchAllEvent"
    assert ours["heard"].count("GeventDidPatchModuleEvent") > 5
    assert ours["restored"]
