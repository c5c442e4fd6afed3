"""Ready-made gates: a product text that is checked for what a shop must not get wrong.

A scripted model gives a first draft with three faults, each of which one gate finds, and then better ones. Run it
with ``python examples/ready_made_gates.py``. It needs no key.
"""

from decimal import Decimal

from pydantic import BaseModel, Field

from promptchain import Chain, PromptChainError, ScriptedModel, Step
from promptchain.gates import does_not_match, in_range, length, min_confidence, not_empty, one_of

CATEGORIES = ["kitchen", "garden", "office"]  # from the shop's database, so not a Literal


class Product(BaseModel):
    title: str
    category: str
    price: Decimal = Field(description="in euros")
    selling_points: list[str]
    confidence: float = Field(description="from 0 to 1: how sure you are that every fact is in the source")


describe = Step(
    "describe",
    prompt="Describe this product for a shop.\n<source>{input}</source>",
    output=Product,
    gates=[
        not_empty(field="title", on_fail="retry"),
        length(max=40, field="title", on_fail="retry"),
        does_not_match(r"(?i)\b(best|cheapest)\b", field="title", reason="The title must not boast."),
        one_of(CATEGORIES, case_sensitive=False, field="category", on_fail="retry"),
        in_range("price", gt=0, le=5_000, on_fail="retry"),
        length(min=2, max=4, unit="items", field="selling_points", mode="lenient"),
        min_confidence(0.6),
    ],
    max_reasks=3,
)
shop = Chain("shop", describe)

SOURCE = "BeanPro 3. Coffee machine for the kitchen counter, steel, 249 euros."
GOOD = Product(
    title="BeanPro 3 coffee machine",
    category=" Kitchen",
    price=Decimal(249),
    selling_points=["steel"],
    confidence=0.9,
)
LONG = "BeanPro 3, the coffee machine of steel for every kitchen counter"


def main() -> None:
    model = ScriptedModel(
        GOOD.model_copy(update={"title": LONG}),
        GOOD.model_copy(update={"category": "coffee"}),
        GOOD.model_copy(update={"price": Decimal(-249)}),
        GOOD,
    )
    result = shop.run_sync(SOURCE, model=model)
    print(f"output: {result.output!r}\n")

    print("what the model was asked to put right:")
    for rejected in result[describe].rejected:
        print(f"  attempt {rejected.attempt}: {rejected.reason}")

    print("\nwhat the gates said of the last reply, other than yes:")
    for judgement in result[describe].judgements:
        if judgement.attempt == 4 and judgement.verdict.decision != "allow":
            print(f"  {judgement.gate}: {judgement.verdict.decision}: {judgement.verdict.reason}")

    boasting = GOOD.model_copy(update={"title": "The best coffee machine"})
    try:
        shop.run_sync(SOURCE, model=ScriptedModel(boasting))
    except PromptChainError as error:
        print(f"\n{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
