"""Circuit breakers, on pybreaker: one a process for each endpoint, model and set of numbers.

pybreaker counts and times; what it does not know of asyncio is here: a call is let through, then awaited, then its
verdict is reported. One probe at a time, no verdict by a cancelled call, none by one that began in another state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, cast
from weakref import ReferenceType, ref

from promptchain.errors import (
    CircuitOpenError,
    ConflictError,
    ModelError,
    ModelTimeoutError,
    RateLimitError,
)
from promptchain.events import CircuitChanged, CircuitState
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished
from promptchain.models import Model, model_named
from promptchain.models.base import endpoint_of
from promptchain.models.per_model import PerModel
from promptchain.policy import Breaker
from promptchain.resilience.retrying import is_retryable
from promptchain.resilience.wrapper import Wrapper
from promptchain.run import Run

if TYPE_CHECKING:
    from pybreaker import CircuitBreaker, CircuitMemoryStorage

__all__ = ["Circuit", "Guarded", "circuit_of", "circuits"]

# How long to stay away while somebody else is trying.
_WHILE_PROBED: Final = 1.0


class _Failed(Exception):  # noqa: N818 - what pybreaker is told, and nobody else sees
    pass


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Pass:
    """A call that was let through, and in which period of the circuit."""

    period: int


class Circuit:
    """The circuit to one model. Safe to use from several threads.

    Attributes:
        model: Name of the model.
        endpoint: Address of the API, or ``None`` where the model does not say.
        breaker: The numbers.
    """

    def __init__(self, breaker: Breaker, model: str, endpoint: str | None) -> None:
        self.breaker = breaker
        self.model = model
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._storage, self._counts = _pybreaker(breaker)
        # What pybreaker says, which takes a while to ask for.
        self._state: CircuitState = "closed"
        self._period = 0
        self._opened = 0.0
        # Weak, as whoever tries may be gone without a word, with its event loop.
        self._probe: ReferenceType[_Pass] | None = None

    @property
    def state(self) -> CircuitState:
        """``"closed"``, ``"open"``, or ``"half_open"``: it is being tried, or the next call will."""
        with self._lock:
            return "half_open" if self._state == "open" and self._left <= 0 else self._state

    @property
    def failures(self) -> int:
        """Failures in a row until now."""
        return self._storage.counter

    @property
    def retry_after(self) -> float:
        """Seconds until it is tried again; 0 where a call would be let through."""
        with self._lock:
            return self._retry_after

    def reset(self) -> None:
        """Close it, and forget the failures."""
        with self._lock:
            self._counts.close()
            self._next_period()

    def admit(self) -> tuple[_Pass, CircuitState]:
        """Let a call through, and say what the state was before.

        Raises:
            CircuitOpenError: It is open.
        """
        with self._lock:
            before = self._state
            if before == "closed":
                return _Pass(self._period), before
            if before == "open" and self._left <= 0:
                self._counts.half_open()
                self._next_period()
            left = self._retry_after
            if left > 0:
                raise CircuitOpenError(
                    f"{self.model} failed too often in a row and is left alone; it is tried again in {left:.3g} s: "
                    "wait so long, or name another model in the policy, as in Fallback(['claude-sonnet-5-5']).",
                    model=self.model,
                    retry_after=left,
                )
            passed = _Pass(self._period)
            self._probe = ref(passed)
            return passed, before

    def judge(self, passed: _Pass, *, succeeded: bool | None) -> tuple[CircuitState, CircuitState]:
        """Take the verdict on a call, ``None`` for none, and say the states before and after."""
        with self._lock:
            before = self._state
            if passed.period == self._period:
                self._probe = None
                # To tell pybreaker of a success takes 10 µs, and mostly there is nothing that it could change.
                if succeeded is not None and not (succeeded and before == "closed" and not self.failures):
                    with suppress(_Failed):
                        self._counts.call(_nothing if succeeded else _fail)
                    if self._state != self._told_state:
                        self._next_period()
            return before, self._state

    @property
    def _told_state(self) -> CircuitState:
        return cast("CircuitState", self._storage.state.replace("-", "_"))

    @property
    def _left(self) -> float:
        # Not by the time of day, as pybreaker does, which may be set.
        return self._opened + self.breaker.reset - time.monotonic()

    @property
    def _retry_after(self) -> float:
        if self._state == "open":
            return max(0.0, self._left)
        is_probed = self._probe is not None and self._probe() is not None
        return min(_WHILE_PROBED, self.breaker.reset) if is_probed else 0.0

    def _next_period(self) -> None:
        self._state = self._told_state
        self._period += 1
        self._opened = time.monotonic()
        self._probe = None

    def __repr__(self) -> str:
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"<Circuit to {self.model}{where}: {self.state}, {self.failures} failures>"


def _pybreaker(breaker: Breaker) -> tuple[CircuitMemoryStorage, CircuitBreaker]:
    import pybreaker  # noqa: PLC0415 - needed for the first request, not to define a chain

    storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
    counts = pybreaker.CircuitBreaker(
        fail_max=breaker.failures,
        reset_timeout=breaker.reset,
        success_threshold=breaker.successes,
        state_storage=storage,
        throw_new_error_on_trip=False,
    )
    return storage, counts


def _nothing() -> None:
    return None


def _fail() -> NoReturn:
    raise _Failed


class Guarded(Wrapper):
    """Asks ``model`` only where its circuit lets it, and tells the circuit how that went."""

    __slots__ = ("_circuit", "_run")

    def __init__(self, model: Model, circuit: Circuit, run: Run) -> None:
        super().__init__(model)
        self._circuit = circuit
        self._run = run

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the reply.

        Raises:
            CircuitOpenError: The circuit is open. Nothing was sent.
        """
        circuit = self._circuit
        passed, before = circuit.admit()
        if before == "open":
            self._tell("open", "half_open")
        succeeded: bool | None = None
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    if isinstance(event, ReplyFinished):
                        succeeded = True
                        self._tell(*circuit.judge(passed, succeeded=True))
                    yield event
        except ModelError as error:
            if self._is_failure(error):
                succeeded = False
                self._tell(*circuit.judge(passed, succeeded=False))
            raise
        finally:
            # Cancelled, or refused for what is in the request: the API may well be there.
            if succeeded is None:
                circuit.judge(passed, succeeded=None)

    def _is_failure(self, error: ModelError) -> bool:
        if isinstance(error, RateLimitError):
            return self._circuit.breaker.counts_rate_limits
        if isinstance(error, ModelTimeoutError) and error.by_deadline:
            return False  # it was the caller who had no time
        return is_retryable(error) and not isinstance(error, ConflictError)

    def _tell(self, before: CircuitState, after: CircuitState) -> None:
        if before != after:
            run = self._run
            circuit = self._circuit
            run.emit(
                CircuitChanged(
                    at=run.seconds,
                    step=run.path,
                    model=circuit.model,
                    endpoint=circuit.endpoint,
                    before=before,
                    after=after,
                )
            )


_circuits: Final[PerModel[Circuit]] = PerModel()
# A model may be collected while this is held.
_registry = threading.RLock()


def circuit_of(model: str | Model, breaker: Breaker | None = None) -> Circuit:
    """The circuit to ``model``: by its endpoint and name, or by itself where it has no endpoint.

    Args:
        model: A name, or a model.
        breaker: The numbers; left out, those of ``Breaker()``.
    """
    asked = model_named(model) if isinstance(model, str) else model
    numbers = breaker or Breaker()
    key = (*_circuits.key(asked), numbers)
    with _registry:
        kept = _circuits.of(asked)
        if key not in kept:
            kept[key] = Circuit(numbers, asked.name, endpoint_of(asked))
        return kept[key]


def circuits() -> Sequence[Circuit]:
    """Every circuit of this process, so that its state can be read and it can be reset."""
    with _registry:
        return tuple(_circuits)
