"""The version of asyncoro whose names and quirks are here."""

__all__ = ["VERSION"]

VERSION = "4.2.1"
