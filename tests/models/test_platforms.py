"""Claude on other platforms: the SDK's own clients, over real HTTP, with each platform's path, framing and errors."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import (
    AsyncAnthropicAWS,
    AsyncAnthropicBedrock,
    AsyncAnthropicBedrockMantle,
    AsyncAnthropicFoundry,
    AsyncAnthropicGoogleCloud,
    AsyncAnthropicVertex,
    DefaultAioHttpClient,
)
from botocore.eventstream import EventStreamBuffer
from google.auth.credentials import Credentials
from google.auth.exceptions import TransportError
from pydantic import BaseModel

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import (
    AuthenticationError,
    ConfigurationError,
    IncompleteReplyError,
    MalformedReplyError,
    MissingExtraError,
    MissingKeyError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelStatusError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from promptchain.events import AttemptFinished, Event
from promptchain.messages import ModelRequest
from promptchain.models.base import complete
from promptchain.models.event_stream import FrameDecoder
from promptchain.models.sse import EventDecoder
from promptchain.testing import Answer, Fault, MessagesAPI, Pace
from promptchain.testing.server import Exchange, HttpRequest, HttpServer

BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/invoke-with-response-stream")
VERTEX = re.compile(
    r"/v1/projects/shop/locations/europe-west1/publishers/anthropic/models/(?P<model>[^/]+):streamRawPredict"
)
WRAPPED = re.compile(
    r"(us\.)?anthropic\.(?P<name>claude-haiku-4-5)(-20251001-v1:0)?|(?P<at>claude-haiku-4-5)@20251001"
)


def text_header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def framed(headers: bytes, payload: bytes) -> bytes:
    """A frame of an AWS event stream, put together by the book."""
    prelude = struct.pack(">II", 12 + len(headers) + len(payload) + 4, len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def chunk_frame(data: bytes) -> bytes:
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    payload = {"bytes": base64.b64encode(data).decode(), "p": "abcdefgh"}
    return framed(b"".join(text_header(*h) for h in headers.items()), json.dumps(payload).encode())


def exception_frame(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":message-type": "exception"}
    return framed(
        b"".join(text_header(*h) for h in headers.items()), json.dumps({"message": message}).encode()
    )


class Cloud:
    """Takes what a platform takes, asks the simulated API, and answers as the platform does."""

    def __init__(self, api: MessagesAPI) -> None:
        self.api = api
        self.url = ""
        self.seen: list[HttpRequest] = []
        self.failures: list[Exception] = []
        self.instead_of_the_end = b""
        self.refusal: tuple[int, dict[str, str], object] | None = None
        self.server = HttpServer(self.answer, self.failures.append)

    async def answer(self, request: HttpRequest, exchange: Exchange) -> None:
        self.seen.append(request)
        if self.refusal is not None:
            status, more, said = self.refusal
            exchange.respond(
                status, [("content-type", "application/json"), *more.items()], json.dumps(said).encode()
            )
            return
        body = json.loads(request.body or b"")
        version = request.headers.get("anthropic-version", body.pop("anthropic_version", None))
        is_bedrock = BEDROCK.fullmatch(request.path)
        if found := is_bedrock or VERTEX.fullmatch(request.path):
            assert "model" not in body
            body |= {"model": found["model"], "stream": True}
        elif not request.path.endswith("/anthropic/v1/messages"):
            raise AssertionError(f"no platform has the path {request.path}")
        if wrapped := WRAPPED.fullmatch(body["model"]):
            body["model"] = wrapped["name"] or wrapped["at"]
        if version in {"bedrock-2023-05-31", "vertex-2023-10-16"}:
            version = "2023-06-01"
        headers = {"authorization": "Bearer simulated", "anthropic-version": version}
        async with (
            httpx2.AsyncClient(timeout=None) as client,
            client.stream("POST", f"{self.api.url}/v1/messages", json=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                exchange.respond(
                    response.status_code, [("content-type", "application/json")], await response.aread()
                )
                return
            kind = "application/vnd.amazon.eventstream" if is_bedrock else "text/event-stream"
            exchange.start(200, [("content-type", kind), ("x-amzn-requestid", "aws-1")])
            events = EventDecoder()
            async for sent in response.aiter_bytes():
                piece = b"".join(map(chunk_frame, events.feed(sent))) if is_bedrock else sent
                if piece:
                    exchange.write(piece)
                    await exchange.drained()
                if self.instead_of_the_end:
                    exchange.write(self.instead_of_the_end)
                    break
        exchange.finish()


Maker = Callable[[str], Any]

AWS = {"aws_region": "eu-central-1", "aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "not a secret"}

# Each platform's client, and the name that a model has there.
PLATFORMS: dict[str, tuple[Maker, str]] = {
    "bedrock": (
        lambda url: AsyncAnthropicBedrock(base_url=url, **AWS),
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "bedrock with a key": (
        lambda url: AsyncAnthropicBedrock(base_url=url, aws_region="eu-central-1", api_key="bedrock-key"),
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "bedrock on aiohttp": (
        lambda url: AsyncAnthropicBedrock(
            base_url=url,
            aws_region="eu-central-1",
            api_key="bedrock-key",
            http_client=DefaultAioHttpClient(),
        ),
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "mantle": (
        lambda url: AsyncAnthropicBedrockMantle(base_url=f"{url}/anthropic", **AWS),
        "anthropic.claude-haiku-4-5",
    ),
    "aws": (
        lambda url: AsyncAnthropicAWS(base_url=f"{url}/anthropic", workspace_id="wrkspc_1", **AWS),
        "claude-haiku-4-5",
    ),
    "vertex": (
        lambda url: AsyncAnthropicVertex(
            base_url=f"{url}/v1", region="europe-west1", project_id="shop", access_token="token"
        ),
        "claude-haiku-4-5@20251001",
    ),
    "google cloud": (
        lambda url: AsyncAnthropicGoogleCloud(
            base_url=f"{url}/anthropic", token_provider=lambda: "token", workspace_id="wrkspc_1"
        ),
        "claude-haiku-4-5",
    ),
    "foundry": (
        lambda url: AsyncAnthropicFoundry(base_url=f"{url}/anthropic", api_key="foundry-key"),
        "claude-haiku-4-5",
    ),
    "foundry with a token": (
        lambda url: AsyncAnthropicFoundry(
            base_url=f"{url}/anthropic", azure_ad_token_provider=lambda: "token"
        ),
        "claude-haiku-4-5",
    ),
}


@pytest.fixture
async def cloud(messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    for variable in ("AWS_REGION", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_AWS_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    running = Cloud(messages_api)
    running.url = f"http://127.0.0.1:{await running.server.start(0)}"
    yield running
    await running.server.stop()
    assert running.failures == []


@pytest.fixture(params=PLATFORMS)
async def model(request: pytest.FixtureRequest, cloud: Cloud) -> AsyncIterator[AnthropicModel]:
    make, name = PLATFORMS[request.param]
    async with make(cloud.url) as client:
        yield AnthropicModel(name, client=client)


@pytest.fixture
async def bedrock(cloud: Cloud) -> AsyncIterator[AnthropicModel]:
    make, name = PLATFORMS["bedrock with a key"]
    async with make(cloud.url) as client:
        yield AnthropicModel(name, client=client)


class City(BaseModel):
    name: str
    people: int


def question(**changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 100, **changes}
    return ModelRequest(messages=({"role": "user", "content": "Say hello."},), **told)


async def test_a_chain_runs_there_and_its_ledger_is_the_bill(
    messages_api: MessagesAPI, cloud: Cloud, model: AnthropicModel
) -> None:
    messages_api.script({"name": "Köln", "people": 1_087_000}, Answer(deltas=["It is ", "a ", "city. ☀"]))
    steps = Step("name", prompt="Which city?\n{input}", output=City, system="Be brief.") | Step(
        "tell", prompt="Tell of {name.name}."
    )
    result = await Chain("c", steps, model=model).run("The one with the cathedral.")
    assert result.output == "It is a city. ☀"
    assert result.steps["name"].output == City(name="Köln", people=1_087_000)
    assert len(cloud.seen) == len(messages_api.bill) == 2
    assert [attempt.usage for attempt in result.ledger] == [entry.usage for entry in messages_api.bill]
    assert not any(attempt.estimated for attempt in result.ledger)
    assert {attempt.model for attempt in result.ledger} == {model.name}
    asked = messages_api.bill[0].received
    assert asked["output_config"]["format"]["schema"]["required"] == ["name", "people"]
    assert asked["system"] == "Be brief."


async def test_requests_are_signed_as_the_platform_wants_it(
    cloud: Cloud, model: AnthropicModel, request: pytest.FixtureRequest
) -> None:
    await complete(model, question(request_id="mine"))
    (seen,) = cloud.seen
    assert seen.headers["x-request-id"] == "mine"
    platform = request.node.callspec.params["model"]
    said = seen.headers.get("authorization", "")
    match platform:
        case "bedrock" | "mantle" | "aws":
            assert said.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            assert "eu-central-1" in said
            assert "x-request-id" in said
        case "bedrock with a key" | "bedrock on aiohttp":
            assert said == "Bearer bedrock-key"
        case "foundry":
            assert seen.headers["x-api-key"] == "foundry-key"
        case _:
            assert said == "Bearer token"


async def test_text_streams_as_it_comes_from_there(messages_api: MessagesAPI, model: AnthropicModel) -> None:
    messages_api.script(Answer(deltas=["one ", "two ", "three"], pace=Pace(between=0.02)))
    chain = Chain("c", Step("a", prompt="{input}"), model=model)
    async with chain.stream("x") as stream:
        assert [text async for text in stream.text] == ["one ", "two ", "three"]
        assert (await stream.result()).usage == messages_api.bill.usage


async def test_cancelling_closes_the_request_that_the_platform_makes(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.script(Answer(deltas=["word "] * 400, pace=Pace(between=0.01)))
    seen: list[Event] = []
    chain = Chain("c", Step("a", prompt="{input}", max_tokens=500), model=model)
    task = asyncio.create_task(chain.run("x", readers=[seen.append]))
    await asyncio.to_thread(messages_api.bill.wait, lambda bill: len(bill) == 1 and bill[0].deltas_sent >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(messages_api.wait_idle)
    (entry,) = messages_api.bill
    assert entry.aborted
    (attempt,) = [event.record for event in seen if isinstance(event, AttemptFinished)]
    assert attempt.estimated
    assert attempt.usage.input_tokens == entry.usage.input_tokens
    assert attempt.usage.output_tokens == 500


async def test_one_call_is_one_request_there_too(
    messages_api: MessagesAPI, cloud: Cloud, model: AnthropicModel
) -> None:
    messages_api.script(Fault.status(529), "never asked")
    with pytest.raises(ModelStatusError):
        await complete(model, question())
    assert len(cloud.seen) == 1


async def test_a_failure_inside_the_stream_is_one_there_too(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.script(Fault.error("api_error", after=4), Fault.end(after=4))
    with pytest.raises(ServerError, match="broke off its reply"):
        await complete(model, question())
    with pytest.raises(IncompleteReplyError, match="ended after it began"):
        await complete(model, question())


async def test_an_older_version_for_sampling_goes_where_the_platform_looks_for_it(
    messages_api: MessagesAPI, cloud: Cloud, model: AnthropicModel, request: pytest.FixtureRequest
) -> None:
    await complete(model, question(temperature=0.2))
    assert messages_api.bill[0].received["temperature"] == 0.2
    sent = json.loads(cloud.seen[0].body or b"")
    version = {"bedrock": "bedrock-2023-05-31", "vertex": "vertex-2023-10-16"}
    platform = request.node.callspec.params["model"].partition(" ")[0]
    if platform in version:
        assert sent["anthropic_version"] == version[platform]
        assert "anthropic-version" not in cloud.seen[0].headers
    else:
        assert cloud.seen[0].headers["anthropic-version"] == "2023-06-01"


REFUSALS: list[tuple[str, int, dict[str, str], object, type[ModelStatusError], str]] = [
    (
        "bedrock",
        429,
        {
            "x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/coral/",
            "x-amzn-requestid": "aws-9",
        },
        {"message": "Too many requests, please wait."},
        RateLimitError,
        "the API answered 429: Too many requests, please wait.",
    ),
    (
        "bedrock",
        403,
        {"x-amzn-errortype": "AccessDeniedException", "x-amzn-requestid": "aws-9"},
        {"message": "You don't have access to the model."},
        PermissionDeniedError,
        (
            "the API answered 403: You don't have access to the model. (check the AWS credentials and region, "
            "or AWS_BEARER_TOKEN_BEDROCK)"
        ),
    ),
    (
        "bedrock",
        424,
        {"x-amzn-errortype": "ModelErrorException", "x-amzn-requestid": "aws-9"},
        {"message": "The model failed."},
        ServerError,
        "the API answered 424: The model failed.",
    ),
    (
        "vertex",
        404,
        {"request-id": "aws-9"},
        [{"error": {"code": 404, "message": "Publisher Model was not found.", "status": "NOT_FOUND"}}],
        ModelNotFoundError,
        (
            "the API answered 404: Publisher Model was not found. (is 'claude-haiku-4-5@20251001' served there, in "
            "this region? On Vertex AI names are like 'claude-haiku-4-5@20251001')"
        ),
    ),
    (
        "foundry",
        401,
        {"apim-request-id": "aws-9"},
        {"error": {"code": "401", "message": "Access denied due to invalid subscription key."}},
        AuthenticationError,
        (
            "the API answered 401: Access denied due to invalid subscription key. (check ANTHROPIC_FOUNDRY_API_KEY, "
            "or the token provider)"
        ),
    ),
]


@pytest.mark.parametrize(
    ("platform", "status", "headers", "body", "kind", "told"),
    REFUSALS,
    ids=[f"{platform} {status}" for platform, status, *_ in REFUSALS],
)
async def test_a_platform_is_quoted_in_its_own_words(
    cloud: Cloud,
    platform: str,
    status: int,
    headers: dict[str, str],
    body: object,
    kind: type[ModelStatusError],
    told: str,
) -> None:
    cloud.refusal = (status, headers, body)
    make, name = PLATFORMS[platform]
    async with make(cloud.url) as client:
        with pytest.raises(kind) as caught:
            await complete(AnthropicModel(name, client=client), question())
    assert type(caught.value) is kind
    assert caught.value.message == told
    assert caught.value.request_id == "aws-9"
    if "x-amzn-errortype" in headers:
        assert caught.value.type == headers["x-amzn-errortype"].partition(":")[0]


async def test_an_exception_in_a_stream_of_bedrock_is_the_error_that_it_names(
    messages_api: MessagesAPI, cloud: Cloud, bedrock: AnthropicModel
) -> None:
    messages_api.script(*[Answer(deltas=["a ", "b "], pace=Pace(between=0.01))] * 2)
    cloud.instead_of_the_end = exception_frame("throttlingException", "Slow down.")
    with pytest.raises(RateLimitError, match=r"Slow down\. \(throttlingException\)") as caught:
        await complete(bedrock, question())
    assert caught.value.billable
    assert caught.value.request_id == "aws-1"
    cloud.instead_of_the_end = exception_frame("modelStreamErrorException", "It broke.")
    with pytest.raises(ServerError, match="It broke"):
        await complete(bedrock, question())


async def test_a_damaged_stream_of_bedrock_is_no_reply(
    messages_api: MessagesAPI, cloud: Cloud, bedrock: AnthropicModel
) -> None:
    messages_api.script(Answer(deltas=["a ", "b "], pace=Pace(between=0.01)))
    cloud.instead_of_the_end = chunk_frame(b'{"type":"ping"}').replace(b"abcdefgh", b"abcdefgX")
    with pytest.raises(MalformedReplyError, match="wrong checksum"):
        await complete(bedrock, question())


async def test_credentials_that_could_not_be_fetched_are_a_broken_connection(cloud: Cloud) -> None:
    class Unreachable(Credentials):
        def refresh(self, request: object) -> None:
            raise TransportError("the metadata server did not answer")

    async with AsyncAnthropicVertex(
        base_url=cloud.url, region="global", project_id="shop", credentials=Unreachable()
    ) as client:
        with pytest.raises(ModelConnectionError, match="the metadata server did not answer") as caught:
            await complete(AnthropicModel("claude-haiku-4-5", client=client), question())
    assert not caught.value.billable
    assert cloud.seen == []


async def test_without_credentials_it_says_where_they_come_from(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    clients = [
        AsyncAnthropicBedrock(base_url=cloud.url, aws_region="us-east-2"),
        AsyncAnthropicVertex(base_url=cloud.url, region="global", project_id="shop"),
    ]
    for client, name in zip(clients, ["Amazon Bedrock", "Vertex AI"], strict=True):
        async with client:
            with pytest.raises(MissingKeyError, match=name):
                await complete(AnthropicModel("claude-haiku-4-5", client=client), question())
    async with AsyncAnthropicVertex(base_url=cloud.url, region="global", access_token="token") as client:
        with pytest.raises(ConfigurationError, match="ANTHROPIC_VERTEX_PROJECT_ID"):
            await complete(AnthropicModel("claude-haiku-4-5", client=client), question())
    assert cloud.seen == []


@pytest.mark.parametrize(
    ("make", "package", "extra"),
    [
        (lambda url: AsyncAnthropicBedrock(base_url=url, aws_region="us-east-2"), "boto3", "bedrock"),
        (lambda url: AsyncAnthropicAWS(base_url=url, workspace_id="w", **AWS), "boto3", "aws"),
        (lambda url: AsyncAnthropicVertex(base_url=url, region="global"), "google", "vertex"),
    ],
)
async def test_what_it_signs_with_is_named_where_it_is_missing(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, make: Maker, package: str, extra: str
) -> None:
    find = importlib.util.find_spec

    def uninstalled(name: str, parent: str | None = None) -> ModuleSpec | None:
        if name == package:
            return None
        if name.startswith(f"{package}."):
            raise ModuleNotFoundError(f"No module named {package!r}")
        return find(name, parent)

    monkeypatch.setattr(importlib.util, "find_spec", uninstalled)
    async with make(cloud.url) as client:
        model = AnthropicModel("claude-haiku-4-5", client=client)
        chain = Chain("c", Step("a", prompt="{input}"), model=model)
        with pytest.raises(MissingExtraError, match=rf"pip install 'anthropic\[{extra}\]'") as caught:
            await chain.run("x")
    assert caught.value.ledger is not None
    assert len(caught.value.ledger) == 0
    assert cloud.seen == []


def frames() -> bytes:
    return b"".join(
        [
            chunk_frame(b'{"type":"ping"}'),
            framed(b"\x01a\x00\x01b\x04\x00\x00\x00\x07" + text_header(":message-type", "event"), b"{}"),
            exception_frame("validationException", "No."),
            framed(
                text_header(":message-type", "error")
                + text_header(":error-code", "InternalFailure")
                + text_header(":error-message", "Oh."),
                b"",
            ),
        ]
    )


TOLD = [
    b'{"type":"ping"}',
    b'{"type":"error","error":{"type":"validationException","message":"No."}}',
    b'{"type":"error","error":{"type":"InternalFailure","message":"Oh."}}',
]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_frames_are_read_however_they_are_cut(size: int) -> None:
    decoder = FrameDecoder()
    stream = frames()
    told: list[bytes] = []
    for begin in range(0, len(stream), size):
        told += decoder.feed(stream[begin : begin + size])
    assert told == TOLD


def test_the_frames_of_these_tests_are_what_the_sdk_reads() -> None:
    messages = EventStreamBuffer()
    messages.add_data(frames())
    assert [event.headers.get(":message-type") for event in messages] == [
        "event",
        "event",
        "exception",
        "error",
    ]


@pytest.mark.parametrize(
    "stream",
    [
        b'{"message": "this is JSON"}',
        frames()[:-1] + b"x",
        framed(b"\x05ab", b""),
        framed(b"\x01a\x63", b""),
        framed(text_header(":message-type", "event") + text_header(":event-type", "chunk"), b'{"bytes":"?"}'),
        framed(text_header(":message-type", "event") + text_header(":event-type", "chunk"), b"no JSON"),
    ],
)
def test_what_is_no_event_stream_is_said_to_be_none(stream: bytes) -> None:
    with pytest.raises(MalformedReplyError, match="is a proxy in between"):
        FrameDecoder().feed(stream)
