"""Gates that judge a part of a value, named by a dotted path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Union, cast, get_origin

from pydantic import BaseModel

from promptchain.errors import DefinitionError
from promptchain.fields import NoFields, field_types, shown
from promptchain.gates.base import Gate, Mode, OnFail, Verdict
from promptchain.spelling import nearest

if TYPE_CHECKING:
    from promptchain.run import Run

__all__ = ["Part", "gate_of_part", "text_only"]

_ABSENT: Final = object()

# What has attributes in Python, but no fields.
_WITHOUT_FIELDS: Final = (str, bytes, int, float, complex, list, set, frozenset, type(None))


class Part:
    """The part of a value that a dotted path leads to, or the value itself where there is no path.

    Args:
        path: Keys of mappings and fields of models and dataclasses, with dots between them: ``"author.name"``.

    Raises:
        DefinitionError: It is not such a path.
    """

    __slots__ = ("_names", "path")

    def __init__(self, path: str | None) -> None:
        names = () if path is None else tuple(path.split(".")) if _is_text(path) else ("",)
        if not all(name and name == name.strip() for name in names):
            raise DefinitionError(
                f"field is a name, or names with dots between them, as in field='author.name', not {path!r}."
            )
        self.path = path
        self._names = names

    @property
    def subject(self) -> str:
        """How a sentence about it begins."""
        return "it" if self.path is None else repr(self.path)

    def check(self, form: Any) -> None:
        """See that values of a type may have the part. Where that is not known they may.

        Raises:
            DefinitionError: They surely have none.
        """
        known: Any = form
        for name in self._names:
            if get_origin(known) in {Union, UnionType}:  # any of it may have the part
                return
            fields: Mapping[str, Any] | None
            try:
                fields = field_types(known)
            except NoFields:
                fields = {}
            if fields is None:
                return
            if name not in fields:
                raise DefinitionError(
                    f"field={self.path!r} is no part of {shown(form)}: {shown(known)} has no {name!r}."
                    f"{nearest(name, fields)}"
                )
            known = fields[name]

    def of(self, value: object) -> object:
        """The part.

        Raises:
            LookupError: ``value`` has no such part.
        """
        for at, name in enumerate(self._names):
            value = self._step(value, at, name)
        return value

    def replaced(self, value: object, by: object) -> object:
        """``value`` with ``by`` in the place of the part; ``value`` itself stays as it is.

        Raises:
            LookupError: ``value`` has no such part.
            TypeError: The part is computed, or belongs to what cannot be copied with another value in it.
        """
        return self._replaced(value, by, 0)

    def _replaced(self, value: object, by: object, at: int) -> object:
        if at == len(self._names):
            return by
        name = self._names[at]
        inner = self._replaced(self._step(value, at, name), by, at + 1)
        if isinstance(value, Mapping):
            return {**cast("Mapping[object, object]", value), name: inner}
        if isinstance(value, BaseModel) and name in type(value).model_fields:
            return value.model_copy(update={name: inner})
        if dataclasses.is_dataclass(value) and name in {field.name for field in dataclasses.fields(value)}:
            return dataclasses.replace(cast("Any", value), **{name: inner})
        raise TypeError(f"{name!r} of a {type(value).__name__} cannot be replaced")

    def _step(self, value: object, at: int, name: str) -> object:
        found = _found(value, name)
        if found is _ABSENT:
            holder = ".".join(self._names[:at])
            of = f"{holder!r} is a {type(value).__name__}" if holder else f"it is a {type(value).__name__}"
            raise LookupError(f"{of} and has no {name!r}.{nearest(name, _known(value))}")
        return found


class _PartGate(Gate[object]):
    """A gate that judges a part."""

    def __init__(
        self, part: Part, predicate: Callable[[object, Run], Verdict], reason: str, **options: Any
    ) -> None:
        super().__init__(predicate, reason, **options)
        self._part = part

    def check(self, form: Any) -> None:
        """See that values of a type may have the part."""
        self._part.check(form)


def gate_of_part(
    judge: Callable[[Any, Run], str | Verdict | None],
    part: Part,
    *,
    kind: str,
    wanted: str,
    reason: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate that hands the part of a value to ``judge``.

    Args:
        judge: Takes the part and the run. It returns nothing where the part passes, the end of a sentence that
            says why not (``"has 3 items, ..."``), or a verdict that replaces the part. What it raises is a crash.
        part: Of what the gate is handed.
        kind: What the gate is called unless it is named.
        wanted: What the part must meet.
        reason: Told in place of the sentence.
        name: See ``Gate``.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: One of these is not of its kind.
    """
    subject = "the reply" if part.path is None and on_fail == "retry" else part.subject

    def predicate(value: object, run: Run) -> Verdict:
        said = judge(part.of(value), run)
        if isinstance(said, Verdict):
            return Verdict.replace(part.replaced(value, said.value), f"{subject} {said.reason}")
        if not said:
            return Verdict.allow()
        why = reason or f"{subject} {said}"
        return Verdict.retry(why) if on_fail == "retry" else Verdict.block(why)

    return _PartGate(
        part,
        predicate,
        f"{subject} {wanted}" if reason is None else reason,
        name=name or (kind if part.path is None else f"{kind}({part.path})"),
        mode=mode,
        on_fail=on_fail,
    )


def text_only(value: object, judge: str, hint: str = "") -> str:
    """``value``, which is text.

    Raises:
        TypeError: It is none; the message says that ``judge`` judges texts.
    """
    if isinstance(value, str):
        return value
    raise TypeError(f"{judge} judges text, not {type(value).__name__}{hint}")


def _found(value: object, name: str) -> object:
    if isinstance(value, Mapping):
        return cast("Mapping[object, object]", value).get(name, _ABSENT)
    if isinstance(value, _WITHOUT_FIELDS) or name.startswith("_"):
        return _ABSENT
    found: object = getattr(value, name, _ABSENT)
    return _ABSENT if callable(found) else found


def _known(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [str(key) for key in cast("Mapping[object, object]", value)]
    try:
        return list(field_types(type(value)) or ())
    except NoFields:
        return []


def _is_text(path: object) -> bool:
    return isinstance(path, str)
