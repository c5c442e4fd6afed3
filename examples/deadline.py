"""Deadlines: a run that is ended in time, wherever it is stuck, and says where that was.

The requests go to a simulated Messages API on this machine, which stops in the middle as it is told to. Run it with
``python examples/deadline.py``. It needs no key.
"""

import asyncio

from promptchain import AnthropicModel, Chain, Run, Step, step
from promptchain.errors import DeadlineError
from promptchain.testing import Answer, Fault, MessagesAPI, Pace

QUESTION = "Why does the tide come twice a day?"


@step
async def look_up(question: str, run: Run) -> str:
    left = run.deadline.left if run.deadline else float("inf")
    if "everything" in question:
        await asyncio.sleep(60)
    return f"an encyclopaedia, looked up with {left:.0f} s to go"


notes = Step("notes", prompt="What matters here?\n{input}\n{look_up}")
tell = Step("tell", prompt="Answer.\n<question>{input}</question>\n<notes>{notes}</notes>")
answer = Chain("answer", look_up | notes | tell, deadline=30)

SLOW = Answer("The moon pulls the water, and the earth with it.", pace=Pace(between=5))
STUCK: dict[str, tuple[str, list[str | Answer | Fault]]] = {
    "in time": (QUESTION, ["the moon", "The moon pulls the water."]),
    "stuck in a function": (f"{QUESTION} Tell me everything.", []),
    "silent once, so asked again": (QUESTION, [Fault.stall(), "the moon", "The moon pulls the water."]),
    "silent for ever": (QUESTION, [Fault.stall(), Fault.stall(), Fault.stall()]),
    "stuck in the middle of the answer": (QUESTION, ["the moon", SLOW]),
}


async def main() -> None:
    with MessagesAPI() as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        await answer.run(QUESTION, model=model)  # the first use of a model imports the SDK
        for what, (question, script) in STUCK.items():
            api.bill.clear()
            api.script(*script)
            try:
                result = await answer.run(question, model=model, deadline=1.5)
                print(f"{what}: {result.output}")
            except DeadlineError as error:
                print(f"{what}: {error}")
                print(f"  phase: {error.phase}; requests: {len(error.ledger or ())}")
            await asyncio.to_thread(api.wait_idle)
            print(f"  at the API: {[entry.aborted for entry in api.bill].count(True)} cut, none open")


if __name__ == "__main__":
    asyncio.run(main())
