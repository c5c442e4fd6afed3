"""Errors and the ledger: what each failure looks like, and what was spent until then.

A simulated Messages API fails as it is told to, over HTTP, through the official SDK. Its bill is held against the
ledger of each run. Run it with ``python examples/errors_and_ledger.py``. It needs no key.
"""

from typing import Literal

from pydantic import BaseModel

from promptchain import AnthropicModel, Chain, Gate, PromptChainError, Step
from promptchain.errors import RateLimitError
from promptchain.testing import Fault, MessagesAPI


class Ticket(BaseModel):
    problem: str
    mood: Literal["calm", "annoyed", "angry"]


support = Chain(
    "support",
    Step(
        "read",
        prompt="Read this ticket.\n<ticket>{input}</ticket>",
        output=Ticket,
        gates=[Gate(lambda ticket: bool(ticket.problem), "the problem must be stated")],
        max_tokens=500,
    )
    | Step("reply", prompt="Reply to the customer.\nProblem: {read.problem}", max_tokens=500),
    model="claude-haiku-4-5",
)

GOOD = Ticket(problem="The machine leaks.", mood="angry")
SCRIPTS: dict[str, tuple[Ticket | Fault | dict[str, str] | str, ...]] = {
    "all is well": (GOOD, "We are sorry! Please send it in."),
    "overloaded for a moment": (
        Fault.status(529, retry_after_ms=50),
        GOOD,
        "We are sorry! Please send it in.",
    ),
    "overloaded in the middle": (GOOD, Fault.error("overloaded_error", after=4)),
    "the connection breaks": (GOOD, Fault.reset(after=5)),
    "the reply is cut off": (GOOD, Fault.max_tokens()),
    "the model refuses": (Fault.refusal(category="cyber", explanation="This asks for an exploit."),),
    "not what was asked for, three times": ({"problem": "It leaks.", "mood": "furious"},) * 3,
    "a gate says no": ({"problem": "", "mood": "calm"},),
    # Behind it the model would be left alone for that time, so it comes last.
    "too many requests, for longer than a retry waits": (
        Fault.status(429, message="Number of requests exceeded", retry_after=60),
    ),
}


def main() -> None:
    with MessagesAPI() as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        for title, script in SCRIPTS.items():
            print(f"\n# {title}")
            before = len(api.bill)
            api.script(*script)
            try:
                result = support.run_sync("My coffee machine leaks!", model=model)
            except PromptChainError as error:
                ledger = error.ledger or ()
                print(f"{type(error).__name__}: {error}")
                if isinstance(error, RateLimitError):
                    print(f"the API asks to wait {error.retry_after:g} s")
            else:
                ledger = result.ledger
                print(result.output)

            api.wait_idle()
            for attempt, billed in zip(ledger, api.bill[before:], strict=True):
                told, real = attempt.usage.total_tokens, billed.usage.total_tokens
                bound = "at most " if attempt.estimated else ""
                print(f"  {attempt.step:5}  ledger: {bound}{told} tokens, bill: {real} tokens")
                assert told >= real if attempt.estimated else attempt.usage == billed.usage


if __name__ == "__main__":
    main()
