"""A first chain: read a support ticket into a typed value, check it, write the reply.

Run it with ``python examples/first_chain.py``. It needs no key: the offline model stands in. With
ANTHROPIC_API_KEY set, ``python examples/first_chain.py claude-haiku-4-5`` asks Claude.
"""

import sys
from typing import Literal

from pydantic import BaseModel, Field

from promptchain import Chain, Gate, Step

TICKET = """\
My BeanPro 3 leaks since Monday. I paid 249 euros for it in March and I want it repaired!
Anna Weber
"""


class Ticket(BaseModel):
    product: str = Field(description="the product that the customer writes about")
    problem: str = Field(description="what is wrong, in one sentence")
    mood: Literal["calm", "annoyed", "angry"]


read = Step(
    "read",
    prompt="Read this support ticket.\n<ticket>{input}</ticket>",
    output=Ticket,
    gates=[Gate(lambda ticket: bool(ticket.problem.strip()), "the problem must be stated")],
)
reply = Step(
    "reply",
    system="You answer for the support of a shop, in at most five sentences.",
    prompt=(
        "Reply to the customer, who is {read.mood}.\n"
        "Product: {read.product}\n"
        "Problem: {read.problem}\n"
        "<ticket>{input}</ticket>"
    ),
)

support = Chain("support", read | reply, model="claude-haiku-4-5")


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "offline"
    result = support.run_sync(TICKET, model=model)

    print(f"{read.name}: {result[read].output!r}\n")
    print(f"{result.output}\n")
    for attempt in result.ledger:
        usage = attempt.usage
        print(f"{attempt.step:6} {attempt.model}: {usage.input_tokens} in, {usage.output_tokens} out")
    print(f"cost: USD {result.cost}")


if __name__ == "__main__":
    main()
