"""Extraction: an invoice as typed data, with a check of each field, of the dates and of the sum.

What pydantic refuses and what a gate refuses goes back to the model, with the reason, until it fits. Here a simulated
Messages API plays a model that errs twice. Run it with ``python examples/extraction.py``. It needs no key.
"""

from datetime import date
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, Field, model_validator

from promptchain import AnthropicModel, Chain, Gate, Step, Verdict
from promptchain.testing import MessagesAPI

INVOICE = """\
Hansen Roasters, Bremen                                  Invoice 2026-0817
12 October 2026, to be paid within 14 days
Café Möwe, Am Deich 7, 28199 Bremen

24 kg   Espresso "Ebb"        19.50 EUR/kg     468.00
10 kg   Filter "Flood"        17.20 EUR/kg     172.00
 1      Grinder service                         85.00
                                       Total   725.00 EUR
"""


class Party(BaseModel):
    name: str
    town: str


class Line(BaseModel):
    what: str
    quantity: int
    unit_price: Decimal = Field(description="EUR, as the invoice says it")

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price


class Invoice(BaseModel):
    number: str
    seller: Party
    buyer: Party
    issued: date
    due: date = Field(description="the last day on which it is to be paid")
    lines: list[Line]
    total: Decimal = Field(description="EUR, as the invoice says it, not calculated")

    @model_validator(mode="after")
    def is_due_after_it_is_issued(self) -> Self:
        if self.due < self.issued:
            raise ValueError(f"it is due on {self.due}, before it was issued on {self.issued}")
        return self


def adds_up(invoice: Invoice) -> Verdict:
    added = sum(line.amount for line in invoice.lines)
    if added == invoice.total:
        return Verdict.allow()
    return Verdict.retry(
        f"The lines add up to {added} EUR, and the total is {invoice.total} EUR: look again."
    )


read = Step(
    "read",
    system="You read documents exactly. What a document does not say, you do not add.",
    prompt="Extract the invoice.\n<document>\n{input}\n</document>",
    output=Invoice,
    gates=[Gate(adds_up)],
    max_tokens=1_000,
)
extract = Chain("extract", read, model="claude-haiku-4-5", max_reasks=2)

RIGHT = Invoice(
    number="2026-0817",
    seller=Party(name="Hansen Roasters", town="Bremen"),
    buyer=Party(name="Café Möwe", town="Bremen"),
    issued=date(2026, 10, 12),
    due=date(2026, 10, 26),
    lines=[
        Line(what='Espresso "Ebb"', quantity=24, unit_price=Decimal("19.50")),
        Line(what='Filter "Flood"', quantity=10, unit_price=Decimal("17.20")),
        Line(what="Grinder service", quantity=1, unit_price=Decimal("85.00")),
    ],
    total=Decimal("725.00"),
)
WRONG_DAY = RIGHT.model_copy(update={"due": date(2026, 1, 26)})
LINE_LEFT_OUT = RIGHT.model_copy(update={"lines": RIGHT.lines[:2]})


def main() -> None:
    with MessagesAPI() as api:
        api.script(WRONG_DAY, LINE_LEFT_OUT, RIGHT)
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        result = extract.run_sync(INVOICE, model=claude)

    for reply in result[read].rejected:
        print(f"reply {reply.attempt} was rejected: {reply.reason}")
    invoice = result.output
    print(
        f"\ninvoice {invoice.number}, {invoice.seller.name} to {invoice.buyer.name}, due {invoice.due:%d %B %Y}"
    )
    for line in invoice.lines:
        print(f"  {line.quantity:3} x {line.what:16} {line.amount:8} EUR")
    print(f"  {'total':22} {invoice.total:8} EUR")
    print(f"\n{len(result.ledger)} requests, {result.usage.total_tokens} tokens, USD {result.cost}")


if __name__ == "__main__":
    main()
