"""The order of version numbers, as PEP 440 has it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Version"]

_VERSION = re.compile(
    r"""
    v?
    (?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]*))?
    (?P<post>(?:-(?P<post_bare>[0-9]+))|(?:[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*)))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?
    (?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?  # a builder's own: makes no difference here
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_MAX_CHARACTERS = 200
_PRE = {"alpha": "a", "a": "a", "beta": "b", "b": "b", "preview": "rc", "pre": "rc", "c": "rc", "rc": "rc"}
# Sorts after every name of a kind of pre-release, and after every number.
_LAST = "~"
_FINAL = (1, 0)


class Version(NamedTuple):
    """A version; compares as versions do: ``1.0.dev1 < 1.0a1 < 1.0rc1 < 1.0 == 1.0.0 < 1.0.post1 < 1.1``.

    Attributes:
        epoch (int): Nearly always 0.

        release (tuple): Its numbers, without zeros at the end.

        pre, post, dev: What places it among the others of its release.
    """

    epoch: int
    release: tuple[int, ...]
    pre: tuple[str, int]
    post: int
    dev: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> Version:
        """The version that a text names.

        Raises:
            ValueError: It names none.
        """
        match = _VERSION.fullmatch(text.strip()) if len(text) <= _MAX_CHARACTERS else None
        if match is None:
            raise ValueError(f"{text[:_MAX_CHARACTERS]!r} is no version")
        post = -1 if match["post"] is None else int(match["post_bare"] or match["post_number"] or 0)
        dev = _FINAL if match["dev"] is None else (0, int(match["dev_number"] or 0))
        if match["pre"] is not None:
            pre = _PRE[match["pre"].lower()], int(match["pre_number"] or 0)
        elif post < 0 and dev != _FINAL:
            pre = "", 0  # what is developed towards a release comes before its first alpha
        else:
            pre = _LAST, 0
        return cls(int(match["epoch"] or 0), _without_zeros(_numbers(match["release"])), pre, post, dev)

    def is_before_its_release(self) -> bool:
        """Is it an alpha, a beta, a release candidate or something still developed?"""
        return self.pre[0] != _LAST or self.dev != _FINAL

    def without_additions(self) -> Version:
        """The version that this one is a post-release of; where it is none, itself."""
        return self if self.post < 0 else self._replace(post=-1, dev=_FINAL)

    def is_within(self, epoch: int, prefix: tuple[int, ...]) -> bool:
        """Does its release begin with these numbers?"""
        padded = self.release + (0,) * len(prefix)
        return self.epoch == epoch and padded[: len(prefix)] == prefix


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _without_zeros(numbers: tuple[int, ...]) -> tuple[int, ...]:
    end = len(numbers)
    while end > 1 and numbers[end - 1] == 0:
        end -= 1
    return numbers[:end]
