"""Everything that is imported before the first hub turns.

In a patched process the module lock of an import is a gevent lock: two native threads, each with a hub of its own, that
import for the first time at once can wait for each other for ever (seen with ``gevent.resolver.thread`` and
``concurrent.futures.thread``). So what gevent and the standard library would import at their first use is imported here
once, by whichever thread starts the first hub, before there is a second one.
"""

# These two already here: they refuse to be imported once the main thread is through, and the first coroutine may be
# made by a thread that it left.
import concurrent.futures.process
import concurrent.futures.thread  # noqa: F401
import importlib

_MODULES = (
    "ctypes",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.unicode_escape",
    "encodings.utf_8",
    "gevent._socket3",
    "gevent._threading",
    "gevent.event",
    "gevent.hub",
    "gevent.lock",
    "gevent.queue",
    "gevent.resolver.thread",
    "gevent.select",
    "gevent.server",
    "gevent.socket",
    "gevent.subprocess",
    "gevent.threadpool",
    "gevent.timeout",
    "linecache",
    "logging.handlers",
    "pickle",
    "queue",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "stringprep",
    "subprocess",
    "tempfile",
    "threading",
    "traceback",
    "tokenize",
)

_done = False


def preload() -> None:
    """Import what a turning hub may need; the second call does nothing."""
    global _done
    if _done:
        return
    for name in _MODULES:
        importlib.import_module(name)
    import gevent

    # These are strings until first asked for; asking imports the class behind each.
    for setting in ("loop", "resolver", "threadpool"):
        getattr(gevent.config, setting)
    _done = True
