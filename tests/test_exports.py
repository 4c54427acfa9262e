import ast
import sysconfig

import pytest

import greencoro
from greencoro import errors
from tests.support.source import PACKAGE, imports


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
