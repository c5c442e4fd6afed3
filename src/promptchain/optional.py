"""Optional steps: what stands in for one that fails, so that the run goes on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from promptchain.deadline import Shares
from promptchain.errors import DefinitionError
from promptchain.fields import fits, shown
from promptchain.outputs import OutputType
from promptchain.policy import LEFT_OUT
from promptchain.spelling import brief
from promptchain.stage import Pipeline, Stage
from promptchain.templates import as_text

__all__ = ["StandIn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What stands in for an optional step: a value, or a stage that gives one.

    Attributes:
        default: The value, where there is no stage.
        fallback: The stage.
    """

    default: object = None
    fallback: Stage[Any, Any] | None = None

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        *,
        takes: Any,
        gives: Any,
        output: OutputType[Any] | None = None,
    ) -> StandIn | None:
        """What the options ``optional``, ``default`` and ``fallback`` say; ``None`` for a step that is required.

        Args:
            options: They stand in it; what is left out is not said.
            takes: Type that the step takes.
            gives: Type of its output.
            output: The same, where a model writes it.

        Raises:
            DefinitionError: They do not go together, or do not fit the step.
        """
        optional = options.get("optional", False)
        default = options.get("default", LEFT_OUT)
        fallback = options.get("fallback")
        if not isinstance(optional, bool):
            raise DefinitionError(f"optional is True or False, not {optional!r}.")
        if not optional:
            said = "default" if default is not LEFT_OUT else "fallback" if fallback is not None else None
            if said is not None:
                raise DefinitionError(f"{said} is for a step that is optional: add optional=True.")
            return None
        if (default is LEFT_OUT) == (fallback is None):
            wanted = "default=... or fallback=another_step"
            if fallback is None:
                raise DefinitionError(f"an optional step says what stands in when it fails: {wanted}.")
            raise DefinitionError(f"one thing stands in for an optional step: {wanted}, and not both.")
        if fallback is None:
            return cls(default=_fitting_value(default, gives, output))
        return cls(fallback=_fitting_stage(fallback, takes, gives))

    def time_shares(self) -> Shares:
        """How a deadline is split for the step and what stands in for it."""
        if self.fallback is None:
            return Shares(1, 0)
        shares = self.fallback.time_shares()
        return Shares(1 + shares.all, shares.required)

    def check(self, names: Mapping[str, Any], step: str) -> None:
        """See that the stage can work where the step stands.

        Args:
            names: What its prompts can name, and the types.
            step: The step's name.

        Raises:
            DefinitionError: It cannot.
        """
        if self.fallback is None:
            return
        path = f"{step}/{self.fallback.name}"
        given = names["previous"]
        if not fits(given, self.fallback.input_type):
            raise DefinitionError(
                f"it takes {shown(self.fallback.input_type)}, and the step that it stands in for is handed "
                f"{shown(given)}."
            ).locate(step=path)
        try:
            self.fallback.check(names)
        except DefinitionError as error:
            raise error.locate(step=path) from error.__cause__


def _fitting_stage(fallback: Any, takes: Any, gives: Any) -> Stage[Any, Any]:
    if isinstance(fallback, Pipeline):
        names = " | ".join(stage.name for stage in fallback.parts())
        raise DefinitionError(
            f"fallback is one stage: make a chain of several, as in Chain('plan-b', {names})."
        )
    if not isinstance(fallback, Stage):
        raise DefinitionError(f"fallback is a step or another stage, not {brief(fallback)}.")
    stage = cast("Stage[Any, Any]", fallback)  # type: ignore[redundant-cast]  # unknown types to pyright
    if not fits(takes, stage.input_type):
        raise DefinitionError(
            f"the fallback {stage.name!r} takes {shown(stage.input_type)}, and the step takes {shown(takes)}."
        )
    if not fits(stage.output_type, gives):
        raise DefinitionError(
            f"the fallback {stage.name!r} gives {shown(stage.output_type)}, and the step gives {shown(gives)}."
        )
    return stage


def _fitting_value(default: object, form: Any, output: OutputType[Any] | None) -> object:
    try:
        value = _validated(default, form, output)
        if output is not None:
            as_text(value).encode()
    except Exception as error:  # a validator of the user's may raise anything
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise DefinitionError(f"the default {brief(default)} is no {shown(form)}: {why}") from error
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise DefinitionError(
            f"the default {brief(default)} cannot be copied for each run: use fallback= with a function stage."
        ) from error


def _validated(default: Any, form: Any, output: OutputType[Any] | None) -> object:
    if form is str:
        if not isinstance(default, str):
            raise TypeError("it is not text.")
        default.encode()
        return default
    if output is not None:
        return output.validated(default)
    try:
        adapter = TypeAdapter[Any](form)
    except PydanticSchemaGenerationError:  # a class that pydantic can only recognise
        adapter = TypeAdapter[Any](form, config=ConfigDict(arbitrary_types_allowed=True))
    return adapter.validate_python(default)
