"""Settings, and what they say of the stages of one chain."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic

from typing_extensions import TypeVar

from promptchain.arguments import Arguments
from promptchain.errors import ConfigurationError
from promptchain.gates import Mode
from promptchain.settings.env_file import read_env_file
from promptchain.settings.layers import BUILT_IN, FIELDS, Effective, Layer, resolved
from promptchain.settings.profiles import BUILT_IN_PROFILES, Profile
from promptchain.settings.variables import (
    PREFIX,
    Variable,
    in_file,
    in_process,
    layer_of,
    share_of,
    stem_of,
    switched,
)
from promptchain.spelling import nearest

__all__ = ["Overrides", "Said", "Settings"]

T = TypeVar("T")

_PROFILE: Final = f"{PREFIX}PROFILE"
_GATES: Final = f"{PREFIX}GATES"
_GATES_MODE: Final = f"{PREFIX}GATES_MODE"
_MIN_CONFIDENCE: Final = f"{PREFIX}MIN_CONFIDENCE"
FORBID_REAL_CALLS: Final = f"{PREFIX}FORBID_REAL_CALLS"
"""No setting: the models themselves read it."""


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """A value, and where it comes from."""

    value: T
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is said of chains outside of their code. Made by ``Settings.read``.

    A variable that is empty says nothing. See ``docs/settings.md`` for the variables and what comes before what.

    Attributes:
        variables: The variables that were found and say something.
        profile: Name of the profile in force.
        gates: Whether gates judge.
        gates_mode: Mode of the gates that do not say.
        min_confidence: Least confidence, for the gates that ask for it.
        fields: What is said of steps, by what the names of the variables begin with. What is said of all steps
            holds where neither a step nor a chain says anything, the rest whatever they say.
    """

    variables: tuple[Variable, ...] = ()
    profile: Said[str] | None = None
    gates: Said[bool] | None = None
    gates_mode: Said[Mode] | None = None
    min_confidence: Said[float] | None = None
    fields: Mapping[str, Sequence[Layer]] = field(default_factory=dict[str, Sequence[Layer]])

    @classmethod
    def read(
        cls, environment: Mapping[str, str] | None = None, env_file: str | os.PathLike[str] | None = None
    ) -> Settings:
        """Read the settings.

        Args:
            environment: The variables; left out, those of the process.
            env_file: A file with further ones, which count where ``environment`` does not have them.

        Raises:
            ConfigurationError: The file cannot be read, or a value is not of its kind or out of range. The
                message names the variable, and the line of the file.
        """
        found = in_process(environment)
        if env_file is not None:
            path = Path(env_file)
            in_it = in_file(path, read_env_file(path))
            for variable in in_it:
                if variable.name == FORBID_REAL_CALLS and variable.name not in os.environ:
                    raise ConfigurationError(
                        f"{variable.origin} forbids nothing: set it in the environment of the process."
                    )
            found = [*in_it, *found]
        return cls.of(found) if found else NO_SETTINGS

    @classmethod
    def of(cls, variables: Sequence[Variable]) -> Settings:
        """What ``variables`` say. Of several of one name the last counts.

        Raises:
            ConfigurationError: A value is not of its kind or out of range.
        """
        last = {variable.name: variable for variable in variables}
        saying = tuple(each for each in last.values() if each.text and each.name != FORBID_REAL_CALLS)
        return _parsed(saying) if saying else NO_SETTINGS

    @property
    def says_nothing(self) -> bool:
        """Whether all is as the code says."""
        return not self.variables and self.profile is None

    def choosing(self, profile: str, origin: str) -> Settings:
        """These settings with another profile in force.

        Args:
            profile: Its name.
            origin: Who chose it, for people: ``"--profile"``.
        """
        return replace(self, profile=Said(profile, origin))

    def overrides(self, profiles: Mapping[str, Profile]) -> Overrides:
        """What these settings say of a chain with ``profiles`` of its own.

        Raises:
            ConfigurationError: There is no profile of the name that is in force.
        """
        return Overrides(self, profiles)

    def unmatched(self, stages: Iterable[tuple[str, Sequence[str]]]) -> Mapping[str, str]:
        """The variables that say nothing of a chain, each with a hint at one that would.

        Args:
            stages: Path of each stage of the chain, with the fields that can be said of it.
        """
        known = {_PROFILE, _GATES, _GATES_MODE, _MIN_CONFIDENCE, FORBID_REAL_CALLS}
        known |= {PREFIX + name.upper() for name in FIELDS}
        for path, fields in stages:
            known |= {stem_of(key) + name.upper() for key in _keys(path) for name in fields}
        return {
            variable.origin: nearest(variable.name, known)
            for variable in self.variables
            if variable.name not in known
        }


