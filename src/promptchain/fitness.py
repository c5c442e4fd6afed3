"""Whether a model takes what is said of its calls, as far as it is known by name.

What a known model surely refuses is an error before a request leaves. Of a model that is not known nothing is
refused: the API, or whoever answers in its place, decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from promptchain.arguments import DEFAULT_MAX_TOKENS, Arguments
from promptchain.errors import DefinitionError
from promptchain.models import Model
from promptchain.models.catalog import MODELS, KnownModel, known_model

__all__ = ["refuse_unfit"]

_LEAST_BUDGET: Final = 1_024
_NAMED_WITH_SAMPLING: Final = 3
_PLACES: Final = "the step, its chain or the settings"


def refuse_unfit(arguments: Arguments, model: Model) -> None:
    """See that ``model`` takes ``arguments``; its name says which model it is.

    It runs once a step of a run, and takes a few microseconds at most.

    Raises:
        DefinitionError: The model is known, and surely does not take one of them; the message says what it
            takes, and what to change.
    """
    if (
        arguments.temperature is None
        and arguments.top_p is None
        and arguments.effort is None
        and arguments.thinking is None
        and arguments.max_tokens is None
    ):
        return
    known = known_model(model.name)
    if known is None:
        return
    problem = (
        _sampling(arguments, known)
        or _effort(arguments, known)
        or _max_tokens(arguments, known)
        or _thinking(arguments, known)
    )
    if problem:
        raise DefinitionError(f"{model.name} {problem}")


def _sampling(arguments: Arguments, known: KnownModel) -> str:
    said = [name for name in ("temperature", "top_p") if getattr(arguments, name) is not None]
    if not said:
        return ""
    if not known.sampling:
        others = [other.alias for other in MODELS if other.sampling][:_NAMED_WITH_SAMPLING]
        return (
            f"takes no {_either(said)}: leave {'it' if len(said) == 1 else 'both'} out of {_PLACES} and steer it "
            f"with effort or thinking, or give model= one that takes it, such as {_either(others)}."
        )
    if len(said) > 1:
        return f"takes temperature or top_p, not both: leave one of them out of {_PLACES}."
    if arguments.temperature not in {None, 1} and _kind(arguments.thinking) not in {None, "disabled"}:
        return (
            f"takes no temperature but 1 while it thinks, and it is {arguments.temperature}: leave temperature "
            f"or thinking out of {_PLACES}."
        )
    return ""


def _effort(arguments: Arguments, known: KnownModel) -> str:
    effort = arguments.effort
    if effort is None or effort in known.effort:
        return ""
    # The newest of the same line comes nearest to what was wanted.
    takers = [other for other in MODELS if effort in other.effort]
    taker = next((other for other in takers if other.line == known.line), takers[0])
    other = f"or give model= one that takes it, such as {taker.alias}."
    if known.effort:
        levels = _either([repr(level) for level in known.effort])
        return f"takes no effort {effort!r}: say {levels} in {_PLACES}, {other}"
    return f"takes no effort: leave it out of {_PLACES} and steer it with thinking, {other}"


def _max_tokens(arguments: Arguments, known: KnownModel) -> str:
    if arguments.max_tokens is None or arguments.max_tokens <= known.max_tokens:
        return ""
    return (
        f"writes at most {known.max_tokens:,} tokens, and max_tokens is {arguments.max_tokens:,}: "
        f"lower it in {_PLACES}."
    )


def _thinking(arguments: Arguments, known: KnownModel) -> str:
    thinking = arguments.thinking
    if thinking is None:
        return ""
    kind = _kind(thinking)
    if kind not in known.thinking:
        said = f"of type {kind!r}" if "type" in thinking else "without a type"
        kinds = _either([_example(other) for other in known.thinking])
        return f"takes no thinking {said}: say thinking={kinds} in {_PLACES}." + (
            " How much it thinks is up to effort." if kind == "enabled" else ""
        )
    return _budget(thinking, arguments.max_tokens) if kind == "enabled" else ""


def _budget(thinking: Mapping[str, Any], max_tokens: int | None) -> str:
    budget = thinking.get("budget_tokens")
    if type(budget) is not int:
        said = f"budget_tokens is {budget!r}" if "budget_tokens" in thinking else "budget_tokens is missing"
        return (
            f"thinks with budget_tokens, a whole number of tokens, and {said}: say "
            f"thinking={_example('enabled')}, or more tokens, in {_PLACES}."
        )
    if budget < _LEAST_BUDGET:
        return (
            f"thinks with budget_tokens of at least {_LEAST_BUDGET:,}, and they are {budget:,}: raise them in "
            f"thinking= of {_PLACES}."
        )
    most = DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens
    if budget >= most:
        unsaid = " where nothing is said" if max_tokens is None else ""
        return (
            f"thinks within max_tokens, which is {most:,}{unsaid}, and budget_tokens is {budget:,}: raise "
            f"max_tokens above it, or lower budget_tokens, in {_PLACES}."
        )
    return ""


def _example(kind: str) -> str:
    budget = f", 'budget_tokens': {_LEAST_BUDGET}" if kind == "enabled" else ""
    return f"{{'type': {kind!r}{budget}}}"


def _kind(thinking: Mapping[str, Any] | None) -> object:
    return None if thinking is None else thinking.get("type")


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
