"""A function stage between two prompts, with gates and a timeout: what code finds is checked like what a model writes.

Run it with ``python examples/function_gates.py``. It needs no key: a scripted model replies.
"""

import time

from pydantic import BaseModel, Field

from promptchain import Chain, Gate, PromptChainError, ScriptedModel, Step, Verdict, step

STOCK = {"espresso": 12, "filter": 0, "decaf": 400}


class Wish(BaseModel):
    """What a letter orders."""

    article: str = Field(description="the coffee that is ordered")
    kilos: int


class Offer(BaseModel):
    article: str
    kilos: int
    in_stock: int


def is_in_stock(offer: Offer) -> bool:
    return offer.in_stock > 0


def no_more_than_there_is(offer: Offer) -> Verdict:
    if offer.kilos <= offer.in_stock:
        return Verdict.allow()
    part = offer.model_copy(update={"kilos": offer.in_stock})
    return Verdict.replace(part, f"{offer.kilos} kg are wanted, {offer.in_stock} kg are there")


# It runs in a thread, as it may block. After 0.5 s the run ends, whatever the thread does.
@step(timeout=0.5, gates=[Gate(is_in_stock, "we have none of it"), Gate(no_more_than_there_is)])
def look_up(wish: Wish) -> Offer:
    """Stands for a request to the warehouse, which hangs when it is asked for something it does not know."""
    article = wish.article.lower()
    if article not in STOCK:
        time.sleep(2)
    return Offer(article=article, kilos=wish.kilos, in_stock=STOCK.get(article, 0))


read = Step("read", prompt="What does this letter order?\n<letter>{input}</letter>", output=Wish)
write = Step(
    "write",
    input=Offer,
    prompt="Confirm the order of {previous.kilos} kg {previous.article}.\n<letter>{input}</letter>",
)
orders = Chain("orders", read | look_up | write)


def main() -> None:
    for wish in (
        Wish(article="Decaf", kilos=5),
        Wish(article="Espresso", kilos=50),
        Wish(article="Filter", kilos=5),
        Wish(article="Tea", kilos=1),
    ):
        model = ScriptedModel(wish, "Thank you for your order! We send it tomorrow.")
        print(f"{wish.kilos} kg {wish.article}")
        try:
            result = orders.run_sync("Please send me some coffee.", model=model)
        except PromptChainError as error:
            print(f"  {type(error).__name__}: {error}")
        else:
            print(f"  offer: {result[look_up].output.kilos} kg")
            for judgement in result[look_up].judgements:
                print(f"  {judgement.gate}: {judgement.verdict.decision} {judgement.verdict.reason}".rstrip())
        print(f"  requests to the model: {len(model.requests)}")


if __name__ == "__main__":
    main()
