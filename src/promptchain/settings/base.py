"""Settings, and what they say of the stages of one chain."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Generic

from typing_extensions import TypeVar

from promptchain.arguments import ARGUMENT_NAMES, Arguments
from promptchain.budget import Budget
from promptchain.errors import ConfigurationError
from promptchain.gates import Mode
from promptchain.settings.env_file import read_env_file
from promptchain.settings.layers import BUILT_IN, FIELDS, Effective, Layer, resolved
from promptchain.settings.profiles import BUILT_IN_PROFILES, Profile, keys_of
from promptchain.settings.protection import POLICY_NAMES, deadline_of, policy_of, tokens_of, usd_of
from promptchain.settings.variables import (
    PREFIX,
    Span,
    Variable,
    by_stem,
    in_file,
    in_process,
    layer_of,
    number_of,
    stem_of,
    switched,
    text_of,
)
from promptchain.spelling import brief, nearest

__all__ = ["Overrides", "Said", "Settings"]

T = TypeVar("T")

_SHARE: Final = Span(least=0, most=1)
# How each is read; what it says is the attribute of Settings that has its name.
_READ: Final[Mapping[str, Callable[[Variable], Any]]] = {
    f"{PREFIX}PROFILE": text_of,
    f"{PREFIX}GATES": switched,
    f"{PREFIX}GATES_MODE": lambda variable: layer_of(variable, "gates_mode").said.gates_mode,
    f"{PREFIX}MIN_CONFIDENCE": lambda variable: number_of(variable, _SHARE),
    f"{PREFIX}DEADLINE": deadline_of,
    f"{PREFIX}BUDGET_USD": usd_of,
    f"{PREFIX}BUDGET_TOKENS": tokens_of,
}
_OF_THE_RUN: Final = (*_READ, *POLICY_NAMES)
# What begins or ends like these is meant for us.
_FIRST_WORDS: Final = ("BREAKER_", "RETRY_", "TIMEOUT_", "BUDGET_")
_LAST_WORDS: Final = tuple(
    f"_{name.removeprefix(PREFIX)}"
    for name in _OF_THE_RUN
    if f"{name.removeprefix(PREFIX)}_".startswith(_FIRST_WORDS)
)
FORBID_REAL_CALLS: Final = f"{PREFIX}FORBID_REAL_CALLS"
"""No setting: the models themselves read it."""

# Comparing two names takes 50 µs.
_MOST_COMPARISONS: Final = 10_000


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
        variables: The variables that were found and are not empty, those among them that have another purpose too.
        profile: Name of the profile in force.
        gates: Whether gates judge.
        gates_mode: Mode of the gates that do not say.
        min_confidence: Least confidence, for the gates that ask for it.
        deadline: Seconds that a run may take of which the code does not say it.
        budget_usd: USD that a run may cost for which the code has no budget.
        budget_tokens: Tokens that such a run may take.
        policy: What is said of the parts of the policy, each by itself; below what the code says of them.
    """

    variables: tuple[Variable, ...] = ()
    profile: Said[str] | None = None
    gates: Said[bool] | None = None
    gates_mode: Said[Mode] | None = None
    min_confidence: Said[float] | None = None
    deadline: Said[float] | None = None
    budget_usd: Said[Decimal] | None = None
    budget_tokens: Said[int] | None = None
    policy: tuple[Layer, ...] = ()

    @classmethod
    def read(
        cls, environment: Mapping[str, str] | None = None, env_file: str | os.PathLike[str] | None = None
    ) -> Settings:
        """Read the settings.

        Args:
            environment: The variables; left out, those of the process.
            env_file: A file with further ones, which count where ``environment`` does not have them, or has them
                empty.

        Raises:
            ConfigurationError: The file cannot be read, or a value is not of its kind or out of range. The
                message names the variable, and the line of the file. A value for one step is read when a chain
                with such a step runs.
        """
        found = in_process(environment)
        if env_file is not None:
            path = _path(env_file)
            in_it = in_file(path, read_env_file(path))
            for variable in in_it:
                if variable.name == FORBID_REAL_CALLS and not os.environ.get(FORBID_REAL_CALLS):
                    raise ConfigurationError(
                        f"{variable.origin} forbids nothing: set it in the environment of the process."
                    )
            found = [*in_it, *found]
        return cls.of(found) if found else NO_SETTINGS

    @classmethod
    def of(cls, variables: Sequence[Variable]) -> Settings:
        """What ``variables`` say. Of several of one name the last counts that is not empty.

        Raises:
            ConfigurationError: A value is not of its kind or out of range.
        """
        last = {variable.name: variable for variable in variables if variable.text}
        last.pop(FORBID_REAL_CALLS, None)
        return _parsed(tuple(last.values())) if last else NO_SETTINGS

    @property
    def says_nothing(self) -> bool:
        """Whether all is as the code says."""
        if self is NO_SETTINGS:
            return True
        said = any(getattr(self, name) is not None for name in _ATTRIBUTES.values())
        return not said and not self.policy and not by_stem(self.variables)

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

        Those that plainly have another purpose (``PROMPTCHAIN_LOG_LEVEL``) are left out. There are no hints where
        they would take long to find.

        Args:
            stages: Path of each stage of the chain, with the fields that can be said of it.
        """
        known = {*_OF_THE_RUN, FORBID_REAL_CALLS, *(PREFIX + name.upper() for name in FIELDS)}
        for path, fields in stages:
            known |= {stem_of(key) + name.upper() for key in keys_of(path) for name in fields}
        strays = [each for each in self.variables if each.name not in known and _is_meant_for_us(each.name)]
        hints = len(strays) * len(known) <= _MOST_COMPARISONS
        return {each.origin: nearest(each.name, known) if hints else "" for each in strays}


_ATTRIBUTES: Final = {name: name.removeprefix(PREFIX).lower() for name in _READ}
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
                    f"{settings.profile.origin}: there is no profile {brief(name)}.{nearest(name, self.known_profiles)} "
                    f"Known: {', '.join(self.known_profiles)}."
                )
        self._above_all: Sequence[Layer] = ()
        if settings.gates_mode is not None:
            said = Arguments(gates_mode=settings.gates_mode.value)
            self._above_all = (Layer(settings.gates_mode.origin, said),)
        self._by_stem = by_stem(settings.variables)

    def effective(self, path: str, own: Sequence[Layer]) -> Effective:
        """What holds for the stage at ``path``.

        Args:
            path: Path of the stage.
            own: What the code says of it: the step, then the chains around it, inner before outer.

        Raises:
            ConfigurationError: A variable for this stage has a value that is not of its kind or out of range.
        """
        layers = [*self._above_all]
        for key in keys_of(path):
            layers += self._said_under(stem_of(key))
        if self._profile is not None and self.profile is not None:
            layers += self._profile.layers(path, self.profile)
        return resolved([*layers, *own, *self._said_under(PREFIX), *self.settings.policy, BUILT_IN])

    def effective_of_gate(self, path: str, own: Sequence[Layer]) -> Effective:
        """What holds for the model calls of a gate: what names it, and then what ``own`` says.

        What a profile says of all steps is not for gates, but for the model that they are lent.

        Args:
            path: Path of what is judged, and the gate's name.
            own: What the gate says, then the model of what it judges.

        Raises:
            ConfigurationError: A variable for this gate has a value that is not of its kind or out of range.
        """
        layers = [layer for key in keys_of(path) for layer in self._said_under(stem_of(key))]
        if self._profile is not None and self.profile is not None:
            layers += self._profile.layers(path, self.profile)[:-1]
        return resolved([*layers, *own])

    def _said_under(self, stem: str) -> Sequence[Layer]:
        return [layer_of(variable, field) for field, variable in self._by_stem.get(stem, ())]

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

    @property
    def deadline(self) -> float | None:
        """The seconds that a run may take of which the code does not say it, where they are said."""
        return self.settings.deadline.value if self.settings.deadline else None

    def new_budgets(self) -> tuple[Budget, ...]:
        """What a run may cost for which the code has no budget: one for USD, one for tokens, where they are said."""
        usd, tokens = self.settings.budget_usd, self.settings.budget_tokens
        return (
            *((Budget(usd=usd.value, name=usd.origin),) if usd else ()),
            *((Budget(tokens=tokens.value, name=tokens.origin),) if tokens else ()),
        )


def _path(file: str | os.PathLike[str]) -> Path:
    try:
        return Path(file)
    except TypeError:
        raise ConfigurationError(f"env_file is the path of a file, not {brief(file)}.") from None


def _is_meant_for_us(name: str) -> bool:
    """Whether it ends as ours do, or nearly so. The environment may hold what others begin with our name."""
    rest = name.removeprefix(PREFIX)
    if rest.startswith(_FIRST_WORDS) or rest.endswith(_LAST_WORDS):
        return True
    if any(rest.endswith(f"_{field.upper()}") for field in ARGUMENT_NAMES):
        return True
    words = rest.split("_")
    fields = [field.upper() for field in FIELDS]
    ends = {"_".join(words[-count:]) for count in (1, 2)}
    of_the_run = [each.removeprefix(PREFIX) for each in (*_OF_THE_RUN, FORBID_REAL_CALLS)]
    return _is_near(rest, of_the_run) or any(_is_near(end, fields) for end in ends)


def _is_near(name: str, known: Sequence[str]) -> bool:
    return bool(difflib.get_close_matches(name, known, n=1, cutoff=0.75))


@lru_cache(maxsize=64)
def _parsed(variables: tuple[Variable, ...]) -> Settings:
    said: dict[str, Any] = {}
    for variable in variables:
        if variable.name in _READ:
            value = _READ[variable.name](variable)
            said[_ATTRIBUTES[variable.name]] = Said(value, variable.origin)
    # What is said of one step concerns the chains that have it, and is read there.
    for field, variable in by_stem(variables).get(PREFIX, ()):
        layer_of(variable, field)
    return Settings(variables=variables, policy=policy_of(variables), **said)
