"""Strict and lenient gates: the same chain stops at a gate that says no, or goes on and keeps the verdict.

Lenient is for trying a gate out: what it would have stopped is in the results before it stops anything.
Run it with ``python examples/lenient_mode.py``. It needs no key: a scripted model replies.
"""

from pydantic import BaseModel, Field

from promptchain import Chain, Gate, ScriptedModel, Step
from promptchain.errors import GateBlockedError


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


draft = Step(
    "draft",
    prompt="Answer.\n<question>{input}</question>",
    output=Draft,
    gates=[
        Gate(lambda draft: draft.confidence >= 0.7, "the confidence must be at least 0.7", name="confidence"),
        # A gate that says its mode itself keeps it, whatever the chain says.
        Gate(
            lambda draft: bool(draft.content.strip()),
            "there must be a content",
            name="content",
            mode="strict",
        ),
    ],
)
polish = Step("polish", prompt="Polish this:\n{draft.content}")

strict = Chain("strict", draft | polish)
lenient = Chain("lenient", draft | polish, gates_mode="lenient")

QUESTION = "Why does the tide come twice a day?"
UNSURE = Draft(content="It may be the moon.", confidence=0.4)


def main() -> None:
    model = ScriptedModel(UNSURE, "never asked for")
    try:
        strict.run_sync(QUESTION, model=model)
    except GateBlockedError as error:
        print(f"strict:  {error}")
        print(f"         rejected: {error.value!r}")
        print(f"         {model.pending} of 2 replies were not asked for\n")

    result = lenient.run_sync(QUESTION, model=ScriptedModel(UNSURE, "The moon, it seems."))
    print(f"lenient: {result.output}")
    for judgement in result[draft].judgements:
        verdict = judgement.verdict
        print(f"         {judgement.gate} ({judgement.mode}): {verdict.decision} {verdict.reason}".rstrip())

    try:
        lenient.run_sync(QUESTION, model=ScriptedModel(Draft(content=" ", confidence=0.9)))
    except GateBlockedError as error:
        print(f"\nlenient, but a gate that is always strict: {error}")


if __name__ == "__main__":
    main()
