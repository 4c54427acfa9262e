"""What holds for every test of the shim: no coroutine is left."""

from tests.hub.conftest import _leaves_no_coroutine  # noqa: F401
