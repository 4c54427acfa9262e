"""Names that mean the same to every file system: one entry of a directory."""

from __future__ import annotations

__all__ = ["is_plain"]

_MAX_NAME_BYTES = 255


def is_plain(word: str) -> bool:
    """Whether a name is one entry of a directory, wherever it is read."""
    if len(word) > _MAX_NAME_BYTES or word in ("", ".", "..") or any(char in word for char in "\0/\\:"):
        return False
    try:
        return len(word.encode()) <= _MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False
