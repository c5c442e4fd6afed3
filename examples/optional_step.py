"""Optional steps: a run that goes on without a step that fails, or that there is no time for.

Run it with ``python examples/optional_step.py``. It needs no key: scripted models reply.
"""

import asyncio

from promptchain import Chain, Policy, Result, ScriptedModel, Step, step
from promptchain.errors import ModelNotFoundError, OverloadedError, PromptChainError


@step
async def search(question: str) -> str:
    if "all libraries" in question:
        await asyncio.sleep(2.4)
    return f"twelve pages on: {question}"


@step
def from_the_shelf(pages: str) -> str:
    return f"an encyclopaedia of 1911 ({len(pages)} characters of the web were not read)"


# The run goes on with a value, or with what another stage gives.
sources = Step("sources", prompt="Name the best source.\n{search}", optional=True, fallback=from_the_shelf)
example = Step("example", prompt="Give an example for this.\n{input}", optional=True, default="none")
tell = Step("tell", prompt="Answer {input}\nSource: {sources}\nExample: {example}")

answer = Chain("answer", search | sources | example | tell, policy=Policy(retry=None))

QUESTION = "Why does the tide come twice a day?"
ANSWER = "The moon pulls the water, and the earth with it."


def show(what: str, result: Result[str]) -> None:
    print(f"{what}: {result.output}")
    for degraded in result.degraded:
        print(f"  without {degraded.step}: {degraded.reason} (instead: {degraded.by})")
    print(f"  requests: {len(result.ledger)}\n")


async def main() -> None:
    whole = ScriptedModel("a tide table", "Bremen has two high waters a day", ANSWER)
    show("all is well", await answer.run(QUESTION, model=whole))

    busy = ScriptedModel(OverloadedError("overloaded"), OverloadedError("overloaded"), ANSWER)
    show("two steps fail", await answer.run(QUESTION, model=busy))

    # After a long search there is time for what is required alone.
    hurried = ScriptedModel(ANSWER)
    show("time is short", await answer.run(f"{QUESTION} Search all libraries.", model=hurried, deadline=3))

    try:
        gone = ScriptedModel("a tide table", "an example", ModelNotFoundError("no such model", status=404))
        await answer.run(QUESTION, model=gone)
    except PromptChainError as error:
        print(f"a required step fails: {error}")


if __name__ == "__main__":
    asyncio.run(main())
