"""Profiles: settings that are chosen together by one name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from typing_extensions import TypedDict, Unpack

from promptchain.arguments import Arguments, refuse_unknown
from promptchain.errors import DefinitionError
from promptchain.messages import Effort, ServiceTier
from promptchain.models import Model
from promptchain.settings.layers import FIELDS, Layer
from promptchain.spelling import brief

__all__ = ["BUILT_IN_PROFILES", "Profile", "ProfileOptions", "keys_of"]

_NUMBERS: Final = re.compile(r"\[[0-9]+\](?=/|\Z)")


def keys_of(path: str) -> Sequence[str]:
    """What the stage at ``path`` can be called by from outside: its path, then its name.

    The numbers of copies of a stage (``"draft/branch[2]"``) are left out. A chain that is run is called nothing.
    """
    if "[" in path:
        path = _NUMBERS.sub("", path)
    return tuple(dict.fromkeys((path, path.rpartition("/")[2]))) if path else ()


class ProfileOptions(TypedDict, total=False):
    """What a profile can say."""

    model: str | Model
    max_tokens: int
    temperature: float
    top_p: float
    effort: Effort
    service_tier: ServiceTier
    max_reasks: int
    timeout: float


class Profile:
    """What holds for a chain when the profile is chosen, instead of what its code says.

    Example:
        >>> thrifty = Profile(
        ...     model="claude-haiku-5-5",
        ...     effort="low",
        ...     steps={"process": {"model": "claude-sonnet-5-5"}},
        ... )

    Args:
        steps: What holds for single steps, by path or name; it comes before what holds for all.
        model: A name such as ``"claude-haiku-5-5"``, which is asked for through the client of the model that
            it replaces; or a ``Model``, which is asked itself.
        max_tokens: Most tokens of a reply, thinking included.
        temperature: 0 to 1, for models that still take it.
        top_p: 0 to 1, for models that still take it.
        effort: ``"low"`` to ``"max"``.
        service_tier: ``"auto"`` or ``"standard_only"``.
        max_reasks: How often a step asks again after a reply that was rejected.
        timeout: Seconds that a step may take.

    Raises:
        DefinitionError: A field does not exist, or a value is not of its kind or out of range.
    """

    def __init__(
        self,
        *,
        steps: Mapping[str, ProfileOptions] = MappingProxyType({}),
        **said: Unpack[ProfileOptions],
    ) -> None:
        self._for_all = _layer(said, "")
        if not isinstance(steps, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"steps maps names of steps to what holds for them, not {brief(steps)}.")
        for step in cast("Mapping[object, object]", steps):
            if not isinstance(step, str) or not step or step != step.strip():
                raise DefinitionError(
                    f"steps maps names of steps to what holds for them, and {brief(step)} is none."
                )
        self._steps = {step: _layer(of_step, f", for {step!r}") for step, of_step in steps.items()}

    @property
    def steps(self) -> Mapping[str, Sequence[str]]:
        """The fields that it says of single steps, by the steps' paths and names."""
        return {
            step: [field for field in FIELDS if getattr(layer.said, field) is not None]
            for step, layer in self._steps.items()
        }

    def layers(self, path: str, name: str) -> Sequence[Layer]:
        """What it says of the step at ``path``, highest first.

        Args:
            path: Path of the step.
            name: The profile's own name, for where a value comes from.
        """
        found = [*(self._steps[key] for key in keys_of(path) if key in self._steps), self._for_all]
        return [Layer(f"profile {name!r}{layer.origin}", layer.said, layer.names_model) for layer in found]

    def __repr__(self) -> str:
        values = {field: getattr(self._for_all.said, field) for field in FIELDS}
        said = [f"{field}={value!r}" for field, value in values.items() if value is not None]
        return f"Profile({', '.join([*said, *(f'steps[{step!r}]' for step in self._steps)])})"


def _layer(said: Any, suffix: str) -> Layer:
    if not isinstance(said, Mapping):
        raise DefinitionError(
            f"what a profile says of a step is a mapping, such as {{'effort': 'low'}}, not {said!r}."
        )
    options = cast("Mapping[str, Any]", said)
    refuse_unknown(options, FIELDS, "a profile")
    return Layer(suffix, Arguments.of(options), names_model=isinstance(options.get("model"), str))


BUILT_IN_PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "accuracy": Profile(model="claude-opus-5-5", effort="high"),
        "balanced": Profile(model="claude-sonnet-5-5", effort="medium"),
        "cost": Profile(model="claude-haiku-5-5", effort="low"),
    }
)
"""What every chain can be run with. Chosen from the models whose price was known on 2026-11-23."""
