"""Variables: which of the environment are ours, what each is about, and what its text says."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from promptchain.arguments import Arguments
from promptchain.errors import ConfigurationError, DefinitionError
from promptchain.settings.env_file import Line
from promptchain.settings.layers import Layer
from promptchain.spelling import nearest

__all__ = ["PREFIX", "Variable", "in_file", "in_process", "layer_of", "share_of", "stem_of", "switched"]

PREFIX: Final = "PROMPTCHAIN_"
MOST_SECONDS: Final = 3_600
_SWITCHES: Final = {"on": True, "true": True, "1": True, "yes": True} | {
    "off": False,
    "false": False,
    "0": False,
    "no": False,
}
_OTHER: Final = re.compile("[^A-Za-z0-9]")
_RAW: Final[Mapping[Any, Any] | None] = getattr(os.environ, "_data", None)


class Variable(NamedTuple):
    """A variable of ours.

    Attributes:
        name: Its name.
        text: What it is set to.
        origin: Where it was found, for people: ``"PROMPTCHAIN_MODEL (.env, line 3)"``.
    """

    name: str
    text: str
    origin: str


def stem_of(step: str) -> str:
    """What the names of a step's variables begin with: ``"PROMPTCHAIN_DRAFT_POLISH_"`` for ``"draft/polish"``."""
    return f"{PREFIX}{_OTHER.sub('_', step).upper()}_"


def in_process(environment: Mapping[str, str] | None) -> Sequence[Variable]:
    """Our variables in ``environment``; in that of the process, where it is ``None``."""
    if environment is None:
        environment = os.environ
        names = _names()
    else:
        names = [name for name in environment if name.startswith(PREFIX)]
    return [Variable(name, environment[name].strip(), name) for name in names]


def _names() -> Sequence[str]:
    # Every run looks, and mostly for nothing: os.environ decodes all names one by one, which takes 20 µs for 60.
    # What it decodes them from takes 3, but is its own affair, so there is a way without.
    if _RAW is not None:
        prefix = os.environ.encodekey(PREFIX)
        if prefix not in prefix[:0].join(_RAW):
            return ()
        return [os.environ.decodekey(name) for name in _RAW if name.startswith(prefix)]
    return [name for name in os.environ if name.startswith(PREFIX)]


def in_file(path: Path, lines: Mapping[str, Line]) -> Sequence[Variable]:
    """Our variables in an ``.env`` file.

    Raises:
        ConfigurationError: One counts on the value of another, which is not put in its place.
    """
    found = [
        Variable(name, line.value.strip(), f"{name} ({path}, line {line.number})")
        for name, line in lines.items()
        if name.startswith(PREFIX)
    ]
    for variable in found:
        if "${" in variable.text:
            raise ConfigurationError(
                f"{variable.origin}: values are taken as they are written, and {variable.text!r} is none: "
                "write the value itself."
            )
    return found


def layer_of(variable: Variable, field: str) -> Layer:
    """What ``variable`` says of ``field``.

    Raises:
        ConfigurationError: Its value is not of the field's kind, or out of range.
    """
    value = _READ.get(field, str)(variable.text)
    if field == "timeout" and isinstance(value, float) and value > MOST_SECONDS:
        raise ConfigurationError(
            f"{variable.origin}: timeout is a number of seconds above 0 and up to {MOST_SECONDS}, not {value:g}."
        )
    try:
        said = Arguments.of({field: value})
    except DefinitionError as error:
        raise ConfigurationError(f"{variable.origin}: {error.message}") from None
    return Layer(variable.origin, said, names_model=field == "model")


def share_of(variable: Variable) -> float:
    """The number from 0 to 1 that ``variable`` is set to.

    Raises:
        ConfigurationError: It is none.
    """
    value = _number(variable.text)
    if isinstance(value, str) or not 0 <= value <= 1:
        raise ConfigurationError(f"{variable.origin} is a number from 0 to 1, not {variable.text!r}.")
    return value


def switched(variable: Variable) -> bool:
    """Whether ``variable`` is on.

    Raises:
        ConfigurationError: It is neither on nor off.
    """
    try:
        return _SWITCHES[variable.text.casefold()]
    except KeyError:
        hint = nearest(variable.text.casefold(), _SWITCHES)
        raise ConfigurationError(f"{variable.origin} is on or off, not {variable.text!r}.{hint}") from None


def _whole(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:  # as it is, for the message
        return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "max_tokens": _whole,
    "max_reasks": _whole,
    "temperature": _number,
    "top_p": _number,
    "timeout": _number,
}
