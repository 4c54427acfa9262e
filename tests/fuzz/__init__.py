"""Hostile bytes for the pure modules: what must hold of them, and harnesses that search for what breaks it."""
