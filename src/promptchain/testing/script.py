"""What the simulated API is told to do: answers, faults, their pace, and the order in which they come."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pydantic_core
from pydantic import BaseModel

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

from promptchain.testing.catalogue import ModelFacts
from promptchain.testing.json_values import as_object

__all__ = ["Answer", "AnswerLike", "Fault", "Pace", "RecordedRequest", "Script", "ScriptItem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a reply comes.

    Attributes:
        first: Seconds before the first delta.
        between: Seconds between deltas. Above 0, every delta is a TCP write of its own; at 0 the reply comes
            in a burst.
        tokens_per_delta: Tokens of a delta where the answer does not set its own deltas.
        events_per_write: Events of one TCP write in a burst.
    """

    first: float = 0.0
    between: float = 0.0
    tokens_per_delta: int = 1
    events_per_write: int = 64

    def __post_init__(self) -> None:
        if self.first < 0 or self.between < 0:
            raise ValueError("first and between are seconds and cannot be negative")
        if self.tokens_per_delta < 1 or self.events_per_write < 1:
            raise ValueError("tokens_per_delta and events_per_write must be at least 1")


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply of the model.

    Attributes:
        content: A text, which is sent as it is; anything else is sent as its JSON.
        deltas: The text in exactly these pieces; ``content`` is then left out.
        thinking: The thinking, where a request asks for it; left out, a sentence is made up.
        pace: How fast it comes; left out, as fast as the API is set to.
    """

    content: object = ""
    deltas: Sequence[str] = field(default=(), kw_only=True)
    thinking: str | None = field(default=None, kw_only=True)
    pace: Pace | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.deltas and self.content != "":
            raise ValueError("an Answer takes content or deltas, not both")

    @property
    def text(self) -> str:
        """The reply's text."""
        if self.deltas:
            return "".join(self.deltas)
        return self.content if isinstance(self.content, str) else pydantic_core.to_json(self.content).decode()


AnswerLike: TypeAlias = (
    "Answer | BaseModel | DataclassInstance | str | Mapping[str, Any] | Sequence[Any] | int | float | None"
)
"""An answer. A string is the text itself; what is no ``Answer`` either is sent as its JSON."""

