"""A chain in a module, to run by name.

promptchain check examples/chain_from_a_module.py:reply
promptchain run examples/chain_from_a_module.py:reply "My parcel 4711 has been in Leipzig for nine days."
"""

from typing import Literal

from pydantic import BaseModel, Field

from promptchain import Chain, Gate, Step


class Ticket(BaseModel):
    topic: Literal["delivery", "billing", "product", "other"]
    facts: list[str] = Field(description="numbers, names, places and dates that the message states")
    wish: str = Field(description="what the customer wants to happen, in one sentence")


read = Step(
    "read",
    prompt="Read this message of a customer.\n\n<message>\n{input}\n</message>",
    output=Ticket,
    gates=[Gate(lambda ticket: bool(ticket.wish.strip()), "the wish must be stated")],
)
write = Step(
    "write",
    prompt="""\
Answer this customer in at most 120 words. The topic is {read.topic}; the customer wants this: {read.wish}
Use these facts and no others: {read.facts}

<message>
{input}
</message>""",
)

reply = Chain("reply", read | write, model="claude-haiku-4-5", max_tokens=1_024)

if __name__ == "__main__":
    message = "My parcel 4711 has been in Leipzig for nine days. Please send it to Ada Lovelace in Berlin."
    print(reply.run_sync(message, model="offline").output)
