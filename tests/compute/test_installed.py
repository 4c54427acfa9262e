"""Which packages this interpreter has, and what is said of those that it lacks."""

import logging
from importlib import metadata

import pytest

from greencoro.compute.installed import check_installed, installed
from greencoro.errors import PackagingError


@pytest.fixture(autouse=True)
def _packages(monkeypatch):
    """This interpreter has two."""
    versions = {"numpy": "2.1.3", "Some.Thing": "1.0"}

    def version(name):
        try:
            return versions[name]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(metadata, "version", version)


def test_versions_are_by_the_name_that_all_spellings_have_in_common():
    assert installed(["numpy", "Some.Thing", "absent"]) == {"numpy": "2.1.3", "some-thing": "1.0"}


def test_what_is_there_is_no_error(caplog):
    with caplog.at_level(logging.WARNING):
        check_installed({"numpy>=2,<3": "2.0", "Some.Thing": "1.0.7"}, "at node b")
    assert caplog.records == []


def test_all_that_is_lacking_is_said_at_once():
    with pytest.raises(PackagingError) as raised:
        check_installed({"numpy>=3": "3.0", "absent": "7.1", "gone": ""}, "at node b")
    assert str(raised.value) == (
        "numpy 3.0 here, 2.1.3 at node b, where numpy>=3 is wanted; "
        "absent 7.1 here, absent at node b; "
        "gone not installed here, absent at node b"
    )


def test_another_minor_version_without_a_condition_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        check_installed({"numpy": "1.26.0"}, "at node b")
    assert [record.getMessage() for record in caplog.records] == ["numpy 1.26.0 here, 2.1.3 at node b"]


def test_a_requirement_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="names no package"):
        check_installed({"!": ""}, "at node b")
