"""Inputs and links that both checkers must reject, at the marked lines and nowhere else."""

from pydantic import BaseModel

from promptchain import Chain, Step, step


class A(BaseModel):
    x: int


class B(BaseModel):
    y: int


@step
def number(text: str) -> int:
    return len(text)


@step
async def later(text: str) -> int:
    return len(text)


gives_a = Step("a", prompt="x", output=A)
takes_b = Step("b", prompt="x", input=B)
answer = Chain("answer", gives_a | Step("last", prompt="x"))
typed = Chain("typed", Step("first", prompt="x", input=A))

answer.run_sync(42)  # error
answer.run_sync(None)  # error
answer.run_sync()  # error
answer.stream(A(x=1))  # error
typed.run_sync("text")  # error
typed.run_sync(B(y=1))  # error
typed.run_sync(A(x=1))

gives_a | takes_b  # error
number | number  # error
later | later  # error
takes_b | takes_b  # error
answer | number | answer  # error
gives_a | "text"  # error
gives_a | takes_b | gives_a  # error


async def runs() -> None:
    await answer.run(42)  # error
    await answer.run("x", request_id=3)  # error
    await answer.run("x", budget=3)  # error
    async with answer.stream(b"bytes") as stream:  # error
        await stream.result()
