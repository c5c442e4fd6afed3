"""``promptchain.chains:answer``: understand the request, write the content, polish the answer."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, Field

from promptchain.chain import Chain
from promptchain.gates import Gate, min_confidence
from promptchain.settings import Profile
from promptchain.step import Step

__all__ = ["Analysis", "Draft", "answer"]

_PROMPTS: Final = Path(__file__).parent / "prompts"
MIN_CONFIDENCE: Final = 0.5


class Analysis(BaseModel):
    """What a request asks for."""

    intent: str = Field(description="what the user wants, in one sentence")
    key_entities: list[str] = Field(description="people, things, places and terms that the request is about")
    complexity: Literal["simple", "moderate", "complex"]
    context: str = Field(description="what else matters for the answer: constraints, audience, tone")


class Draft(BaseModel):
    """The content of an answer, before it is polished."""

    content: str
    confidence: float = Field(
        ge=0, le=1, description="how sure you are that the content is right and complete"
    )


def _intent_is_stated(analysis: Analysis) -> bool:
    return bool(analysis.intent.strip())


def _content_is_there(draft: Draft) -> bool:
    return bool(draft.content.strip())


analyze = Step(
    "analyze",
    prompt=_PROMPTS / "analyze.md",
    system=_PROMPTS / "analyze.system.md",
    output=Analysis,
    gates=[Gate(_intent_is_stated, "the intent must be stated", name="intent")],
    max_tokens=2_048,
)
process = Step(
    "process",
    prompt=_PROMPTS / "process.md",
    system=_PROMPTS / "process.system.md",
    output=Draft,
    gates=[
        Gate(_content_is_there, "the content must not be empty", name="content"),
        min_confidence(MIN_CONFIDENCE),
    ],
    max_tokens=4_096,
)
synthesize = Step(
    "synthesize",
    prompt=_PROMPTS / "synthesize.md",
    system=_PROMPTS / "synthesize.system.md",
    max_tokens=2_048,
)

answer = Chain(
    "answer",
    analyze | process | synthesize,
    model="claude-haiku-4-5",
    # The content is written in one of the three steps: the better model is worth its price there.
    profiles={
        "balanced": Profile(
            model="claude-haiku-5-5", effort="medium", steps={"process": {"model": "claude-sonnet-5-5"}}
        )
    },
)
"""Analyze, process, synthesize: text in, text out."""
