"""How late a run returns whose every phase stalls in turn, and what a deadline costs where nothing stalls.

``python benchmarks/deadline.py`` runs a chain under a deadline of one second against a simulated Messages API in this
process, prints a line for each place where it is stuck, and writes JSON to ``benchmarks/results/deadline.json``. Late is
what passes between the deadline and the error, in ms of wall time. What is left are requests that have not ended at the
API a second later and tasks that still run; both should be 0. The cost is the CPU time of a run of three stages that do
nothing, with a deadline less without, in µs.
"""

import asyncio
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

from promptchain import AnthropicModel, Chain, Gate, JudgeGate, Stage, Step, step
from promptchain.errors import DeadlineError, PromptChainError
from promptchain.policy import Limits, Policy, Retry
from promptchain.testing import Fault, MessagesAPI

DEADLINE = 1.0
ROUNDS = 5
RUNS = 2_000
LONG = " ".join(str(number) for number in range(200))

ONCE = Policy(retry=None)
PATIENT = Policy(retry=Retry(attempts=2, max_wait=0.9))
ONE = Policy(retry=None, limits=Limits(concurrency=1))


async def stuck(value: object) -> bool:
    await asyncio.sleep(60)
    return bool(value)


@step
async def waits(text: str) -> str:
    await asyncio.sleep(60)
    return text


@step
def blocks(text: str) -> str:
    time.sleep(3)
    return text


first = Step("first", prompt="{input}")
last = Step("last", prompt="{previous}")
gated = Step("gated", prompt="{input}", gates=[Gate(stuck)])
judged = Step("judged", prompt="{input}", gates=[JudgeGate("It must be kind.")])
advice = Fault.status(529, retry_after=0.7)

PLACES: dict[str, tuple[Stage[Any, Any], list[Any], Policy]] = {
    "before any byte": (first | last, ["one", Fault.stall()], ONCE),
    "before the first token": (first | last, ["one", Fault.stall(after=2)], ONCE),
    "in the middle": (first | last, ["one", Fault.stall(after=9, answer=LONG)], ONCE),
    "in attempts": (first | last, ["one", *[Fault.stall()] * 3], Policy()),
    "in a backoff, then stuck": (first | last, ["one", advice, Fault.stall()], PATIENT),
    "refused a long backoff": (first | last, ["one", Fault.status(529, retry_after=5)], Policy()),
    "in a gate": (gated, ["one"], ONCE),
    "in a judge": (judged, ["one", Fault.stall(after=2)], ONCE),
    "in an async function": (first | waits, ["one"], ONCE),
    "in a thread": (first | blocks, ["one"], ONCE),
    "in an inner chain": (first | Chain("inner", last), ["one", Fault.stall()], ONCE),
}


async def late(place: str, model: AnthropicModel, api: MessagesAPI) -> dict[str, Any]:
    stages, script, policy = PLACES[place]
    api.bill.clear()
    api.script(*script)
    before = asyncio.all_tasks()
    began = time.perf_counter()
    try:
        await Chain("c", stages, policy=policy).run("x", model=model, deadline=DEADLINE)
    except DeadlineError as error:
        took, phase, where = time.perf_counter() - began, error.phase, error.step
    else:
        raise AssertionError(f"{place}: it was in time")
    tasks = len(asyncio.all_tasks() - before)
    await asyncio.sleep(0.05)
    open_still = sum(not entry.ended for entry in api.bill)
    return {
        "late_ms": (took - DEADLINE) * 1e3,
        "phase": phase,
        "step": where,
        "requests": len(api.bill),
        "left": tasks + open_still,
    }


async def in_queue(model: AnthropicModel, api: MessagesAPI) -> dict[str, Any]:
    """One of two runs waits for the other, as the policy allows one request at a time."""
    api.bill.clear()
    api.script(Fault.stall(), Fault.stall())
    chain = Chain("c", Step("a", prompt="{input}"), policy=ONE)
    holder = asyncio.create_task(chain.run("x", model=model, deadline=3))
    await asyncio.to_thread(api.bill.wait, lambda bill: len(bill) == 1)
    began = time.perf_counter()
    try:
        await chain.run("y", model=model, deadline=DEADLINE)
    except DeadlineError as error:
        took, phase, where = time.perf_counter() - began, error.phase, error.step
    else:
        raise AssertionError("it was in time")
    requests = len(api.bill) - 1
    holder.cancel()
    await asyncio.wait({holder})
    return {
        "late_ms": (took - DEADLINE) * 1e3,
        "phase": phase,
        "step": where,
        "requests": requests,
        "left": 0,
    }


def cost() -> dict[str, float]:
    """µs of CPU that a deadline adds to a run in which nothing happens."""

    async def a(text: str) -> str:
        return text

    chain = Chain("c", step(a) | step(name="b")(a) | step(name="c")(a))

    async def timed(deadline: float | None) -> float:
        began = time.process_time()
        for _ in range(RUNS):
            await chain.run("x", deadline=deadline)
        return (time.process_time() - began) / RUNS * 1e6

    asyncio.run(timed(None))
    pairs = [(asyncio.run(timed(None)), asyncio.run(timed(60))) for _ in range(ROUNDS)]
    without = statistics.median(pair[0] for pair in pairs)
    return {"without_us": without, "added_us": statistics.median(pair[1] - pair[0] for pair in pairs)}


async def measured() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with MessagesAPI() as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        api.script("warm")
        await Chain("warm", first).run("x", model=model)
        for place in PLACES:
            found[place] = [await late(place, model, api) for _ in range(ROUNDS)]
        try:
            found["in a queue"] = [await in_queue(model, api) for _ in range(ROUNDS)]
        except PromptChainError as error:
            print(f"in a queue: {error!r}")
    return found


def main() -> None:
    found = asyncio.run(measured())
    print(f"deadline of {DEADLINE:g} s, {ROUNDS} rounds\n")
    print(f"{'stuck':26} {'phase':12} {'step':11} {'requests':>8} {'late, ms':>14} {'left':>5}")
    for place, rows in found.items():
        lates = [row["late_ms"] for row in rows]
        told = f"{statistics.median(lates):.1f}, max {max(lates):.1f}"
        phases = "/".join(dict.fromkeys(row["phase"] for row in rows))
        left = max(row["left"] for row in rows)
        print(f"{place:26} {phases:12} {rows[0]['step']:11} {rows[0]['requests']:8} {told:>14} {left:5}")
    costs = cost()
    print(
        f"\na run of three functions: {costs['without_us']:.0f} µs; a deadline adds {costs['added_us']:.0f} µs"
    )
    out = Path(__file__).parent / "results" / "deadline.json"
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    out.write_text(json.dumps({"machine": machine, "cost": costs, "places": found}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
