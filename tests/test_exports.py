import ast
import importlib
import re
import sysconfig

import pytest

import greencoro
from greencoro import config, errors
from tests.support.source import PACKAGE, imports

REFERENCE = PACKAGE.parent / "docs" / "reference"


def alphabetically(names):
    """Constants, then classes, then the rest, as the linter sorts ``__all__``."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))


@pytest.mark.parametrize("name", greencoro.__all__)
def test_a_public_name_resolves(name):
    assert getattr(greencoro, name) is not None


def test_the_public_names_are_sorted_and_each_is_there_once():
    assert greencoro.__all__ == alphabetically(set(greencoro.__all__))


def test_every_error_is_public():
    assert set(errors.__all__) <= set(greencoro.__all__)


def test_the_errors_list_is_what_the_module_defines():
    defined = [n for n, v in vars(errors).items() if isinstance(v, type) and v.__module__ == errors.__name__]
    assert errors.__all__ == sorted(defined)


def test_a_public_name_is_found_in_the_module_that_type_checkers_are_told():
    path = PACKAGE / "__init__.py"
    tree = ast.parse(path.read_text())
    told = set(imports(tree, path)) - set(imports(tree, path, type_checking=False))
    homes = {f"{greencoro._HOME.get(n, errors.__name__)}.{n}" for n in greencoro.__all__ if n != "__version__"}
    assert told == homes


def test_dir_shows_the_names_that_nobody_used_yet():
    assert set(greencoro.__all__) <= set(dir(greencoro))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'greencoro' has no attribute 'Corro'"):
        greencoro.Corro  # noqa: B018


def test_a_free_threaded_build_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    with pytest.raises(
        ImportError, match=r"greencoro needs .* lock, but .* is a free-threaded build; use the ordinary"
    ):
        greencoro._require_gil()


def test_an_interpreter_that_runs_without_its_lock_is_refused(monkeypatch):
    monkeypatch.setattr("sys._is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(ImportError, match="free-threaded"):
        greencoro._require_gil()


def test_dir_shows_public_names_and_what_every_module_has():
    importlib.import_module("greencoro.hub.timers")
    others = set(dir(greencoro)) - set(greencoro.__all__)
    assert [name for name in others if not (name.startswith("__") and name.endswith("__"))] == []
    assert {"__name__", "__doc__", "__version__"} <= set(dir(greencoro))


# The manual has tables written by hand, for those who read its pages as they are.


def rows(page):
    """The cells of each row of a page's tables that begins with a name; the name without its marks."""
    found = []
    for line in (REFERENCE / page).read_text().splitlines():
        if match := re.match(r"\| `(\w+)`.*? \| (.+) \|$", line):
            found.append((match[1], *match[2].split(" | ")))
    return found


def test_the_manual_lists_every_public_name_once_and_nothing_else():
    assert sorted(name for name, _ in rows("api.md")) == sorted(set(greencoro.__all__) - set(errors.__all__))


def test_the_manual_lists_every_error_once_and_nothing_else():
    assert sorted(name for name, _ in rows("errors.md")) == errors.__all__


def test_the_manual_shows_an_errors_other_parents():
    builtin = {}
    for line in (REFERENCE / "errors.md").read_text().splitlines():
        if match := re.match(r"\| `(\w+)` \(`(?:greenlet\.)?(\w+)`\)", line):
            builtin[match[1]] = match[2]
    parents = {
        name: base.__name__
        for name in errors.__all__
        for base in getattr(errors, name).__bases__
        if base.__module__ != errors.__name__ and base is not Exception
    }
    assert builtin == parents


def test_the_manual_lists_every_setting_with_its_default_and_meaning():
    assert rows("settings.md") == [(each.name, each.default, each.doc) for each in config.describe()]
