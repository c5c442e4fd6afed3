"""The endpoints of the simulated API: who may ask, what is refused, and where an answer comes from."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from promptchain.errors import PromptChainError
from promptchain.messages import Message, ModelRequest
from promptchain.models.base import complete
from promptchain.models.offline import OfflineModel
from promptchain.testing.bill import Bill, BillEntry
from promptchain.testing.catalogue import Catalogue
from promptchain.testing.delivery import Delivery
from promptchain.testing.json_values import as_object
from promptchain.testing.limits import PLENTY, RateLimiter, TokenBuckets
from promptchain.testing.prompt_cache import PromptCache, Weighed, count_input
from promptchain.testing.reply import compose, message
from promptchain.testing.script import (
    Answer,
    Fault,
    Pace,
    RecordedRequest,
    Script,
    ScriptItem,
    as_answer,
)
from promptchain.testing.script_json import script_from_json
from promptchain.testing.server import Exchange, HttpRequest
from promptchain.testing.validation import Refused, check_request, check_version
from promptchain.usage import Usage

__all__ = ["Endpoints"]

_ORGANIZATION: Final = "00000000-0000-4000-8000-000000000000"
_HELD: Final = {"messages": ("POST",), "messages/count_tokens": ("POST",), "models": ("GET",)}

Answering: TypeAlias = Callable[[RecordedRequest], ScriptItem]


class Endpoints:
    """Answers requests. It belongs to one event loop; script, bill and catalogue may be used from outside.

    Args:
        keys: The keys that are accepted; ``None`` accepts any.
        pace: How fast replies come where an answer does not say.
        limits: What each key may ask of each model a minute; ``None`` is more than anybody asks.
    """

    def __init__(self, *, keys: frozenset[str] | None, pace: Pace, limits: TokenBuckets | None) -> None:
        self.script = Script()
        self.bill = Bill()
        self.cache = PromptCache()
        self.catalogue = Catalogue()
        self.answering: Answering | None = None
        self.pace = pace
        self._keys = keys
        self.limiter = RateLimiter(limits or PLENTY)
        self._offline = OfflineModel()

    async def __call__(self, request: HttpRequest, exchange: Exchange) -> None:
        """Answer one request."""
        root, _, rest = request.path.strip("/").partition("/")
        if root == "v1" and rest == "messages" and request.method == "POST":
            await self._messages(request, exchange)
            return
        headers = [("request-id", _request_id())]
        try:
            if root in {"health", "bill", "script"} and not rest:
                found = self._control(root, request)
            elif root == "v1":
                found = self._read_only(rest, request)
            else:
                raise Refused(404, "not_found_error", f"Not found: {request.path}")
        except Refused as refused:
            _send_error(exchange, headers, refused)
            return
        _send_json(exchange, 200, [*headers, ("anthropic-organization-id", _ORGANIZATION)], found)

    def _control(self, name: str, request: HttpRequest) -> object:
        """What a test steers the simulation with from another process."""
        match request.method, name:
            case "GET", "health":
                return {"status": "ok"}
            case "GET", "bill":
                return self.bill.as_dict()
            case "DELETE", "bill":
                self.bill.clear()
                return self.bill.as_dict()
            case "GET", "script":
                return {"pending": self.script.pending}
            case "PUT", "script":
                try:
                    self.script.replace(script_from_json(_parse(request)))
                except ValueError as error:
                    raise Refused(400, "invalid_request_error", str(error)) from None
                return {"pending": self.script.pending}
            case _:
                raise _wrong_method(request)

    def _read_only(self, path: str, request: HttpRequest) -> object:
        """The endpoints of the real API that bill nothing."""
        held = _HELD.get(path, ("GET",) if path.startswith("models/") else ())
        if not held:
            raise Refused(404, "not_found_error", f"Not found: {request.path}")
        if request.method not in held:
            raise _wrong_method(request)
        self._authenticate(request)
        version = check_version(request.headers)
        if path == "messages/count_tokens":
            body = _parse_object(request)
            beta = "anthropic-beta" in request.headers
            check_request(body, self.catalogue, version=version, beta=beta, counting=True)
            return {"input_tokens": count_input(body)}
        if path == "models":
            try:
                return self.catalogue.page(request.query)
            except ValueError as error:
                raise Refused(400, "invalid_request_error", str(error)) from None
        name = path.removeprefix("models/")
        model = self.catalogue.find(name)
        if model is None:
            raise Refused(404, "not_found_error", f"model: {name}")
        return model.as_dict()

    def _authenticate(self, request: HttpRequest) -> None:
        key, bearer = _credentials(request.headers)
        if not key and not bearer:
            raise Refused(401, "authentication_error", "x-api-key header is required")
        if self._keys is not None and (key or bearer) not in self._keys:
            raise Refused(401, "authentication_error", "invalid x-api-key" if key else "Invalid bearer token")

    async def _messages(self, request: HttpRequest, exchange: Exchange) -> None:
        entry = BillEntry(request_id=_request_id(), headers=request.headers)
        self.bill.add(entry)
        headers = [("request-id", entry.request_id), ("anthropic-organization-id", _ORGANIZATION)]
        try:
            accepted = self._accept(request, entry)
            await self._reply(accepted, exchange, entry, headers)
        except Refused as refused:
            entry.status, entry.input, entry.output_tokens = refused.status, Usage(), 0
            entry.end()
            self.bill.touch()
            _send_error(exchange, headers, refused)
        except BaseException:  # cancelled, as the client went; or a defect of ours
            entry.aborted = entry.aborted or not entry.ended
            raise
        finally:
            entry.end()
            self.bill.touch()

    def _accept(self, request: HttpRequest, entry: BillEntry) -> RecordedRequest:
        """Everything that the API checks before it asks a model."""
        problem: Refused | None = None
        try:
            entry.received = _parse_object(request)
            entry.model = str(entry.received.get("model", ""))
            entry.streamed = bool(entry.received.get("stream"))
        except Refused as refused:
            problem = refused
        self._authenticate(request)
        version = check_version(request.headers)
        if problem is not None:
            raise problem
        body: Mapping[str, Any] = entry.received
        beta = "anthropic-beta" in request.headers
        facts = check_request(body, self.catalogue, version=version, beta=beta)
        tokens = count_input(body)
        if tokens > facts.context:
            raise Refused(
                400, "invalid_request_error", f"prompt is too long: {tokens} tokens > {facts.context} maximum"
            )
        return RecordedRequest(
            body=body, headers=request.headers, model=entry.model, facts=facts, api_version=version
        )

    async def _reply(
        self,
        request: RecordedRequest,
        exchange: Exchange,
        entry: BillEntry,
        headers: list[tuple[str, str]],
    ) -> None:
        weighed = self.cache.weigh(request.body, request.facts)
        key, bearer = _credentials(request.headers)
        limits = self.limiter.of(key or bearer, request.facts.id)
        limits.admit(weighed.usage.input_tokens + weighed.usage.cache_creation_input_tokens)
        if request.body["max_tokens"] == 0:
            self._prewarm(request, exchange, entry, [*headers, *limits.headers()], weighed)
            return
        taken: tuple[ScriptItem] | None = self.script.take(request)
        fault = taken[0] if taken and isinstance(taken[0], Fault) else None
        if taken is None or (fault is not None and fault.answer is None):
            made = self._ask_function(request, entry)
            taken = made or taken
            if fault is None and made and isinstance(made[0], Fault):
                fault = made[0]
        if fault is not None:
            entry.fault = fault.kind
            if fault.kind == "status" or (fault.kind == "error" and not request.streamed):
                raise Refused(fault.status_code, fault.type or "api_error", fault.words, fault.advice)
            if fault.answer is not None:
                taken = (fault.answer,)
        self.cache.keep(weighed)
        if taken is None or isinstance(taken[0], Fault):
            answer = await self._offline_answer(request)
        else:
            answer = as_answer(taken[0])
        entry.input = weighed.usage
        pace = answer.pace or self.pace
        shaping = fault if fault is not None and fault.kind in {"refusal", "max_tokens"} else None
        reply = compose(
            request,
            answer,
            input_usage=entry.input,
            tokens_per_delta=pace.tokens_per_delta,
            fault=shaping,
        )
        delivery = Delivery(exchange, entry, self.bill, pace=pace, headers=headers, limits=limits)
        await (delivery.stream if request.streamed else delivery.whole)(reply, fault)

    def _ask_function(self, request: RecordedRequest, entry: BillEntry) -> tuple[ScriptItem] | None:
        if self.answering is None:
            return None
        try:
            return (self.answering(request),)
        except Exception as error:
            # It is the test's own code: the client shall see what happened, and the server go on.
            entry.fault = "answer_with"
            raise Refused(500, "api_error", f"answer_with raised {error!r}") from error

    async def _offline_answer(self, request: RecordedRequest) -> Answer:
        messages: list[Message] = [
            {"role": "assistant" if turn["role"] == "assistant" else "user", "content": turn["content"]}
            for turn in request.body["messages"]
        ]
        asked = ModelRequest(
            messages=messages,
            system=request.system or None,
            max_tokens=request.facts.max_tokens,
            output_schema=request.schema,
        )
        try:
            reply = await complete(self._offline, asked)
        except PromptChainError as error:
            raise Refused(400, "invalid_request_error", str(error)) from error
        return Answer(reply.text)

    def _prewarm(
        self,
        request: RecordedRequest,
        exchange: Exchange,
        entry: BillEntry,
        headers: list[tuple[str, str]],
        weighed: Weighed,
    ) -> None:
        """``max_tokens=0`` fills the cache and generates nothing; it takes nothing from the script."""
        self.cache.keep(weighed)
        entry.input = weighed.usage
        reply = compose(request, Answer(), input_usage=entry.input, tokens_per_delta=1)
        entry.status = 200
        entry.end()
        self.bill.touch()
        _send_json(exchange, 200, headers, message(reply))


def _credentials(headers: Mapping[str, str]) -> tuple[str, str]:
    """The key and the bearer token; an empty string where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""


def _request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


def _parse(request: HttpRequest) -> Any:
    if request.body is None:
        raise Refused(413, "request_too_large", "Request exceeds the maximum size of 32 MB")
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "invalid_request_error", f"The request body is not valid JSON: {error}") from None
    return body


def _parse_object(request: HttpRequest) -> dict[str, Any]:
    body = as_object(_parse(request))
    if body is None:
        raise Refused(400, "invalid_request_error", "Input should be an object")
    return body


def _wrong_method(request: HttpRequest) -> Refused:
    return Refused(405, "invalid_request_error", f"Method not allowed: {request.method} {request.path}")


def _send_json(exchange: Exchange, status: int, headers: list[tuple[str, str]], body: object) -> None:
    exchange.respond(status, [*headers, ("content-type", "application/json")], msgspec.json.encode(body))


def _send_error(exchange: Exchange, headers: list[tuple[str, str]], refused: Refused) -> None:
    problem = {"type": refused.type, "message": refused.message}
    body = {"type": "error", "error": problem, "request_id": headers[0][1]}
    _send_json(exchange, refused.status, [*headers, *refused.headers], body)
