"""Options that do not exist or have another type: both checkers must reject the marked lines and no other."""

from promptchain import Chain, Gate, Price, Step, step
from promptchain.models.scripted import ScriptedModel


@step
def shout(text: str) -> str:
    return text


@step
def measure(text: str) -> int:
    return len(text)


class NoModel:
    name = "no model"


Step("a", prompt="x", temperature="warm")  # error
Step("a", prompt="x", service_tier="priority")  # error
Step("a", prompt="x", gates_mode="leniant")  # error
Step(
    "a",
    prompt="x",
    temperature=0.5,
    top_p=0.5,
    service_tier="auto",
    max_reasks=1,
    gates_mode="lenient",
    timeout=5,
)
Step("a", prompt="x", max_token=5)  # error
Step("a", prompt="x", max_tokens="5")  # error
Step("a", prompt="x", effort="hihg")  # error
Step("a", prompt="x", model=3)  # error
Step("a", prompt="x", model=NoModel())  # error
Step("a", prompt="x", gates=Gate(bool, "r"))  # error
Step("a", prompt=3)  # error
Step("a")  # error
Step(prompt="x")  # error
Step("a", "x")  # error
Step("a", prompt="x", model=ScriptedModel(), effort="max", system="s", stop_sequences=["END"])

Step("a", prompt="x", optional="yes", default="")  # error
Step("a", prompt="x", optional=True, default=3)  # error
Step("a", prompt="x", optional=True, default=None)  # error
Step("a", prompt="x", optional=True, fallback=measure)  # error
Step("a", prompt="x", optional=True, fallback="shout")  # error
Step("a", prompt="x", output=int, optional=True, default=3)
Step("a", prompt="x", optional=True, fallback=shout)
step(optional="yes", default=3)  # error
Chain("c", shout, deadline="5")  # error
Chain("c", shout, deadline=5).run_sync("x", deadline="5")  # error
Chain("c", shout, timeout=5)  # error
Chain("c", shout, input_gates=[len])  # error
Chain("c", shout, temperature=0.5, input_gates=[Gate(bool, "r")], gates_mode="lenient", max_reasks=0)
Gate(bool, "r", mode="leniant")  # error
Gate(bool, "r", on_fail="ask")  # error
Gate(len)  # error
step(timeout="5")  # error
Chain("c", shout, modle="x")  # error
Chain("c", shout, prices={"m": 3})  # error
Chain("c", [shout])  # error
Chain("c")  # error
Chain("c", shout, prices={"m": Price(input=1, output=2)}, max_input_bytes=10)

Price(input=1)  # error
Price(1, 2)  # error
step(3)  # error


@step  # error
def too_many(a: str, b: str, c: str) -> str:
    return a
