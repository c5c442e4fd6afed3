"""What a gate is: a check of a value, and the verdict it gives."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, cast, get_args, overload

from typing_extensions import TypeVar

from promptchain.errors import BudgetExceededError, DeadlineError, DefinitionError, GateCrashedError
from promptchain.spelling import brief, nearest

if TYPE_CHECKING:
    from promptchain.arguments import Arguments
    from promptchain.run import Run

__all__ = ["Decision", "Gate", "Judgement", "Mode", "OnFail", "Verdict", "gates_of"]

# Without a default, which mypy would put in place of what a lambda is handed.
T_contra = TypeVar("T_contra", contravariant=True)

Decision: TypeAlias = Literal["allow", "block", "retry", "replace"]
"""What a gate decides."""

Mode: TypeAlias = Literal["strict", "lenient"]
"""Whether a value that a gate rejects ends the run, or is used all the same and the verdict kept.

A lenient gate that wants a retry gets it, as often as the step asks again, before the last reply is used."""

OnFail: TypeAlias = Literal["block", "retry"]
"""What ``False`` means: the value is blocked, or the model is asked again with the reason as feedback."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate decided about a value. Made by ``allow``, ``block``, ``retry`` and ``replace``.

    Attributes:
        decision: Which of the four.
        reason: Why a value was blocked or replaced, or the feedback to the model; empty where it was allowed.
        value: What the value was replaced by.
    """

    decision: Decision
    reason: str = ""
    value: object = None

    def __post_init__(self) -> None:
        if self.decision not in get_args(Decision):
            raise DefinitionError(
                "a verdict is made by Verdict.allow(), block(reason), retry(feedback) or replace(value), "
                f"not of {brief(self.decision)}."
            )
        rejects = self.decision in {"block", "retry"}
        if not _is_writable(self.reason) or (rejects and not self.reason.strip()):
            wanted = "a text that is not empty" if rejects else "a text as its reason"
            raise DefinitionError(f"Verdict.{self.decision} takes {wanted}, not {brief(self.reason)}.")

    @classmethod
    def allow(cls) -> Verdict:
        """Let the value pass."""
        return cls("allow")

    @classmethod
    def block(cls, reason: str) -> Verdict:
        """Reject the value.

        Raises:
            DefinitionError: There is no reason.
        """
        return cls("block", reason)

    @classmethod
    def retry(cls, feedback: str) -> Verdict:
        """Reject the value, and ask the model again with ``feedback``, as often as the step allows.

        Where nobody can be asked again, as behind a function or in front of a chain, it is a block.

        Raises:
            DefinitionError: There is no feedback.
        """
        return cls("retry", feedback)

    @classmethod
    def replace(cls, value: object, reason: str = "") -> Verdict:
        """Let ``value``, which is of the same type, pass in its place.

        Raises:
            DefinitionError: The reason is no text.
        """
        return cls("replace", reason, value)

    @property
    def allowed(self) -> bool:
        """Whether something may pass: the value, or its replacement."""
        return self.decision in {"allow", "replace"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One verdict of a run.

    Attributes:
        step: Path of the step whose output was judged, or of the chain whose input was; empty for the run's own.
        gate: The gate's name.
        attempt: Which of the step's attempts was judged; 0 for what no model wrote.
        verdict: What the gate decided.
        mode: Whether a rejection ends the run.
    """

    step: str
    gate: str
    attempt: int
    verdict: Verdict
    mode: Mode

    def as_dict(self) -> Mapping[str, Any]:
        """JSON-ready values; what a value was replaced by is not among them."""
        return {
            "step": self.step,
            "gate": self.gate,
            "attempt": self.attempt,
            "decision": self.verdict.decision,
            "reason": self.verdict.reason,
            "mode": self.mode,
        }