NO_SETTINGS: Final = Settings()


class Overrides:
    """What settings, and the profile in force, say of the stages of one chain.

    Attributes:
        settings: The settings.
        profile: Name of the profile in force, or ``None``.
        profile_of: Whether that is ``"the chain's own"`` or ``"built-in"``.
        known_profiles: Names of the profiles that could be.
    """

    def __init__(self, settings: Settings, profiles: Mapping[str, Profile]) -> None:
        self.settings = settings
        self.profile = settings.profile.value if settings.profile else None
        self.known_profiles: Sequence[str] = tuple(sorted({**BUILT_IN_PROFILES, **profiles}))
        self.profile_of = "the chain's own" if self.profile in profiles else "built-in"
        self._profile = None
        if settings.profile is not None:
            name = settings.profile.value
            self._profile = profiles.get(name) or BUILT_IN_PROFILES.get(name)
            if self._profile is None:
                raise ConfigurationError(
                    f"{settings.profile.origin}: there is no profile {name!r}.{nearest(name, self.known_profiles)} "
                    f"Known: {', '.join(self.known_profiles)}."
                )
        self._above_all: Sequence[Layer] = ()
        if settings.gates_mode is not None:
            said = Arguments(gates_mode=settings.gates_mode.value)
            self._above_all = (Layer(settings.gates_mode.origin, said),)

    def effective(self, path: str, own: Sequence[Layer]) -> Effective:
        """What holds for the stage at ``path``.

        Args:
            path: Path of the stage.
            own: What the code says of it: the step, then the chains around it, inner before outer.
        """
        settings = self.settings
        layers = [*self._above_all]
        for key in _keys(path):
            layers += settings.fields.get(stem_of(key), ())
        if self._profile is not None and self.profile is not None:
            layers += self._profile.layers(path, self.profile)
        return resolved([*layers, *own, *settings.fields.get(PREFIX, ()), BUILT_IN])

    @property
    def gates_are_on(self) -> bool:
        """Whether gates judge."""
        return self.settings.gates is None or self.settings.gates.value

    @property
    def gates_mode(self) -> Mode | None:
        """The mode of the gates that do not say, where one is said."""
        return self.settings.gates_mode.value if self.settings.gates_mode else None

    @property
    def min_confidence(self) -> float | None:
        """The least confidence, where one is said."""
        return self.settings.min_confidence.value if self.settings.min_confidence else None


def _keys(path: str) -> Sequence[str]:
    """What a stage can be called by, the most exact first; a chain that is run is called nothing."""
    return tuple(dict.fromkeys((path, path.rpartition("/")[2]))) if path else ()


@lru_cache(maxsize=64)
def _parsed(variables: tuple[Variable, ...]) -> Settings:
    said: dict[str, Any] = {}
    fields: dict[str, list[Layer]] = {}
    for variable in variables:
        name, origin = variable.name, variable.origin
        if name == _PROFILE:
            said["profile"] = Said(variable.text, origin)
        elif name == _GATES:
            said["gates"] = Said(switched(variable), origin)
        elif name == _GATES_MODE:
            said["gates_mode"] = Said(layer_of(variable, "gates_mode").said.gates_mode, origin)
        elif name == _MIN_CONFIDENCE:
            said["min_confidence"] = Said(share_of(variable), origin)
        else:
            for each in FIELDS:
                stem = name.removesuffix(each.upper())
                if stem != name and stem.endswith("_"):
                    fields.setdefault(stem, []).append(layer_of(variable, each))
    return Settings(variables=variables, fields=MappingProxyType(fields), **said)
