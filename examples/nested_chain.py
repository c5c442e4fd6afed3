"""Nested chains: a chain as a stage of another one, with names and results of its own.

Run it with ``python examples/nested_chain.py``. It needs no key: the offline model stands in.
"""

from pydantic import BaseModel, Field

from promptchain import Chain, Step


class Outline(BaseModel):
    title: str
    points: list[str] = Field(description="three points, in order")


# A chain of its own: it can be run, tested and reused alone. Inside it, {input} is what *it* is handed.
criticise = Step("criticise", prompt="What is weak in this text?\n<text>{input}</text>")
improve = Step("improve", prompt="Improve the text.\n<text>{input}</text>\n<critique>{criticise}</critique>")
revise = Chain("revise", criticise | improve)

outline = Step("outline", prompt="Outline an article.\n<topic>{input}</topic>", output=Outline)
write = Step("write", prompt="Write “{outline.title}”.\nPoints: {outline.points}\n<topic>{input}</topic>")

# `revise` names no model, so its steps ask the one of the chain around it.
article = Chain("article", outline | write | revise, model="offline")


def main() -> None:
    result = article.run_sync("The harbour of Bremen opened in 1886 and grew in 1911. Today it is a museum.")
    print(result.output)

    print("\nwhat each stage used:")
    for stage in result.steps.values():
        print(f"  {stage.path:18} {stage.usage.total_tokens:4} tokens")
        for inner in stage.steps.values():
            print(f"    {inner.path:16} {inner.usage.total_tokens:4} tokens")

    inner = result[revise].steps["criticise"]
    assert inner.output == result[criticise].output  # by name or by the stage itself
    print(f"\nprompt of {inner.path}: sha256 {inner.prompt_hash}")


if __name__ == "__main__":
    main()
