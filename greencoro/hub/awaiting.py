"""Waiting with ``await``, in a program whose loop is asyncio's."""

from __future__ import annotations

import asyncio
import contextlib

from greencoro.hub.completion import Completion

__all__ = ["until"]


async def until(completion: Completion, timeout: float | None) -> bool:
    """Wait until ``completion`` has its outcome; False where ``timeout`` seconds were over first."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def tell() -> None:
        # The loop may have been closed meanwhile, and then nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(arrived.set)

    completion.add_callback(tell)
    try:
        async with asyncio.timeout(None if timeout is None else max(0.0, timeout)):
            await arrived.wait()
    except TimeoutError:
        return completion.done
    finally:
        completion.remove_callback(tell)
    return True
