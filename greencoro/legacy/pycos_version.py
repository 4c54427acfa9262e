"""The version of pycos whose names are here."""

__all__ = ["VERSION"]

VERSION = "4.12.2"
