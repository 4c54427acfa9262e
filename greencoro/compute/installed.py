"""Which versions of packages are installed for this interpreter."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib import metadata

from greencoro.compute.requirements import Requirement, differences, lacking, normalized
from greencoro.errors import PackagingError
from greencoro.hub.telling import tell

__all__ = ["check_installed", "installed"]

_log = logging.getLogger(__name__)


def installed(names: Iterable[str]) -> dict[str, str]:
    """Versions by `normalized` names; those that are not installed are left out."""
    found = {}
    for name in names:
        try:
            found[normalized(name)] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def check_installed(wanted: Mapping[str, str], where: str) -> None:
    """Does this process have what a client asks for?

    Args:
        wanted: Requirements, with the versions that the client has; empty for none.

        where (str): What to call this process.

    Raises:
        PackagingError: It lacks something; the message says of each what.

        ValueError: One is no requirement.
    """
    requirements = {Requirement.parse(text): version for text, version in wanted.items()}
    here = {normalized(each.name): version for each, version in requirements.items() if version}
    there = installed(each.name for each in requirements)
    sentences = lacking(requirements, here, there, where)
    if sentences:
        raise PackagingError("; ".join(sentences))
    for sentence in differences(requirements, here, there, where):
        tell(_log, logging.WARNING, sentence)
