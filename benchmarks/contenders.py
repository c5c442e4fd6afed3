"""One contender in one process: the same three-step job, by hand on the bare SDK or as a chain.

``python benchmarks/contenders.py NAME MEASURE URL`` prints one JSON object. NAME is ``bare``, ``promptchain``
(the SDK's default transport) or ``promptchain-aiohttp``; MEASURE is what ``MEASURES`` names.
"""

import asyncio
import gc
import itertools
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal

import anthropic
import genai_prices
from pydantic import BaseModel, Field

from promptchain import AnthropicModel, Chain, Gate, Step

QUESTION = "Explain Raft to a new engineer, with the election and the log. " * 4
_numbers = itertools.count()


def question() -> str:
    """Another length nearly every time, so that no price is found in a cache."""
    return QUESTION + "word " * (next(_numbers) % 97)


MODEL = "claude-haiku-4-5"
SYSTEM = "You are a careful technical writer."


class Analysis(BaseModel):
    intent: str = Field(description="what the user wants, in one sentence")
    key_entities: list[str]
    complexity: Literal["simple", "moderate", "complex"]


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


ANALYZE = "What does this ask for?\n<request>{input}</request>"
PROCESS = "Write the content.\nIntent: {analyze.intent}\n<request>{input}</request>"
SYNTHESIZE = "Polish this into the final answer:\n{process.content}"

Job = Callable[[], Awaitable[float]]


def bare(client: anthropic.AsyncAnthropic) -> Job:
    """As the SDK's documentation shows it: parse, parse, stream; then sum what was used and what it cost."""

    async def job() -> float:
        began = time.perf_counter()
        asked = question()
        first = 0.0
        analysis = await client.messages.parse(
            model=MODEL,
            max_tokens=2048,
            system=SYSTEM,
            messages=[{"role": "user", "content": ANALYZE.replace("{input}", asked)}],
            output_format=Analysis,
        )
        assert analysis.parsed_output is not None
        assert analysis.parsed_output.intent.strip()
        prompt = PROCESS.replace("{analyze.intent}", analysis.parsed_output.intent).replace("{input}", asked)
        draft = await client.messages.parse(
            model=MODEL,
            max_tokens=4096,
            system=SYSTEM,
            messages=[{"role": "user", "content": prompt}],
            output_format=Draft,
        )
        assert draft.parsed_output is not None
        assert draft.parsed_output.confidence >= 0.5
        prompt = SYNTHESIZE.replace("{process.content}", draft.parsed_output.content)
        text = ""
        async with client.messages.stream(
            model=MODEL, max_tokens=2048, system=SYSTEM, messages=[{"role": "user", "content": prompt}]
        ) as stream:
            async for piece in stream.text_stream:
                first = first or time.perf_counter() - began
                text += piece
            final = await stream.get_final_message()
        assert text.count(" ") == 200
        cost = Decimal(0)
        for message in (analysis, draft, final):
            used = genai_prices.extract_usage(message.model_dump(), provider_id="anthropic")
            assert used.usage is not None
            cost += genai_prices.calc_price(used.usage, MODEL, provider_id="anthropic").total_price
        assert cost > 0
        return first

    return job


def promptchain(client: anthropic.AsyncAnthropic) -> Job:
    """The same as a chain, with everything on that is on by itself."""
    stated = Gate[Analysis](lambda a: bool(a.intent.strip()), "the intent must be stated")
    sure = Gate[Draft](lambda d: d.confidence >= 0.5, "confidence must be at least 0.5")
    stages = (
        Step("analyze", prompt=ANALYZE, system=SYSTEM, output=Analysis, gates=[stated])
        | Step("process", prompt=PROCESS, system=SYSTEM, output=Draft, gates=[sure])
        | Step("synthesize", prompt=SYNTHESIZE, system=SYSTEM)
    )
    chain = Chain("answer", stages, model=AnthropicModel(MODEL, client=client))

    async def job() -> float:
        began = time.perf_counter()
        first = 0.0
        async with chain.stream(question()) as stream:
            async for _ in stream.text:
                first = first or time.perf_counter() - began
            result = await stream.result()
        assert result.output.count(" ") == 200
        assert result.cost is not None
        assert result.cost > 0
        return first

    return job


CONTENDERS: dict[str, tuple[Callable[[anthropic.AsyncAnthropic], Job], bool]] = {
    "bare": (bare, False),
    "promptchain": (promptchain, False),
    "promptchain-aiohttp": (promptchain, True),
}
"""How the job is done, and whether on the SDK's aiohttp transport."""


async def cpu(job: Job, runs: int, at_once: int) -> dict[str, float]:
    """CPU (user and system) of this process a run, and the median time to the first text."""
    for _ in range(5):
        await job()
    gc.collect()
    firsts: list[float] = []
    began = time.process_time()
    for _ in range(0, runs, at_once):
        firsts += await asyncio.gather(*(job() for _ in range(at_once)))
    spent = time.process_time() - began
    return {"cpu_ms": spent / runs * 1e3, "first_text_ms": sorted(firsts)[len(firsts) // 2] * 1e3}


async def in_flight(job: Job, runs: int) -> dict[str, float]:
    """Resident memory a run while all of them wait for the first token of the last step."""
    warm = [asyncio.ensure_future(job()) for _ in range(20)]
    await asyncio.sleep(1.0)
    gc.collect()
    before = _resident()
    tasks = [asyncio.ensure_future(job()) for _ in range(runs)]
    await asyncio.sleep(runs * 0.06)
    gc.collect()
    grown = _resident() - before
    for task in (*warm, *tasks):
        task.cancel()
    await asyncio.gather(*warm, *tasks, return_exceptions=True)
    return {"kib_in_flight": grown / runs / 1024}


async def kept(job: Job, runs: int) -> dict[str, float]:
    """Resident memory that stays for each run that has ended."""
    for _ in range(200):
        await job()
    gc.collect()
    before = _resident()
    for _ in range(runs):
        await job()
    gc.collect()
    return {"kib_kept": (_resident() - before) / runs / 1024}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


MEASURES: dict[str, Callable[[Job], Awaitable[dict[str, float]]]] = {
    "burst": lambda job: cpu(job, runs=60, at_once=1),
    "paced": lambda job: cpu(job, runs=20, at_once=1),
    "burst-64": lambda job: cpu(job, runs=256, at_once=64),
    "in-flight": lambda job: in_flight(job, runs=400),
    "kept": lambda job: kept(job, runs=1000),
}


def main() -> None:
    name, measure, url = sys.argv[1:]

    make, aiohttp = CONTENDERS[name]

    async def run() -> dict[str, float]:
        http_client = anthropic.DefaultAioHttpClient() if aiohttp else None
        async with anthropic.AsyncAnthropic(
            base_url=url, api_key="benchmark", max_retries=0, http_client=http_client
        ) as client:
            return await MEASURES[measure](make(client))

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main()
