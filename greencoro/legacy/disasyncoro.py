"""The module ``asyncoro.disasyncoro``: what asyncoro has, and the same between processes."""

from __future__ import annotations

__all__: list[str] = []
