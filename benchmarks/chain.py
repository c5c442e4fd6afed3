"""What a chain costs beside the same job written by hand on the bare SDK.

``python benchmarks/chain.py`` runs the contenders in turn, several rounds, each in a process of its own against
a simulated Messages API in another, prints a table with ratios to the bare SDK, and writes JSON to
``benchmarks/results/chain.json``. Figures are CPU time (user and system) of the contender's process; compare
only ratios of one run, and read nothing into differences under a quarter.

A run is analyze (structured), process (structured), synthesize (streamed, 200 deltas); validation, usage and cost
are part of it. ``burst``: the API sends 64 events a write. ``paced``: a delta a millisecond, each in its own packet.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from importlib import metadata
from pathlib import Path

from promptchain import Chain, Step
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyStarted, TextDelta
from promptchain.usage import Usage

HERE = Path(__file__).parent
CONTENDERS = ("bare", "promptchain", "promptchain-aiohttp")
MEASURES = {"burst": "burst", "paced": "paced", "burst-64": "burst", "in-flight": "held", "kept": "burst"}
"""What is measured, and how the API has to send for it."""
FIGURES = {
    "cpu_ms": "CPU ms a run",
    "first_text_ms": "start to first text, ms",
    "kib_in_flight": "KiB a run in flight",
    "kib_kept": "KiB kept a finished run",
}
PACKAGES = ("promptchain-ai", "anthropic", "httpx2", "aiohttp", "pydantic", "msgspec", "genai-prices")

Row = dict[str, float]


def round_of(measure: str) -> dict[str, Row]:
    """Every contender once, one after another, against one API."""
    api = subprocess.Popen(
        [sys.executable, HERE / "api.py", MEASURES[measure]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert api.stdin is not None
    assert api.stdout is not None
    url = api.stdout.readline().strip()
    try:
        return {name: contend(name, measure, url) for name in CONTENDERS}
    finally:
        api.stdin.close()
        api.wait()
        api.stdout.close()


def contend(name: str, measure: str, url: str) -> Row:
    command = [sys.executable, str(HERE / "contenders.py"), name, measure, url]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Row = json.loads(finished.stdout)
    return row


def medians(rounds: list[dict[str, Row]]) -> dict[str, Row]:
    """The median of each figure, and of its ratio to the bare SDK in the same round."""
    table: dict[str, Row] = {}
    for name in CONTENDERS:
        table[name] = {}
        for figure in rounds[0][name]:
            table[name][figure] = statistics.median(r[name][figure] for r in rounds)
            if rounds[0]["bare"][figure] > 0:
                ratios = [r[name][figure] / r["bare"][figure] for r in rounds if r["bare"][figure] > 0]
                table[name][f"{figure} / bare"] = statistics.median(ratios)
    return table


class NoOpModel:
    """Answers at once, so that what is left is our own work."""

    name = "no-op"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:  # noqa: ARG002
        yield ReplyStarted("m", self.name, Usage(10))
        yield TextDelta("done")
        yield ReplyFinished("end_turn", Usage(10, 1))


def own_cost_per_step(runs: int = 3000) -> float:
    """CPU microseconds a step of a three-step chain whose model costs nothing."""
    stages = Step("a", prompt="{input}") | Step("b", prompt="{a}") | Step("c", prompt="{b}")
    chain = Chain("no-op", stages, model=NoOpModel())

    async def measure() -> float:
        for _ in range(200):
            await chain.run("x")
        began = time.process_time()
        for _ in range(runs):
            await chain.run("x")
        return (time.process_time() - began) / runs / 3 * 1e6

    return asyncio.run(measure())


def import_cost() -> float:
    """CPU seconds of ``import promptchain`` above those of an empty program, the median of seven."""

    def spent(code: str) -> float:
        program = f"import time\n{code}\nprint(time.process_time())"
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout)

    return statistics.median(spent("import promptchain") - spent("") for _ in range(7))


def main() -> None:
    parser = argparse.ArgumentParser(description="What a chain costs beside the same job on the bare SDK.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs (default: 5)")
    parser.add_argument("--measure", choices=MEASURES, action="append", help="only this; may be repeated")
    arguments = parser.parse_args()

    versions = {name: metadata.version(name) for name in PACKAGES}
    print(f"Python {platform.python_version()}, " + ", ".join(f"{n} {v}" for n, v in versions.items()))
    results: dict[str, dict[str, Row]] = {}
    print(f"\n{'measure':<10} {'contender':<20} {'figure':<26} {'median':>9} {'x bare':>7}")
    for measure in arguments.measure or MEASURES:
        table = results[measure] = medians([round_of(measure) for _ in range(arguments.rounds)])
        for name, row in table.items():
            for figure, title in FIGURES.items():
                if figure in row:
                    ratio = row.get(f"{figure} / bare")
                    shown = f"{ratio:7.2f}" if ratio is not None else f"{'-':>7}"
                    print(f"{measure:<10} {name:<20} {title:<26} {row[figure]:9.2f} {shown}", flush=True)
    own = {"own_cost_us_per_step": own_cost_per_step(), "import_cpu_s": import_cost()}
    print(f"\nour own cost a step, model that costs nothing: {own['own_cost_us_per_step']:.0f} µs of CPU")
    print(f"import promptchain: {own['import_cpu_s']:.2f} s of CPU above an empty program")

    target = HERE / "results" / "chain.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(
        json.dumps({"versions": versions, "rounds": arguments.rounds, **own, **results}, indent=2)
    )
    print(f"written: {target.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
