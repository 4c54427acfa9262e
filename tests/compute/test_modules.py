import importlib
import sys

import pytest

from greencoro.compute.modules import UserModules, absolute_name, submodules_used
from greencoro.errors import PackagingError


@pytest.fixture
def place(restored_process, tmp_path):
    """A directory on the path, and a way to put modules there."""
    sys.path.insert(0, str(tmp_path))

    def put(**sources):
        for name, source in sources.items():
            path = tmp_path / (name.replace("__", "/").replace("/init/", "__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        importlib.invalidate_caches()
        return tmp_path

    return put


def test_modules_of_others_are_not_the_users(place):
    place()
    modules = UserModules()
    others = [
        "sys",
        "json",
        "json.decoder",
        "pytest",
        "greencoro",
        "greencoro.errors",
        "__main__",
        "missing_everywhere",
    ]
    assert [name for name in others if modules.is_users(name)] == []


def test_a_module_beside_the_script_is_the_users_loaded_or_not(place):
    place(gc_one="x = 1")
    assert UserModules().is_users("gc_one")
    importlib.import_module("gc_one")
    assert UserModules().is_users("gc_one")


def test_a_module_comes_with_all_it_imports_however_that_is_written(place):
    directory = place(
        gc_a="import gc_b.c\ndef f():\n    from gc_d import x\n",
        gc_d="try:\n    import gc_e, missing_one\nexcept ImportError: pass",
    )
    place(gc_e="import json, sys")
    for path, source in {
        "gc_b/__init__.py": "",
        "gc_b/c.py": "from . import g\nfrom .g import h\nfrom ..gc_nowhere import z",
        "gc_b/g/__init__.py": "from .h import value",
        "gc_b/g/h.py": "value = 1",
        "gc_b/unused.py": "",
    }.items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_text(source)
    files = UserModules().files(["gc_a", "json"])
    assert list(files) == ["gc_a", "gc_b", "gc_b.c", "gc_b.g", "gc_b.g.h", "gc_d", "gc_e"]
    assert [file.path for file in files.values()][1:3] == ["gc_b/__init__.py", "gc_b/c.py"]
    assert files["gc_b.c"].imports == ("gc_b", "gc_b.g", "gc_b.g.h")
    assert "gc_d" not in sys.modules  # looked at, not imported


def test_a_directory_without_init_is_a_package_too(place):
    directory = place()
    (directory / "gc_space").mkdir()
    (directory / "gc_space" / "inner.py").write_text("")
    assert list(UserModules().files(["gc_space.inner"])) == ["gc_space.inner"]


def test_a_reloaded_module_is_read_again(place):
    place(gc_one="x = 1")
    module = importlib.import_module("gc_one")
    modules = UserModules()
    first = modules.files(["gc_one"])["gc_one"]
    place(gc_one="x = 22")
    assert modules.files(["gc_one"])["gc_one"] is first  # what this process runs
    importlib.reload(module)
    assert modules.files(["gc_one"])["gc_one"].content == b"x = 22"


def test_a_module_that_hides_one_of_the_standard_library_is_refused(place):
    place(turtle="x = 1")
    sys.modules.pop("turtle", None)
    with pytest.raises(PackagingError, match=r"turtle\.py: cannot ship a module that is called like .*'turtle'"):
        UserModules().is_users("turtle")


def test_a_file_that_is_no_python_is_refused(place):
    place(gc_one="x = = 1")
    with pytest.raises(PackagingError, match=r"module gc_one: its file cannot be shipped: invalid syntax"):
        UserModules().files(["gc_one"])


def test_a_package_as_a_component_comes_whole(place):
    directory = place()
    package = directory / "gc_pkg"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "sub" / "mod.py").write_text("")
    (package / "sub" / "table.csv").write_text("1")
    module = importlib.import_module("gc_pkg")
    importlib.import_module("gc_pkg.sub.mod")  # leaves a __pycache__
    assert sorted(part.path for part in UserModules().whole(module)) == [
        "gc_pkg/__init__.py",
        "gc_pkg/sub/mod.py",
        "gc_pkg/sub/table.csv",
    ]


@pytest.mark.parametrize(
    ("module", "level", "package", "expected"),
    [("a.b", 0, "", "a.b"), ("c", 1, "a.b", "a.b.c"), ("", 2, "a.b", "a"), ("c", 2, "a", ""), ("c", 1, "", "")],
)
def test_relative_names(module, level, package, expected):
    assert absolute_name(module, level, package) == expected


def test_submodules_are_those_whose_every_word_is_used():
    import xml.etree.ElementTree

    assert submodules_used(xml, frozenset({"etree", "ElementTree", "x"})) == ["xml.etree", "xml.etree.ElementTree"]
    assert submodules_used(sys, frozenset({"path"})) == []
