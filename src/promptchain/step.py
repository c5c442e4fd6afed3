"""Steps: stages that ask a model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from typing_extensions import TypeForm, TypeVar, Unpack

from promptchain.arguments import (
    DEFAULT_MAX_REASKS,
    DEFAULT_MAX_TOKENS,
    Arguments,
    Options,
    refuse_unknown,
)
from promptchain.arriving import ArrivingReply
from promptchain.errors import (
    DefinitionError,
    GateBlockedError,
    OutputError,
    PromptChainError,
)
from promptchain.fitness import refuse_unfit
from promptchain.gates import Gate
from promptchain.gates.base import gates_of
from promptchain.judging import AskAgain, judged
from promptchain.messages import (
    REPLY_AGAIN,
    Message,
    ModelRequest,
)
from promptchain.models import Model
from promptchain.models.base import prepare
from promptchain.optional import StandIn
from promptchain.outputs import OutputType
from promptchain.performing import limited
from promptchain.policy import LEFT_OUT
from promptchain.resilience import protected
from promptchain.result import Rejected
from promptchain.run import Run
from promptchain.settings.layers import FIELDS
from promptchain.stage import In, Out, Stage
from promptchain.templates import Prompt, Template

__all__ = ["Step"]

T = TypeVar("T")
U = TypeVar("U")


class StepOptions(Options, total=False):
    """What else a step can say; what it leaves out comes from the chain."""

    system: Prompt | None
    stop_sequences: Sequence[str] | None
    timeout: float | None
    optional: bool


_KNOWN = StepOptions.__optional_keys__ | {"prompt", "input", "output", "gates", "default", "fallback"}


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
        temperature: 0 to 1, for models that still take it.
        top_p: 0 to 1, for models that still take it; not together with ``temperature``.
        service_tier: ``"auto"`` or ``"standard_only"``: whether capacity bought beforehand may be used.
        stop_sequences: The reply ends before any of these.
        max_reasks: How often the model is asked again, with its reply and what was wrong with it, after a reply
            that does not validate or that a gate wants otherwise (2 if the chain says nothing either).
        gates_mode: ``"strict"`` or ``"lenient"``, for the gates that do not say.
        timeout: Seconds that the step may take, all its requests and gates included.
        optional: Whether the run goes on when the step fails; ``default`` or ``fallback`` says with what.
        default: A value of its output type.
        fallback: Another stage, which is handed what the step was.

    Raises:
        DefinitionError: Anything of this is wrong.
    """

    asks_model = True
    settable = FIELDS

    # With U as the type of the default a checker would find the U that fits both it and the output, and accept any.
    # So where there is an output, the default is checked when the step is built.
    @overload
    def __init__(
        self: Step[object, str],
        name: str,
        *,
        prompt: Prompt,
        gates: Sequence[Gate[str]] = (),
        default: str = ...,
        fallback: Stage[Any, str] | None = None,
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
        default: str = ...,
        fallback: Stage[Any, str] | None = None,
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
        default: Any = ...,
        fallback: Stage[Any, Any] | None = None,
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
        default: Any = ...,
        fallback: Stage[Any, Any] | None = None,
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
        default: Any = LEFT_OUT,
        fallback: Stage[Any, Any] | None = None,
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
            self._gates = gates_of(gates, output)
            said = {"optional": options.get("optional", False), "default": default, "fallback": fallback}
            self.stand_in = StandIn.of(said, takes=input, gives=output, output=self._output)
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
        super().check(names)
        self._prompt.check(names)
        if self._system is not None:
            self._system.check(names)

    async def execute(self, value: In, run: Run) -> Out:  # noqa: ARG002 - it is run.previous
        """Ask the model, validate its reply and pass it through the gates; ask again where that can help.

        Raises:
            ModelError: No complete reply came.
            ReplyError: The reply cannot be the answer.
            GateBlockedError: A gate rejected it.
            GateCrashedError: A gate could not judge it.
            StepTimeoutError: It took too long.
        """
        run.prompt_hash = self._prompt.digest
        run.system_hash = self._system.digest if self._system else None
        arguments = run.arguments = run.effective(self._arguments)
        model = run.asked(arguments.model)
        if model is None:
            raise DefinitionError("no model is named, neither by the step nor by the chain.")
        refuse_unfit(arguments, model)
        await prepare(model)
        conversation = self._converse(model, self._request(arguments, run), run)
        return await limited(arguments.timeout, conversation)

    async def _converse(self, model: Model, request: ModelRequest, run: Run) -> Out:
        bound = DEFAULT_MAX_REASKS if run.arguments.max_reasks is None else run.arguments.max_reasks
        for asked in itertools.count(1):
            try:
                return await self._ask(model, request, run, may_ask_again=asked <= bound)
            except AskAgain as wish:
                run.rejected.append(Rejected(attempt=run.attempt, reason=wish.reason, reply=wish.reply))
                request = _continued(request, wish)
            except (OutputError, GateBlockedError) as error:
                if asked > 1:
                    told = error.message if error.message.endswith(".") else f"{error.message}."
                    error.args = (f"{told} The model was asked {asked} times.",)
                raise
        raise AssertionError

    async def _ask(self, model: Model, request: ModelRequest, run: Run, *, may_ask_again: bool) -> Out:
        reply = ArrivingReply(run, self._output, at_once=self._gives_at_once(run))
        try:
            await reply.receive(protected(model, run), request)
            written: Out = self._parsed(reply.text, may_ask_again=may_ask_again)
            output: Out = await judged(
                self._gates,
                written,
                run,
                validated=self._output.validated,
                may_ask_again=may_ask_again,
                reply=reply.text,
            )
            # A gate may have replaced the value, or changed it in its place.
            text = self._output.text_of(output, reply.text) if run.is_last and self._gates else reply.text
        except BaseException as error:
            reply.retract(error)
            if isinstance(error, PromptChainError) and error.request_id is None:
                error.request_id = reply.request_id
            raise
        run.commit(text)
        return output

    def _parsed(self, text: str, *, may_ask_again: bool) -> Out:
        try:
            output: Out = self._output.parse(text)
        except OutputError as error:
            if may_ask_again:
                raise AskAgain(error.message, f"That reply cannot be used: {error.message}", text) from error
            raise
        return output

    def _gives_at_once(self, run: Run) -> bool:
        """Whether nothing can reject the text any more as soon as it has come."""
        return run.is_last and self.output_type is str and not (self._gates and run.gates_are_on)

    def _request(self, arguments: Arguments, run: Run) -> ModelRequest:
        return ModelRequest(
            messages=({"role": "user", "content": self._prompt.render(run.lookup)},),
            system=self._system.render(run.lookup) if self._system else None,
            max_tokens=arguments.max_tokens or DEFAULT_MAX_TOKENS,
            output_schema=self._output.schema,
            effort=arguments.effort,
            thinking=arguments.thinking,
            temperature=arguments.temperature,
            top_p=arguments.top_p,
            service_tier=arguments.service_tier,
            stop_sequences=arguments.stop_sequences or (),
            request_id=run.request_id,
        )


def _continued(request: ModelRequest, wish: AskAgain) -> ModelRequest:
    """The conversation with the rejected reply, and what was wrong with it."""
    feedback = f"{wish.feedback}\n\n{REPLY_AGAIN}"
    if wish.reply.strip():
        turns: tuple[Message, ...] = (
            {"role": "assistant", "content": wish.reply},
            {"role": "user", "content": feedback},
        )
        return replace(request, messages=(*request.messages, *turns))
    # No turn of a conversation may be empty, so what was wrong goes to the last question.
    *earlier, last = request.messages
    return replace(
        request,
        messages=(*earlier, {"role": "user", "content": f"{last['content']}\n\n{feedback}"}),
    )
