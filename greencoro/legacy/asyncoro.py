"""The module ``asyncoro``: coroutines in the style of 2016, each wait of which is yielded."""

from __future__ import annotations

__all__: list[str] = []

__version__ = "4.2.1"

# Python imports `asyncoro.discoro` from nothing but a package.
__path__: list[str] = []
