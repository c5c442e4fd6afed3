"""The root of every error, and the errors of what was written, configured or handed over."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptchain.ledger import Ledger


class PromptChainError(Exception):
    """Root of everything that promptchain raises on purpose.

    Attributes:
        step: Path of the step in which it happened (``"analyze"``, ``"draft/polish"``), or ``None``.
        run_id: Id of the run, or ``None`` outside of one.
        request_id: The API's id of the request that failed, or ``None`` where no reply named one.
        ledger: Every attempt of the run until then, or ``None`` when no run had begun.
    """

    step: str | None = None
    run_id: str | None = None
    request_id: str | None = None
    ledger: Ledger | None = None

    def locate(
        self, *, step: str | None = None, run_id: str | None = None, ledger: Ledger | None = None
    ) -> Self:
        """Add where it happened. What an inner place has already said stays."""
        self.step = step if self.step is None else self.step
        self.run_id = run_id if self.run_id is None else self.run_id
        self.ledger = ledger if self.ledger is None else self.ledger
        return self

    def anew(self) -> Self:
        """The same error, not told yet where it happened."""
        error = copy.copy(self)
        error.step = error.run_id = error.ledger = None
        return error.with_traceback(self.__traceback__)

    @property
    def message(self) -> str:
        """What went wrong and what to do, without the step's name."""
        return super().__str__()

    def __str__(self) -> str:
        return f"step {self.step!r}: {self.message}" if self.step else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword arguments, which the default protocol would not pass on.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[PromptChainError], args: tuple[object, ...], state: Mapping[str, object]
) -> PromptChainError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class DefinitionError(PromptChainError):
    """A chain, step or gate is wrong as written. Raised when it is built, as far as it can be seen there."""


class TemplateError(DefinitionError):
    """A prompt names something that does not exist, or has a brace that belongs to no placeholder."""


class PromptFileError(DefinitionError):
    """A prompt file is missing, cannot be read, or is not UTF-8."""


class OutputTypeError(DefinitionError):
    """An output type has no JSON schema that the API could be asked for."""


class LinkError(DefinitionError):
    """Two neighbouring stages whose declared types do not fit."""


class LoadError(DefinitionError):
    """A chain named as ``module:attribute`` cannot be imported, or is not a chain."""


class ConfigurationError(PromptChainError):
    """Something around the chain is missing or wrong. This request was not sent."""


class MissingKeyError(ConfigurationError):
    """There is no credential for the API."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is not installed; the message says which ``pip install`` brings it."""


class UnknownPriceError(ConfigurationError):
    """A budget in USD, and a model whose price is not known."""


class RealCallForbiddenError(ConfigurationError):
    """A request to the real API was about to leave while real calls are forbidden."""


class InputError(PromptChainError):
    """What was handed to a run cannot be used: empty, too long, not encodable, or of the wrong type."""
