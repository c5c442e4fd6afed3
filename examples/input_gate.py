"""Gates in front of a chain: what it is handed is changed or refused before anything is sent.

The first gate replaces e-mail addresses, the second refuses what the chain is not for. Run it with
``python examples/input_gate.py``. It needs no key: a scripted model replies.
"""

import re

from promptchain import Chain, Gate, ScriptedModel, Step, Verdict
from promptchain.errors import GateBlockedError

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def without_addresses(text: str) -> Verdict:
    redacted, found = ADDRESS.subn("[e-mail address]", text)
    return Verdict.replace(redacted, f"e-mail addresses left out: {found}") if found else Verdict.allow()


def is_about_an_order(text: str) -> bool:
    return re.search(r"\border\b", text, re.IGNORECASE) is not None


reply = Step("reply", prompt="Answer this letter.\n<letter>{input}</letter>")
letters = Chain(
    "letters",
    reply,
    input_gates=[
        Gate(without_addresses),
        Gate(is_about_an_order, "only letters about an order are answered"),
    ],
)


def main() -> None:
    model = ScriptedModel("We look into it today.", "never asked for")

    result = letters.run_sync("Where is my order? Please write to ada@example.com. Ada", model=model)
    print(f"sent:   {model.requests[0].messages[0]['content']!r}")
    print(f"output: {result.output}")
    for judgement in result.judgements:
        print(f"  {judgement.gate}: {judgement.verdict.decision} {judgement.verdict.reason}".rstrip())

    try:
        letters.run_sync("Write me a poem. I am poet@example.com", model=model)
    except GateBlockedError as error:
        print(f"\n{type(error).__name__}: {error}")
        print(f"judged: {error.value!r}")
        print(f"{len(error.ledger or ())} requests in its ledger, {len(model.requests)} in all")


if __name__ == "__main__":
    main()
