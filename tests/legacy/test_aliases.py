import importlib
import sys

import pytest

import greencoro.legacy
from greencoro.legacy import aliases, asyncoro, scheduler


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    # What the modules change of each other when they are imported is none of other tests' business.
    monkeypatch.setattr(scheduler, "current", scheduler.current)
    monkeypatch.setattr(asyncoro, "AsynCoro", asyncoro.AsynCoro)
    monkeypatch.setattr(asyncoro.logger, "name", asyncoro.logger.name)
    # pycos itself may be installed, and imported.
    others = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("asyncoro", "pycos")}
    greencoro.legacy.install()
    yield
    for name in aliases.MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(others)


@pytest.mark.parametrize(("name", "module"), aliases.MODULES.items())
def test_a_module_of_old_is_the_one_here_and_keeps_its_own_name(installed, name, module):
    found = importlib.import_module(name)
    assert found is importlib.import_module(module)
    assert (found.__name__, found.__spec__.name) == (module, module)


def test_to_install_it_again_changes_nothing(installed):
    before = list(sys.meta_path)
    greencoro.legacy.install()
    assert sys.meta_path == before


def test_without_it_there_is_no_such_module():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("asyncoro3")
