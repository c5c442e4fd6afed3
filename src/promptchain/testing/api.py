"""The simulated Messages API as a test holds it: a context manager with a script and a bill."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from promptchain.testing.bill import Bill
from promptchain.testing.endpoints import Endpoints
from promptchain.testing.limits import PLENTY, RateLimiter, TokenBuckets
from promptchain.testing.script import Match, Pace, RecordedRequest, ScriptItem
from promptchain.testing.server import HttpServer

__all__ = ["MessagesAPI"]


class MessagesAPI:
    """A Messages API on this machine, which real clients reach over HTTP.

    ::

        with MessagesAPI() as api:
            api.script("first answer", Fault.status(529), "second answer")
            client = AsyncAnthropic(base_url=api.url, api_key="any")

    It runs in a thread of its own, so it serves synchronous and asynchronous tests alike. Without a script it
    answers as the offline model does. All methods may be called while it runs.

    Args:
        port: Port on 127.0.0.1; 0 takes a free one.
        keys: API keys that are accepted; left out, any.
        pace: How fast replies come where an answer does not say.
        models: Names of further models that it knows, as ``serve`` takes them.
        limits: What each key may ask of each model a minute; left out, more than anybody asks.

    Raises:
        TypeError: ``models`` is one text.
        ValueError: Of ``models``, one cannot be a name.

    Attributes:
        bill: Every request, with its usage and cost.
    """

    bill: Bill

    def __init__(
        self,
        *,
        port: int = 0,
        keys: Iterable[str] | None = None,
        pace: Pace | None = None,
        models: Iterable[str] = (),
        limits: TokenBuckets | None = None,
    ) -> None:
        if isinstance(models, str):
            raise TypeError(f"models= takes names in a list: models=[{models!r}]")
        self._asked_port = port
        self._port: int | None = None
        self._endpoints = Endpoints(
            keys=None if keys is None else frozenset(keys), pace=pace or Pace(), limits=limits
        )
        self._endpoints.catalogue.serve(models)
        self.bill = self._endpoints.bill
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failures: list[BaseException] = []

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            RuntimeError: It does not run.
        """
        if self._port is None:
            raise RuntimeError("the API does not run: use it as a context manager")
        return self._port

    @property
    def url(self) -> str:
        """What a client takes as ``base_url``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pace(self) -> Pace:
        """How fast replies come where an answer does not say. May be set at any time."""
        return self._endpoints.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._endpoints.pace = pace

    @property
    def limits(self) -> TokenBuckets:
        """What each key may ask of each model a minute. May be set at any time: then the buckets begin anew."""
        return self._endpoints.limiter.limits

    @limits.setter
    def limits(self, limits: TokenBuckets | None) -> None:
        self._endpoints.limiter = RateLimiter(limits or PLENTY)

    @property
    def pending(self) -> int:
        """How many items of the script no request has taken."""
        return self._endpoints.script.pending

    def serve(self, *names: str) -> None:
        """Know models by these names too, such as ``"qwen3:8b"``: without it they are answered with 404.

        Such a model takes what local servers take: ``temperature``, ``top_p`` and ``top_k`` in every API version,
        prefill, thinking of type ``enabled`` (with any budget, or none) and ``disabled``, but no effort; 131,072
        tokens of context, all of which a reply may have. Nothing is cached, and its price is not known. A name
        that is known already stays what it is.

        Raises:
            ValueError: A name is blank, or has a space or a control character.
        """
        self._endpoints.catalogue.serve(names)

    def script(self, *items: ScriptItem) -> None:
        """Answer the next requests with ``items``, in this order. What is scripted already comes first."""
        self._endpoints.script.add(items)

    def script_for(self, match: Match, *items: ScriptItem) -> None:
        """Answer the next requests that ``match`` means with ``items``, before what any request would get.

        Args:
            match: A text that the system prompt or the last turn holds, or a function that judges the request.
            items: In the order in which they are given out.
        """
        self._endpoints.script.add(items, match)

    def answer_with(self, function: Callable[[RecordedRequest], ScriptItem] | None) -> None:
        """Let ``function`` answer, or fail, each request for which nothing is scripted; ``None`` ends that.

        It runs in the thread of the server, so while it runs nobody is served. What it raises becomes a 500.
        """
        self._endpoints.answering = function

    def forget_cache(self) -> None:
        """Empty the prompt cache."""
        self._endpoints.cache.clear()

    def wait_idle(self, timeout: float = 5.0) -> None:
        """Block until every request on the bill has ended, aborted ones too.

        In a coroutine: ``await asyncio.to_thread(api.wait_idle)``, as the client may need its event loop.

        Args:
            timeout: Seconds.

        Raises:
            TimeoutError: One was still running.
        """
        self.bill.wait(lambda bill: all(entry.ended for entry in bill), timeout)

    def __repr__(self) -> str:
        where = "not running" if self._port is None else f"at {self.url}"
        return f"<MessagesAPI {where}: {len(self.bill)} requests>"

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("this API runs already")
        ready = threading.Event()
        self._failures.clear()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="promptchain-messages-api", daemon=True
        )
        self._thread.start()
        ready.wait()
        if self._port is None:
            self._join()
            raise self._failures.pop()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            loop.call_soon_threadsafe(stopping.set)
        self._join()
        if self._failures and exc is None:
            raise self._failures.pop()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread = self._loop = self._stopping = self._port = None

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that uses the API
            self._failures.append(error)
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        server = HttpServer(self._endpoints, self._failures.append)
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._port = await server.start(self._asked_port)
        ready.set()
        try:
            await self._stopping.wait()
        finally:
            await server.stop()
