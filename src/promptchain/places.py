"""Where the stages of a chain stand, what holds there, and which model calls that leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from promptchain.arguments import Arguments
from promptchain.errors import DefinitionError
from promptchain.fitness import refuse_unfit
from promptchain.gates import Gate
from promptchain.models import Model
from promptchain.policy import Fallback
from promptchain.settings import Effective, Layer, Overrides, Profile
from promptchain.settings.layers import resolved
from promptchain.settings.profiles import keys_of
from promptchain.spelling import nearest

if TYPE_CHECKING:
    from promptchain.stage import Stage

__all__ = [
    "NO_PROFILES",
    "Held",
    "ModelCall",
    "Place",
    "refuse_doubles",
    "refuse_other_profiles",
    "settable_at",
]

NO_PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A stage where it stands in a chain.

    Attributes:
        path: As in the ledger: its name, behind the names of the chains around it; empty for the chain that is run.
        stage: The stage.
        said: What the code says of it: the stage itself, then the chains around it, inner before outer.
    """

    path: str
    stage: Stage[Any, Any]
    said: tuple[Layer, ...]

    def held(self, overrides: Overrides | None = None) -> Held:
        """What holds here.

        Args:
            overrides: What settings say; left out, what the code says holds.
        """
        effective = resolved(self.said) if overrides is None else overrides.effective(self.path, self.said)
        return Held(path=self.path, stage=self.stage, effective=effective, overrides=overrides)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Held:
    """A stage with what holds for it.

    Attributes:
        path: Its path.
        stage: The stage.
        effective: What holds for its model calls, and who says so.
        overrides: What settings say.
    """

    path: str
    stage: Stage[Any, Any]
    effective: Effective
    overrides: Overrides | None

    @property
    def gates(self) -> Sequence[Gate[Any]]:
        """Its gates, be they on or off."""
        return self.stage.gates

    @property
    def calls(self) -> Iterator[ModelCall]:
        """The model calls that it leads to: its own, and those of gates that ask a model."""
        arguments = self.effective.arguments
        if self.stage.asks_model:
            yield ModelCall(self.path, arguments, arguments.model)
        if self.overrides is not None and not self.overrides.gates_are_on:
            return
        for gate in self.gates:
            held = self.effective_of(gate)
            if held is not None:
                yield ModelCall(self.path_of(gate), held.arguments, held.arguments.model)

    def path_of(self, gate: Gate[Any]) -> str:
        """The path of what ``gate`` asks, as in the ledger."""
        return f"{self.path}/{gate.name}".removeprefix("/")

    def effective_of(self, gate: Gate[Any]) -> Effective | None:
        """What holds for the model calls of ``gate``, or ``None`` where it asks no model."""
        if gate.arguments is None:
            return None
        arguments, origins = self.effective.arguments, self.effective.origins
        said = (
            Layer("judge", gate.arguments),
            Layer(origins.get("model", ""), Arguments(model=arguments.model)),
            Layer("step", Arguments(policy=arguments.policy)),
        )
        if self.overrides is None:
            return resolved(said)
        return self.overrides.effective_of_gate(self.path_of(gate), said)


def settable_at(path: str, stage: Stage[Any, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """What settings can say of a stage, and of its gates that ask a model: the names of fields, by path."""
    lends = any(gate.arguments is not None and gate.arguments.model is None for gate in stage.gates)
    fields = {*stage.settable, "model"} if lends else stage.settable
    if fields and path:
        yield path, tuple(fields)
    for gate in stage.gates:
        if gate.settable:
            yield f"{path}/{gate.name}".removeprefix("/"), gate.settable


@dataclass(frozen=True, slots=True, eq=False)
class ModelCall:
    """A kind of request that a chain can lead to.

    Attributes:
        path: Under which its attempts are in the ledger.
        arguments: What it is made with.
        model: Who is asked, if that is known.
    """

    path: str
    arguments: Arguments
    model: Model | None

    def refuse_unfit(self, instead: Model | None = None) -> None:
        """See that the model takes the arguments.

        Args:
            instead: Asked in the place of the model, if given.

        Raises:
            DefinitionError: It surely does not.
        """
        model = instead or self.model
        for asked in (model, *(() if instead else self._fallbacks)):
            if asked is not None:
                try:
                    refuse_unfit(self.arguments, asked)
                except DefinitionError as error:
                    raise error.locate(step=self.path) from None

    @property
    def _fallbacks(self) -> Sequence[Model]:
        policy = self.arguments.policy
        fallback = None if policy is None else policy.fallback
        return fallback.behind(self.model) if isinstance(fallback, Fallback) and self.model else ()


def refuse_doubles(calls: Sequence[ModelCall], chain: str) -> None:
    """See that no two kinds of requests have one path in the ledger.

    Raises:
        DefinitionError: Two have.
    """
    paths = [call.path for call in calls]
    for path in paths:
        if paths.count(path) > 1:
            raise DefinitionError(
                f"the chain {chain!r}: two of its model calls would be {path!r} in the ledger: give a judge "
                "a name of its own, as in JudgeGate(rubric, name='tone')."
            )


def refuse_other_profiles(profiles: Any, outline: Sequence[Place], chain: str) -> Mapping[str, Profile]:
    """The profiles of a chain's own by name, which say only what its steps can take.

    Args:
        profiles: What the chain was given as such; ``None`` is none.
        outline: Where its stages stand.
        chain: Its name.

    Raises:
        DefinitionError: They are something else, or say something of what is not there.
    """
    if profiles is None:
        return NO_PROFILES
    if not isinstance(profiles, Mapping) or not all(
        isinstance(name, str) and name and name == name.strip() and isinstance(profile, Profile)
        for name, profile in cast("Mapping[object, object]", profiles).items()
    ):
        raise DefinitionError(
            f"profiles maps names to profiles, as in {{'cost': Profile(effort='low')}}, not {profiles!r}."
        )
    takes: dict[str, set[str]] = {}
    for place in outline:
        for path, fields in settable_at(place.path, place.stage):
            for key in keys_of(path):
                takes.setdefault(key, set()).update(fields)
    own = cast("Mapping[str, Profile]", profiles)
    for name, profile in own.items():
        for step, said in profile.steps.items():
            if step not in takes:
                raise DefinitionError(
                    f"the profile {name!r} says something of {step!r}, which is no step of the chain {chain!r}."
                    f"{nearest(step, takes)}"
                )
            if not takes[step].issuperset(said):
                raise DefinitionError(
                    f"the profile {name!r} says of {step!r} what it cannot take: "
                    f"{', '.join(sorted(set(said) - takes[step]))}. It takes: {', '.join(sorted(takes[step]))}."
                )
    return MappingProxyType(dict(own))
