"""Steps: stages that ask a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, overload

from typing_extensions import TypeForm, TypeVar, Unpack

from promptchain.arguments import DEFAULT_MAX_TOKENS, Arguments, Options, refuse_unknown
from promptchain.errors import (
    ContextWindowError,
    DefinitionError,
    GateBlockedError,
    IncompleteReplyError,
    MaxTokensError,
    PromptChainError,
    RefusalError,
    UnexpectedStopError,
)
from promptchain.events import GateJudged, TextRetracted, TextTentative, Thinking
from promptchain.gates import Gate
from promptchain.messages import ModelRequest, ReplyFinished, ReplyStarted, TextDelta, ThinkingDelta
from promptchain.metered import Metered
from promptchain.outputs import OutputType
from promptchain.run import Run
from promptchain.stage import In, Out, Stage
from promptchain.templates import Prompt, Template

__all__ = ["Step"]

T = TypeVar("T")
U = TypeVar("U")


class StepOptions(Options, total=False):
    """What else a step can say; what it leaves out comes from the chain."""

    system: Prompt | None
    stop_sequences: Sequence[str]


_KNOWN = StepOptions.__optional_keys__ | {"prompt", "input", "output", "gates"}


class Step(Stage[In, Out]):
    """A stage that asks a model.

    Args:
        name: Name of the step: a letter, then letters, digits, ``_`` or ``-``.
        prompt: What the model is asked, as text or as the path of a ``.md`` file. ``{input}`` is the chain's
            input, ``{previous}`` what this step was handed, ``{name}`` and ``{name.field}`` the output of an
            earlier step; ``{{`` and ``}}`` are literal braces.
        input: Type that the step takes, for the type checker and for the check of what stands before it.
            Left out, it takes anything.
        output: Type of its output: ``str``, or anything pydantic can describe, which is then asked for as a
            structured output and validated again.
        gates: Checks that the output must pass, in order.
        system: System prompt, with the same placeholders.
        model: A name such as ``"claude-haiku-4-5"``, or a ``Model``.
        max_tokens: Most tokens of the reply, thinking included (4,096 if the chain says nothing either).
        effort: ``"low"`` to ``"max"``: how much work the model puts in.
        thinking: The SDK's ``thinking`` argument.
        stop_sequences: The reply ends before any of these.

    Raises:
        DefinitionError: Anything of this is wrong.
    """

    @overload
    def __init__(
        self: Step[object, str],
        name: str,
        *,
        prompt: Prompt,
        gates: Sequence[Gate[str]] = (),
        **options: Unpack[StepOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Step[T, str],
        name: str,
        *,
        prompt: Prompt,
        input: TypeForm[T],
        gates: Sequence[Gate[str]] = (),
        **options: Unpack[StepOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Step[object, U],
        name: str,
        *,
        prompt: Prompt,
        output: TypeForm[U],
        gates: Sequence[Gate[U]] = (),
        **options: Unpack[StepOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Step[T, U],
        name: str,
        *,
        prompt: Prompt,
        output: TypeForm[U],
        input: TypeForm[T],
        gates: Sequence[Gate[U]] = (),
        **options: Unpack[StepOptions],
    ) -> None: ...
    def __init__(
        self,
        name: str,
        *,
        prompt: Prompt,
        output: Any = str,
        input: Any = Any,
        gates: Sequence[Gate[Any]] = (),
        **options: Unpack[StepOptions],
    ) -> None:
        super().__init__(name)
        try:
            refuse_unknown(options, _KNOWN, "a step")
            system = options.get("system")
            self._prompt = Template(prompt)
            self._system = None if system is None else Template(system, "system prompt")
            self._output: OutputType[Any] = OutputType(output)
            self._arguments = Arguments.of(options)
            self._gates = _gates(gates)
            self._stop_sequences = _texts(options.get("stop_sequences", ()))
        except DefinitionError as error:
            raise error.locate(step=name) from error.__cause__
        self.input_type = input
        self.output_type = output

    @property
    def prompt(self) -> Template:
        """What the model is asked."""
        return self._prompt

    @property
    def system(self) -> Template | None:
        """Its system prompt."""
        return self._system

    @property
    def gates(self) -> Sequence[Gate[Any]]:
        """The checks of its output, in order."""
        return self._gates

    @property
    def arguments(self) -> Arguments:
        """What it says itself of its model calls."""
        return self._arguments

    def check(self, names: Mapping[str, Any]) -> None:
        """See that every placeholder exists where the step stands."""
        self._prompt.check(names)
        if self._system is not None:
            self._system.check(names)

    def without_model(self) -> Iterator[str]:
        """Its own name, when it names no model."""
        if self._arguments.model is None:
            yield self.name

    async def execute(self, value: In, run: Run) -> Out:  # noqa: ARG002 - it is run.previous
        """Ask the model, validate its reply, and pass it through the gates.

        Raises:
            ModelError: No complete reply came.
            ReplyError: The reply cannot be the answer.
            GateBlockedError: A gate rejected it.
            GateCrashedError: A gate could not judge it.
        """
        run.prompt_hash = self._prompt.digest
        run.system_hash = self._system.digest if self._system else None
        arguments = self._arguments.over(run.arguments)
        model = run.execution.model or arguments.model
        if model is None:
            raise DefinitionError("no model is named, neither by the step nor by the chain.")
        reply = _Reply(run, at_once=run.is_last and self.output_type is str and not self._gates)
        try:
            await reply.receive(Metered(model, run), self._request(arguments, run))
            output: Out = self._output.parse(reply.text)
            await _pass(self._gates, output, run)
        except BaseException as error:
            reply.retract(str(error) or type(error).__name__)
            if isinstance(error, PromptChainError) and error.request_id is None:
                error.request_id = reply.request_id
            raise
        run.commit(reply.text)
        return output

    def _request(self, arguments: Arguments, run: Run) -> ModelRequest:
        return ModelRequest(
            messages=({"role": "user", "content": self._prompt.render(run.lookup)},),
            system=self._system.render(run.lookup) if self._system else None,
            max_tokens=arguments.max_tokens or DEFAULT_MAX_TOKENS,
            output_schema=self._output.schema,
            effort=arguments.effort,
            thinking=arguments.thinking,
            stop_sequences=self._stop_sequences,
            request_id=run.request_id,
        )


class _Reply:
    """The text of a reply as it arrives: tentative until it is committed or retracted."""

    __slots__ = ("_at_once", "_run", "_tentative", "request_id", "text")

    def __init__(self, run: Run, *, at_once: bool) -> None:
        self._run = run
        self._at_once = at_once
        self._tentative = False
        self.request_id: str | None = None
        self.text = ""

    async def receive(self, model: Metered, request: ModelRequest) -> None:
        """Take in the whole reply.

        Raises:
            ModelError: No complete reply came.
            ReplyError: The model stopped for a reason that makes the reply no answer.
        """
        run = self._run
        pieces: list[str] = []
        async with aclosing(model.stream(request)) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        pieces.append(text)
                        self._show(text)
                        if run.execution.room is not None:
                            await run.execution.room()
                    case ThinkingDelta(text):
                        if run.is_watched:
                            run.emit(Thinking(at=run.seconds, step=run.path, attempt=run.attempt, text=text))
                        if run.execution.room is not None:
                            await run.execution.room()
                    case ReplyStarted():
                        self.request_id = event.request_id
                    case ReplyFinished():
                        self.text = "".join(pieces)
                        _refuse_stop(event, self.text, request)
                        return
        raise IncompleteReplyError(f"the model {model.name!r} ended its stream without a stop reason.")

    def retract(self, reason: str) -> None:
        """Take back what was tentative."""
        if self._tentative:
            run = self._run
            run.emit(TextRetracted(at=run.seconds, step=run.path, attempt=run.attempt, reason=reason))

    def _show(self, text: str) -> None:
        run = self._run
        if self._at_once:
            run.commit_piece(text)
        elif run.is_watched:
            run.emit(TextTentative(at=run.seconds, step=run.path, attempt=run.attempt, text=text))
            self._tentative = True


def _refuse_stop(end: ReplyFinished, text: str, request: ModelRequest) -> None:
    match end.stop_reason:
        case "end_turn" | "stop_sequence":
            return
        case "refusal":
            category = end.stop_details.get("category")
            explanation = end.stop_details.get("explanation")
            raise RefusalError(
                "the model refused to answer"
                + (f" ({category})" if category else "")
                + (f": {explanation}" if explanation else "."),
                reply=text,
                category=category,
                explanation=explanation,
            )
        case "max_tokens":
            raise MaxTokensError(
                f"the reply stops in the middle, at max_tokens={request.max_tokens}: raise max_tokens, "
                "or ask for less.",
                reply=text,
            )
        case "model_context_window_exceeded":
            raise ContextWindowError(
                "the reply stops in the middle, as the model's context window is full: shorten the input, "
                "or use a model with a larger window.",
                reply=text,
            )
        case other:
            raise UnexpectedStopError(
                f"the model stopped with {other!r}, which a step cannot use.",
                reply=text,
            )


async def _pass(gates: Sequence[Gate[Any]], value: object, run: Run) -> None:
    for gate in gates:
        allowed = await gate.allows(value)
        reason = "" if allowed else gate.reason
        run.emit(GateJudged(at=run.seconds, step=run.path, gate=gate.name, allowed=allowed, reason=reason))
        if not allowed:
            raise GateBlockedError(
                f"the gate {gate.name!r} blocked the output: {gate.reason}."
                if gate.name != gate.reason
                else f"a gate blocked the output: {gate.reason}.",
                gate=gate.name,
                reason=gate.reason,
                value=value,
            )


def _gates(gates: Sequence[Gate[Any]]) -> tuple[Gate[Any], ...]:
    untyped: Any = gates
    if not isinstance(untyped, Sequence) or not all(isinstance(gate, Gate) for gate in gates):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(
            f"gates is a list of gates, as in gates=[Gate(check, 'why not')], not {untyped!r}."
        )
    return tuple(gates)


def _texts(stop_sequences: Any) -> tuple[str, ...]:
    if isinstance(stop_sequences, str):  # or each of its characters would be one
        raise DefinitionError(f"stop_sequences is a list of texts: [{stop_sequences!r}].")
    try:
        texts: tuple[Any, ...] = tuple(stop_sequences)
    except TypeError:
        texts = (None,)
    if not all(isinstance(text, str) and text for text in texts):
        raise DefinitionError(
            f"stop_sequences is a list of texts that are not empty, not {stop_sequences!r}."
        )
    return texts