FaultKind: TypeAlias = Literal[
    "status", "reset", "stall", "malformed", "error", "end", "refusal", "max_tokens"
]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {type_: status for status, type_ in _TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong with one request. Made by the class methods.

    ``after`` counts the events of the stream, ``message_start`` and ``ping`` among them; a number past the end
    means just before the ``message_delta`` that would complete the reply, so no fault passes unseen. A reply
    that is not streamed has no events: there 0 is before any byte, and more is in the middle of the body.
    Each fault interrupts ``answer``, or what would have been answered without it.
    """

    kind: FaultKind
    after: int | None = None
    answer: AnswerLike = None
    status_code: int = 200
    type: str | None = None
    message: str | None = None
    retry_after: float | None = None
    retry_after_ms: float | None = None
    should_retry: bool | None = None
    category: str | None = None
    explanation: str | None = None

    def __post_init__(self) -> None:
        if self.after is not None and self.after < 0:
            raise ValueError("after counts events and cannot be negative")

    @classmethod
    def status(
        cls,
        code: int,
        *,
        type: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        retry_after_ms: float | None = None,
        should_retry: bool | None = None,
    ) -> Fault:
        """An error status instead of a reply; ``retry_after`` is in seconds."""
        if not 400 <= code <= 599:
            raise ValueError(f"an error status is from 400 to 599, not {code}")
        usual = "invalid_request_error" if code < 500 else "api_error"
        return cls(
            kind="status",
            status_code=code,
            type=type or _TYPES.get(code, usual),
            message=message,
            retry_after=retry_after,
            retry_after_ms=retry_after_ms,
            should_retry=should_retry,
        )

    @classmethod
    def reset(cls, *, after: int | None = None, answer: AnswerLike = None) -> Fault:
        """The connection is reset (TCP RST), before any byte of the response or after ``after`` events."""
        return cls(kind="reset", after=after, answer=answer)

    @classmethod
    def stall(cls, *, after: int | None = None, answer: AnswerLike = None) -> Fault:
        """Nothing comes any more, until the client goes."""
        return cls(kind="stall", after=after, answer=answer)

    @classmethod
    def malformed(cls, *, after: int | None = None, answer: AnswerLike = None) -> Fault:
        """One event whose data is not JSON, in place of the next; the rest follows."""
        return cls(kind="malformed", after=after, answer=answer)

    @classmethod
    def error(
        cls,
        type: str = "overloaded_error",
        *,
        after: int | None = None,
        message: str | None = None,
        answer: AnswerLike = None,
    ) -> Fault:
        """An error event inside the stream; where there is no stream, the status that belongs to it."""
        code = _STATUSES.get(type, 500)
        return cls(kind="error", status_code=code, type=type, after=after, message=message, answer=answer)

    @classmethod
    def end(cls, *, after: int | None = None, answer: AnswerLike = None) -> Fault:
        """The body ends properly, the reply does not: no stop reason, no ``message_stop``."""
        return cls(kind="end", after=after, answer=answer)

    @classmethod
    def refusal(
        cls,
        *,
        category: str | None = None,
        explanation: str | None = None,
        after: int | None = None,
        answer: AnswerLike = None,
    ) -> Fault:
        """The model refuses, after ``after`` deltas of text; none when left out."""
        return cls(
            kind="refusal", category=category, explanation=explanation, after=after or 0, answer=answer
        )

    @classmethod
    def max_tokens(cls, *, after: int | None = None, answer: AnswerLike = None) -> Fault:
        """The reply stops at ``max_tokens`` after ``after`` deltas of text; half of them when left out."""
        return cls(kind="max_tokens", after=after, answer=answer)

    @property
    def advice(self) -> list[tuple[str, str]]:
        """The headers that tell a client when to try again."""
        headers: list[tuple[str, str]] = []
        if self.retry_after is not None:
            headers.append(("retry-after", f"{self.retry_after:g}"))
        if self.retry_after_ms is not None:
            headers.append(("retry-after-ms", f"{self.retry_after_ms:g}"))
        if self.should_retry is not None:
            headers.append(("x-should-retry", "true" if self.should_retry else "false"))
        return headers

    @property
    def words(self) -> str:
        """The message that the client reads."""
        return self.message or {"overloaded_error": "Overloaded"}.get(self.type or "", "a scripted error")


ScriptItem: TypeAlias = "AnswerLike | Fault"
"""What a script may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request that the simulated API has accepted.

    Attributes:
        body: The parsed body.
        headers: The headers, names in lower case.
        model: The model's name as it was asked for.
        facts: What that model accepts.
        api_version: The ``anthropic-version``.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]
    model: str
    facts: ModelFacts = field(repr=False)
    api_version: str

    @property
    def streamed(self) -> bool:
        """Whether the reply is to be streamed."""
        return bool(self.body.get("stream"))

    @property
    def system(self) -> str:
        """The system prompt, or an empty string."""
        return _text_of(self.body.get("system", ""))

    @property
    def prompt(self) -> str:
        """The text of the last turn."""
        return _text_of(self.body["messages"][-1]["content"])

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON schema that the reply must conform to, or ``None``."""
        config = as_object(self.body.get("output_config")) or {}
        return as_object((as_object(config.get("format")) or {}).get("schema"))


def _text_of(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block["text"]) for block in content if block.get("type") == "text")


Match: TypeAlias = str | Callable[[RecordedRequest], bool]
"""Which requests are meant: those whose system prompt or last turn holds a text, or that a function picks."""


def _matches(match: Match | None, request: RecordedRequest) -> bool:
    if match is None:
        return True
    if isinstance(match, str):
        return match in request.prompt or match in request.system
    return match(request)


class Script:
    """Items in the order in which they are given out, some of them for certain requests only."""

    def __init__(self) -> None:
        self._rows: list[tuple[Match | None, deque[ScriptItem]]] = []
        self._lock = threading.Lock()

    def add(self, items: Sequence[ScriptItem], match: Match | None = None) -> None:
        """Put ``items`` behind what is there.

        Raises:
            TypeError: An item has no JSON, so it could not be sent.
        """
        for item in items:
            _refuse_unsendable(item)
        with self._lock:
            self._rows.append((match, deque(items)))

    def replace(self, items: Sequence[ScriptItem]) -> None:
        """Forget what is there and begin again with ``items``."""
        with self._lock:
            self._rows = [(None, deque(items))]

    def take(self, request: RecordedRequest) -> tuple[ScriptItem] | None:
        """The next item for ``request``, in a tuple as it may be ``None`` itself; or ``None``.

        What is meant for certain requests comes before what is meant for any.
        """
        with self._lock:
            self._rows = [row for row in self._rows if row[1]]
            for special in (True, False):
                for match, items in self._rows:
                    if (match is not None) is special and _matches(match, request):
                        return (items.popleft(),)
        return None

    @property
    def pending(self) -> int:
        """How many items no request has taken yet."""
        with self._lock:
            return sum(len(items) for _, items in self._rows)


def as_answer(item: AnswerLike) -> Answer:
    """``item`` as an ``Answer``."""
    return item if isinstance(item, Answer) else Answer(item)


def _refuse_unsendable(item: ScriptItem) -> None:
    answer = item.answer if isinstance(item, Fault) else item
    try:
        as_answer(answer).text.encode()
    except (pydantic_core.PydanticSerializationError, UnicodeEncodeError) as error:
        raise TypeError(f"{answer!r} cannot be sent as an answer: {error}") from None