class Gate(Generic[T_contra]):
    """A check of a value: it passes, is replaced, is asked for again, or is blocked.

    Args:
        predicate: Takes the value, and the run as a second parameter if it wants it. It returns ``True`` or
            ``False``, or a ``Verdict``. It may be ``async``. A synchronous one runs on the event loop, so it
            should be quick.
        reason: What a value that fails did not meet, as errors and the model are told it: ``"the intent must
            be stated"``. Needed for a lambda; left out, the predicate's name is told.
        name: Name in events and errors; left out, the predicate's, or the reason for a lambda.
        mode: ``"strict"`` or ``"lenient"``; left out, that of the settings, the step and the chain, else strict.
        on_fail: What ``False`` means: ``"block"`` or ``"retry"``.

    Raises:
        DefinitionError: One of these is not of its kind.
    """

    @overload
    def __init__(
        self,
        predicate: Callable[[T_contra], bool | Verdict | Awaitable[bool | Verdict]],
        reason: str | None = None,
        *,
        name: str | None = None,
        mode: Mode | None = None,
        on_fail: OnFail = "block",
    ) -> None: ...
    @overload
    def __init__(
        self,
        predicate: Callable[[T_contra, Run], bool | Verdict | Awaitable[bool | Verdict]],
        reason: str | None = None,
        *,
        name: str | None = None,
        mode: Mode | None = None,
        on_fail: OnFail = "block",
    ) -> None: ...
    def __init__(
        self,
        predicate: Callable[..., Any],
        reason: str | None = None,
        *,
        name: str | None = None,
        mode: Mode | None = None,
        on_fail: OnFail = "block",
    ) -> None:
        if not callable(predicate):
            raise DefinitionError(f"a gate takes a function of the value, not {predicate!r}.")
        own_name = str(getattr(predicate, "__name__", "<lambda>"))
        if (reason is None and own_name == "<lambda>" and not name) or not _is_text(
            own_name if reason is None else reason
        ):
            raise DefinitionError("a gate needs a reason: what a value that fails did not meet.")
        if mode is not None:
            _refuse_unknown(mode, Mode, "mode")
        _refuse_unknown(on_fail, OnFail, "on_fail")
        self._predicate = predicate
        self._takes_run = _takes_run(predicate)
        self._on_fail: OnFail = on_fail
        self.name = name or (own_name if own_name != "<lambda>" else reason or own_name)
        self.reason = reason or f"it does not pass {self.name!r}"
        self.mode: Mode | None = mode

    settable: ClassVar[Sequence[str]] = ()
    """What settings can say of it, by the names of ``Arguments``."""

    @property
    def arguments(self) -> Arguments | None:
        """What it says of model calls of its own, or ``None`` where it asks no model."""
        return None

    def check(self, form: Any) -> None:
        """See that it can judge values of a type. Called when a step, a function stage or a chain is built.

        Args:
            form: The type; ``typing.Any`` where none is declared.

        Raises:
            DefinitionError: It surely cannot.
        """

    async def judge(self, value: T_contra, run: Run) -> Verdict:
        """Judge ``value``.

        Raises:
            GateCrashedError: The gate raised, or gave no verdict.
            BudgetExceededError: It asks a model, for which the run has no money left.
            DeadlineError: It asks a model, for which the run has no time left.
        """
        try:
            answer = await self.decide(value, run)
        except (BudgetExceededError, DeadlineError) as error:
            if (
                error.run_id is None
            ):  # the end of this run; one of a run that the gate has begun is the gate's affair
                raise
            raise self._crashed(error, value) from error
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if run.is_cancelled:  # whatever the gate made of it
                raise asyncio.CancelledError from error
            raise self._crashed(error, value) from error
        if isinstance(answer, Verdict):
            return answer
        if not isinstance(answer, bool):
            raise GateCrashedError(
                f"the gate {self.name!r} returned {brief(answer)} instead of True, False or a Verdict.",
                gate=self.name,
                value=value,
            )
        return Verdict.allow() if answer else Verdict(self._on_fail, self.reason)

    def _crashed(self, error: BaseException, value: T_contra) -> GateCrashedError:
        told = "" if isinstance(error, asyncio.CancelledError) else f": {_said(error)}"
        return GateCrashedError(
            f"the gate {self.name!r} crashed instead of judging: {type(error).__name__}{told}",
            gate=self.name,
            value=value,
        )

    async def decide(self, value: T_contra, run: Run) -> object:
        """What the predicate says, before it is seen whether that is a verdict. Subclasses decide here."""
        answer = self._predicate(value, run) if self._takes_run else self._predicate(value)
        return cast("object", await answer if inspect.isawaitable(answer) else answer)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def gates_of(gates: Any, form: Any, option: str = "gates") -> tuple[Gate[Any], ...]:
    """The gates of a list, which holds nothing else.

    Args:
        gates: The list; ``None`` is one without gates.
        form: Type of what they judge.
        option: What the list is called, for messages.

    Raises:
        DefinitionError: It holds something else, is no list, or a gate surely cannot judge the type.
    """
    if gates is None:
        return ()
    if isinstance(gates, list | tuple) and all(
        isinstance(gate, Gate) for gate in cast("list[object]", gates)
    ):
        found = tuple(cast("list[Gate[Any]]", gates))
        for gate in found:
            try:
                gate.check(form)
            except DefinitionError as error:
                error.args = (f"the gate {gate.name!r}: {error.message}",)
                raise
        return found
    raise DefinitionError(
        f"{option} is a list of gates, as in {option}=[Gate(check, 'why not')], not {gates!r}."
    )


def _takes_run(predicate: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(predicate).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none to show
        return False
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in positional if p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) > 2 or not (positional or takes_any):
        raise DefinitionError("a gate takes a function of the value, or of the value and the run.")
    return len(required) > 1


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a message is made of it, which must not fail
        return "it has no message"


def _is_writable(text: Any) -> bool:
    """Whether it is text that can be sent: half of a surrogate pair cannot."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _refuse_unknown(word: object, known: Any, option: str) -> None:
    if word not in get_args(known):
        raise DefinitionError(
            f"{word!r} is no {option}.{nearest(str(word), get_args(known))} Known: {', '.join(get_args(known))}."
        )
