"""A gate that asks for another reply: the model sees its own reply and what was wrong with it.

Run it with ``python examples/retry_with_feedback.py``. It needs no key: a scripted model gives both replies.
"""

from promptchain import Chain, Gate, ScriptedModel, Step, Verdict
from promptchain.errors import GateBlockedError

MOST_WORDS = 12


def is_short(text: str) -> Verdict:
    words = len(text.split())
    if words <= MOST_WORDS:
        return Verdict.allow()
    return Verdict.retry(f"It has {words} words. Say it in at most {MOST_WORDS}.")


headline = Step(
    "headline",
    prompt="Write a headline for this text.\n<text>{input}</text>",
    gates=[
        Gate(is_short),
        # The short form, where what to tell the model is always the same.
        Gate(
            lambda text: not text.rstrip().endswith("!"), "Do without an exclamation mark.", on_fail="retry"
        ),
    ],
    max_reasks=1,
)
news = Chain("news", headline)

TEXT = "The harbour of Bremen opened its new museum on Sunday. Entry is free until the end of the month."
TOO_LONG = "The harbour museum of Bremen has opened its doors on Sunday and everybody can go in for free"
SHORT = "Bremen's harbour museum opens, and entry is free"


def main() -> None:
    model = ScriptedModel(TOO_LONG, SHORT)
    result = news.run_sync(TEXT, model=model)
    print(f"output: {result.output}\n")

    print("what the model was sent the second time:")
    for message in model.requests[1].messages:
        print(f"  {message['role']}: {message['content']}".replace("\n", "\n    "))

    print("\nwhat was rejected, and why:")
    for reply in result[headline].rejected:
        print(f"  attempt {reply.attempt}: {reply.reply!r}: {reply.reason}")

    print("\nboth are on the ledger:")
    for attempt in result.ledger:
        print(
            f"  attempt {attempt.number}: {attempt.usage.input_tokens} in, {attempt.usage.output_tokens} out"
        )

    # max_reasks=1 allows one more question. A second reply that is wrong too ends the run.
    try:
        news.run_sync(TEXT, model=ScriptedModel(TOO_LONG, "Bremen has a harbour museum now!"))
    except GateBlockedError as error:
        print(f"\n{error}\nthe last reply: {error.reply!r}")


if __name__ == "__main__":
    main()
