"""A judge gate: a model judges the answer against a rubric, and says to the writer what to change.

Run it with ``python examples/judge_gate.py``. It needs no key: scripted models write and judge.
"""

from promptchain import Chain, JudgeGate, ScriptedModel, Step
from promptchain.errors import GateCrashedError

RUBRIC = """\
The reply to the customer
- says what happens next, and when;
- promises nothing that the letter does not ask for."""

judge = JudgeGate(RUBRIC, name="helpful", on_fail="retry", timeout=30)
reply = Step("reply", prompt="Reply to this letter.\n<letter>{input}</letter>", gates=[judge], max_reasks=1)
letters = Chain("letters", reply)

LETTER = "My coffee machine arrived with a scratch. What can you do for me?"
VAGUE = "We are sorry about the scratch and will be in touch."
CLEAR = "We are sorry about the scratch. A new housing is on its way, and reaches you on Friday."
FAIL = {"reason": "It does not say what happens next, nor when.", "verdict": "fail"}
PASS = {"reason": "It says that a new housing comes on Friday.", "verdict": "pass"}


def main() -> None:
    # One script for both, in the order in which they are asked.
    model = ScriptedModel(VAGUE, FAIL, CLEAR, PASS)
    result = letters.run_sync(LETTER, model=model)
    print(f"output: {result.output}\n")

    for judgement in result[reply].judgements:
        print(f"attempt {judgement.attempt}: {judgement.verdict.decision} {judgement.verdict.reason}")

    print("\nwhat the judge was shown of the first reply:")
    print(f"  {model.requests[1].messages[0]['content']}".replace("\n", "\n  "))

    print("\nthe judge is on the ledger, beside the step:")
    for attempt in result.ledger:
        print(f"  {attempt.step} {attempt.number}: {attempt.usage.total_input_tokens} in")

    # A judge that answers something else has not judged. That is an error, and nothing passes.
    try:
        letters.run_sync(LETTER, model=ScriptedModel(VAGUE, "Looks good to me!"))
    except GateCrashedError as error:
        print(f"\n{error}")


if __name__ == "__main__":
    main()
