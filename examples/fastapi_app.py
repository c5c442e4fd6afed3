"""A chain in a FastAPI app: the answer with its cost, and the answer as it is written.

Errors become HTTP errors, and a client that goes away ends its run, and with it the spending. Run it with
``python examples/fastapi_app.py``: it serves on a free port of this machine, asks itself, and ends. It needs no key, as
a simulated Messages API answers, but ``pip install fastapi uvicorn``.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import TypeVar

import httpx2
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from promptchain import AnthropicModel, Chain, Gate, Model, PromptChainError, Step
from promptchain.errors import (
    DeadlineError,
    GateBlockedError,
    InputError,
    ModelError,
    ReplyError,
    StepTimeoutError,
)
from promptchain.testing import Fault, MessagesAPI, Pace

T = TypeVar("T")

# What each branch of the errors is for the client; what is not here is a fault of ours.
STATUS: dict[type[PromptChainError], HTTPStatus] = {
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    GateBlockedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ReplyError: HTTPStatus.BAD_GATEWAY,
    ModelError: HTTPStatus.BAD_GATEWAY,
    StepTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
    DeadlineError: HTTPStatus.GATEWAY_TIMEOUT,
}


class Question(BaseModel):
    text: str


class Answer(BaseModel):
    text: str
    cost: str | None  # USD in decimal digits: a float would lose some
    run_id: str


def create_app(chain: Chain[str, str], model: Model | None = None) -> FastAPI:
    """The app around ``chain``, which asks ``model`` instead of its own where one is given."""
    app = FastAPI(title=chain.name)

    @app.exception_handler(PromptChainError)
    async def tell(_: Request, error: PromptChainError) -> JSONResponse:
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), None)
        if status is None:
            raise error
        told = {"error": type(error).__name__, "message": error.message, "run_id": error.run_id}
        return JSONResponse(told, status)

    @app.post("/answer")
    async def answer(question: Question, request: Request) -> Answer:
        result = await unless_gone(request, chain.run(question.text, model=model))
        cost = None if result.cost is None else f"{result.cost:f}"
        return Answer(text=result.output, cost=cost, run_id=result.run_id)

    @app.post("/stream")
    async def stream(question: Question, request: Request) -> StreamingResponse:
        pieces = committed(chain, question.text, model)
        # An error before the first piece can still have a status of its own; a later one cuts the response.
        first = await unless_gone(request, anext(pieces))
        return TextResponse(first, pieces)

    return app


async def committed(chain: Chain[str, str], text: str, model: Model | None) -> AsyncGenerator[str]:
    async with chain.stream(text, model=model) as stream:
        async for piece in stream.text:
            yield piece


class TextResponse(StreamingResponse):
    """Text as it comes. When the response ends, in whatever way, ``rest`` is closed at once, and its run with it."""

    def __init__(self, first: str, rest: AsyncGenerator[str]) -> None:
        super().__init__(self._pieces(first, rest), media_type="text/plain")
        self._rest = rest

    async def _pieces(self, first: str, rest: AsyncGenerator[str]) -> AsyncGenerator[str]:
        yield first
        async for piece in rest:
            yield piece

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._rest):
            await super().__call__(scope, receive, send)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Do ``work``, but end it when the client of ``request`` goes: no server does that by itself."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        raise HTTPException(499, "the client has closed the request")  # nobody reads it
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


support = Chain(
    "support",
    Step(
        "check",
        prompt="Is this a question? Reply with yes or no.\n<text>{input}</text>",
        gates=[Gate(lambda text: text.startswith("yes"), "only questions are answered")],
    )
    | Step("tell", prompt="Answer.\n<question>{input}</question>"),
    model="claude-haiku-4-5",
    max_tokens=400,
)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncGenerator[str]:
    """Serve ``app`` on a free port, and give its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def main() -> None:
    with MessagesAPI(pace=Pace(between=0.02)) as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        async with served(create_app(support, model)) as url, httpx2.AsyncClient(base_url=url) as client:
            for text, script in (
                ("What makes the tide?", ["yes", "The moon, and the sun a little."]),
                (" ", []),
                ("The tide is high.", ["no"]),
                ("What makes the tide?", ["yes", Fault.status(529, retry_after=60)]),
            ):
                api.script(*script)
                response = await client.post("/answer", json={"text": text})
                print(f"/answer {text!r}\n  {response.status_code} {json.dumps(response.json())}")

            question = {"text": "What makes the tide, and why does it come twice a day?"}
            api.script("yes")
            print(f"\n/stream {question['text']!r}")
            async with client.stream("POST", "/stream", json=question) as response:
                pieces = [piece async for piece in response.aiter_text()]
            print(f"  {response.status_code}, {len(pieces)} pieces: {''.join(pieces)[:60]!r} ...")

            api.script("yes")
            async with client.stream("POST", "/stream", json=question) as response:
                await anext(response.aiter_text())
            await asyncio.to_thread(api.wait_idle)
            whole, left = api.bill[-3], api.bill[-1]
            print("\n/stream, and the client goes after the first piece")
            print(f"  the request to the API was ended: {left.aborted}")
            print(f"  fewer tokens than the whole answer: {left.output_tokens < whole.output_tokens}")


if __name__ == "__main__":
    asyncio.run(main())
