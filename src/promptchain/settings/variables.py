"""Variables: which of the environment are ours, what each is about, and what its text says."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from promptchain.arguments import Arguments
from promptchain.errors import ConfigurationError, DefinitionError
from promptchain.settings.env_file import Line
from promptchain.settings.layers import FIELDS, Layer
from promptchain.spelling import brief, nearest

__all__ = [
    "PREFIX",
    "Span",
    "Variable",
    "by_stem",
    "in_file",
    "in_process",
    "layer_of",
    "number_of",
    "stem_of",
    "switched",
    "text_of",
]

PREFIX: Final = "PROMPTCHAIN_"
_MOST_DIGITS: Final = 20
_SWITCHES: Final = {"on": True, "true": True, "1": True, "yes": True} | {
    "off": False,
    "false": False,
    "0": False,
    "no": False,
}
_OTHER: Final = re.compile("[^A-Za-z0-9]")
_RAW: Final[Mapping[Any, Any] | None] = getattr(os.environ, "_data", None)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of ours.

    Attributes:
        name: Its name.
        text: What it is set to. There may be a secret in it, so it is not shown.
        origin: Where it was found, for people: ``"PROMPTCHAIN_MODEL (.env, line 3)"``.
    """

    name: str
    text: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The numbers that a variable takes.

    Attributes:
        least: The least of them.
        most: The greatest.
        is_open: Whether ``least`` itself is none of them.
        is_whole: Whether they are whole.
        unit: What they count, if that is not plain.
    """

    least: float
    most: float = math.inf
    is_open: bool = False
    is_whole: bool = False
    unit: str = ""

    def __contains__(self, value: float) -> bool:
        return (self.least < value if self.is_open else self.least <= value) and value <= self.most

    def __str__(self) -> str:
        kind = f"a {'whole ' if self.is_whole else ''}number{f' of {self.unit}' if self.unit else ''}"
        if math.isinf(self.most):
            return f"{kind} from {self.least:g}"
        if self.is_open:
            return f"{kind} above {self.least:g} and up to {self.most:.0f}"
        return f"{kind} from {self.least:g} to {self.most:.0f}"


STEP_TIMEOUT: Final = Span(least=1, most=270, unit="seconds")


def stem_of(step: str) -> str:
    """What the names of a step's variables begin with: ``"PROMPTCHAIN_DRAFT_POLISH_"`` for ``"draft/polish"``."""
    return f"{PREFIX}{_OTHER.sub('_', step).upper()}_"


def in_process(environment: Mapping[str, str] | None) -> Sequence[Variable]:
    """Our variables in ``environment``; in that of the process, where it is ``None``.

    Other threads may change it meanwhile.

    Raises:
        ConfigurationError: It does not map names to texts.
    """
    if environment is None:
        environment = os.environ
        names = _names()
    elif isinstance(environment, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        names = _ours(environment)
    else:
        raise ConfigurationError(
            f"environment maps names of variables to texts, unlike {brief(environment)}."
        )
    found: list[Variable] = []
    for name in names:
        text: object = environment.get(name)
        if text is None:  # removed since
            continue
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"{name} is a text, as the environment has no others, not {brief(text)}."
            )
        found.append(Variable(name, text.strip(), name))
    return found


def _names() -> Sequence[str]:
    # Every run looks, and mostly for nothing: os.environ decodes all names one by one, which takes 20 µs for 60.
    # What it decodes them from takes 3, but is its own affair, so there is a way without; it is for
    # what a test puts in the place of os.environ, too.
    held: Mapping[Any, Any] | None = getattr(os.environ, "_data", None)
    if held is not None and held is _RAW:
        prefix = os.environ.encodekey(PREFIX)
        raw = list(held)  # in one go, as another thread may set a variable
        if prefix not in prefix[:0].join(raw):
            return ()
        return [os.environ.decodekey(name) for name in raw if name.startswith(prefix)]
    return _ours(os.environ)


def _ours(environment: Mapping[str, str]) -> Sequence[str]:
    names: list[object] = list(environment)
    return [name for name in names if isinstance(name, str) and name.startswith(PREFIX)]


def in_file(path: Path, lines: Mapping[str, Line]) -> Sequence[Variable]:
    """Our variables in an ``.env`` file."""
    return [
        Variable(name, line.value.strip(), f"{name} ({path}, line {line.number})")
        for name, line in lines.items()
        if name.startswith(PREFIX)
    ]


@lru_cache(maxsize=64)
def by_stem(variables: tuple[Variable, ...]) -> Mapping[str, Sequence[tuple[str, Variable]]]:
    """The variables that say a field, each with the field, by what their names begin with."""
    found: dict[str, list[tuple[str, Variable]]] = {}
    for variable in variables:
        for name in FIELDS:
            stem = variable.name.removesuffix(name.upper())
            if stem != variable.name and stem.endswith("_"):
                found.setdefault(stem, []).append((name, variable))
    return found


def text_of(variable: Variable) -> str:
    """What ``variable`` is set to.

    Raises:
        ConfigurationError: It counts on the value of another, which is not put in its place.
    """
    if "${" in variable.text:
        raise ConfigurationError(
            f"{variable.origin}: values are taken as they are written, and {brief(variable.text)} is none: "
            "write the value itself."
        )
    return variable.text


@lru_cache(maxsize=256)
def layer_of(variable: Variable, field: str) -> Layer:
    """What ``variable`` says of ``field``.

    Raises:
        ConfigurationError: Its value is not of the field's kind, or out of range.
    """
    if field == "timeout":
        value: Any = number_of(variable, STEP_TIMEOUT, ": timeout")
    else:
        value = _READ.get(field, str)(text_of(variable))
    try:
        said = Arguments.of({field: value})
    except DefinitionError as error:
        told = error.message.replace(repr(value), brief(value))
        raise ConfigurationError(f"{variable.origin}: {told}") from None
    return Layer(variable.origin, said, names_model=field == "model")


def number_of(variable: Variable, span: Span, what: str = "") -> float:
    """The number that ``variable`` is set to; an ``int`` where it is to be whole.

    Args:
        variable: The variable.
        span: The numbers that it takes.
        what: Said of it in an error, behind its name.

    Raises:
        ConfigurationError: It is none of these.
    """
    text = text_of(variable)
    value = _whole(text) if span.is_whole else _number(text)
    if isinstance(value, str) or value not in span:
        raise ConfigurationError(f"{variable.origin}{what} is {span}, not {brief(text)}.")
    return value


def switched(variable: Variable) -> bool:
    """Whether ``variable`` is on.

    Raises:
        ConfigurationError: It is neither on nor off.
    """
    text = text_of(variable)
    try:
        return _SWITCHES[text.casefold()]
    except KeyError:
        hint = nearest(text.casefold(), _SWITCHES)
        raise ConfigurationError(f"{variable.origin} is on or off, not {brief(text)}.{hint}") from None


def _whole(text: str) -> int | str:
    if not _is_plain(text) or len(text) > _MOST_DIGITS:  # as it is, for the message
        return text
    try:
        return int(text)
    except ValueError:
        return text


def _number(text: str) -> float | str:
    if not _is_plain(text):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _is_plain(text: str) -> bool:
    """Whether it is written as people write numbers: python also takes ``1_000`` and the digits of every script."""
    return text.isascii() and "_" not in text


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "max_tokens": _whole,
    "max_reasks": _whole,
    "temperature": _number,
    "top_p": _number,
}
