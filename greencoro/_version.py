"""The version, in one place: setup.py reads it from this file's text."""

__version__ = "0.1.0"
