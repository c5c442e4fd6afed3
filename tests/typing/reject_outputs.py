"""Uses of outputs that both checkers must reject, at the marked lines and nowhere else."""

from pydantic import BaseModel

from promptchain import Chain, Gate, Step, step


class Analysis(BaseModel):
    intent: str


def long(text: str) -> bool:
    return len(text) > 3


@step
def number(text: str) -> int:
    return len(text)


analyze = Step("analyze", prompt="x", output=Analysis)
answer = Chain("answer", analyze | Step("last", prompt="x"))
result = answer.run_sync("x")

print(result.output.intent)  # error
print(result[analyze].output.intend)  # error
result[analyze].output.intent.upper()
result["analyze"]  # error
result.cost + 1  # error
result.output = "other"  # error
count: str = Chain("c", number).run_sync("x").output  # error

Step("a", prompt="x", output=Analysis, gates=[Gate(lambda a: bool(a.intend), "r")])  # error
Step("a", prompt="x", gates=[Gate(lambda text: bool(text.intent), "r")])  # error
Step("a", prompt="x", output=Analysis, gates=[Gate(long, "r")])  # error
Step("a", prompt="x", output=Analysis, gates=[lambda a: True])  # error
Step("a", prompt="x", gates=[Gate(lambda text: text, "r")])  # error
Gate(long)
