"""The event loop behind ``run_sync``: one a process, in a thread of its own.

One that stays keeps the connections to the API warm from call to call, and it works where another loop is
already running, as in a notebook.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from promptchain.errors import ConfigurationError

__all__ = ["wait_for"]

T = TypeVar("T")


class _Background:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="promptchain-run-sync", daemon=True
                )
                self._thread.start()
                atexit.register(self._stop)
            if threading.current_thread() is self._thread:
                raise ConfigurationError(
                    "run_sync was called from the event loop that serves it, as in a gate of a chain that "
                    "run_sync runs: use 'await chain.run(...)' there."
                )
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _stop(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)


_background = _Background()


def _forget() -> None:
    # A thread does not survive a fork, and a lock may have been held by one that did not.
    global _background  # noqa: PLW0603
    _background = _Background()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on the background loop and block until it has ended.

    The caller's context variables are seen inside. An interrupt cancels it, and is raised when it has ended.
    """
    try:
        loop = _background.loop()
    except ConfigurationError:
        coroutine.close()
        raise
    ended = threading.Event()

    async def run() -> tuple[T, None] | tuple[None, BaseException]:
        try:
            return await coroutine, None
        except (KeyboardInterrupt, SystemExit) as error:
            return None, error  # raised on the loop it would end that, and every later call with it
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(run(), loop)
    try:
        given, error = future.result()
    except (KeyboardInterrupt, SystemExit):
        future.cancel()
        ended.wait(timeout=5)
        raise
    if error is not None:
        raise error
    return cast("T", given)
