"""The settings of a command: its options, the environment of the process, and an ``.env`` file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from promptchain.chain import Chain
from promptchain.errors import ConfigurationError
from promptchain.places import Held, settable_at
from promptchain.policy import LEFT_OUT
from promptchain.settings import Settings
from promptchain.settings.base import FORBID_REAL_CALLS, Said
from promptchain.settings.env_file import read_env_file
from promptchain.settings.layers import FIELDS, PARTS
from promptchain.settings.variables import PREFIX, in_file, in_process
from promptchain.stage import Stage

__all__ = ["configure", "read_settings", "unmatched"]

_HERE: Final = Path(".env")
_OF_THE_SDK: Final = "ANTHROPIC_"


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the options are."""
    parser.add_argument("--profile", metavar="NAME", help="the profile, instead of PROMPTCHAIN_PROFILE")
    parser.add_argument(
        "--env-file",
        metavar="PATH",
        help="read PROMPTCHAIN_ and ANTHROPIC_ variables from this file, where the environment does not have "
        "them; left out, PROMPTCHAIN_ variables from the file .env of the working directory, if there is one",
    )


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings. What a file says of the surroundings themselves becomes the environment of the process.

    Raises:
        ConfigurationError: The file cannot be read, or a value is not of its kind or out of range.
    """
    named: str | None = arguments.env_file
    path = _HERE if named is None else Path(named)
    found = list(in_process(None))
    if named is not None or os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where it may not look
        lines = read_env_file(path)
        for name, line in lines.items():
            # A directory that somebody else made must bring neither an address nor a key; a file that is named may.
            is_ours = name == FORBID_REAL_CALLS or (named is not None and name.startswith(_OF_THE_SDK))
            if is_ours and not os.environ.get(name):
                _put(name, line.value, f"{name} ({path}, line {line.number})")
        found = [*in_file(path, lines), *found]
    settings = Settings.of(found)
    return settings if arguments.profile is None else settings.choosing(arguments.profile, "--profile")


def _put(name: str, value: str, origin: str) -> None:
    try:
        os.environ[name] = value
    except (OSError, ValueError):  # what the locale's encoding does not have; what is no name
        raise ConfigurationError(f"{origin} cannot be put into the environment of the process.") from None


def unmatched(settings: Settings, places: Sequence[Held]) -> Iterator[str]:
    """A warning for each variable that says nothing of the chain, or nothing that holds."""
    settable = [each for place in places for each in settable_at(place.path, place.stage)]
    for origin, hint in settings.unmatched(settable).items():
        yield f"{origin} says nothing of this chain.{hint}"
    held = {origin for place in places for origin in place.effective.origins.values()}
    defaults = {PREFIX + field.upper(): field for field in FIELDS}
    for variable in settings.variables:
        if variable.name in defaults and variable.text and variable.origin not in held:
            field = defaults[variable.name]
            yield (
                f"{variable.origin} holds for no step, as {field} is said by every step, its chain or a profile: "
                f"say it of a step, as in {PREFIX}<STEP>_{field.upper()}, or choose a profile."
            )
    yield from _replaced(settings, places[0].stage)
    asking = [place for place in places if any(True for _ in place.calls)]
    for said in settings.policy if asking else ():
        part = next(part for part in PARTS if getattr(said.said.policy, part) is not LEFT_OUT)
        if all(place.effective.origins[f"policy.{part}"] != said.origin for place in asking):
            yield f"{said.origin}: no model call takes it, as the code says the {part} of each."


def _replaced(settings: Settings, chain: Stage[Any, Any]) -> Iterator[str]:
    """A warning for each variable in the place of which ``chain`` has something of its own."""
    if not isinstance(chain, Chain):
        return
    own = {"deadline": chain.deadline, "budget_usd": chain.budget, "budget_tokens": chain.budget}
    for name, value in own.items():
        said: Said[Any] | None = getattr(settings, name)
        if value is not None and said is not None:
            kind = name.partition("_")[0]
            yield f"{said.origin}: no run of this chain takes it, as it has a {kind} of its own."
