"""What is known of a type before there is a value of it: its fields, its name, and what fits it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import typing_extensions
from pydantic import BaseModel

__all__ = ["NoFields", "field_types", "fits", "shown"]


class NoFields(Exception):  # noqa: N818 - an answer, caught where it is asked for
    """The type has no fields that a placeholder could name; its text says why."""


def field_types(tp: Any) -> Mapping[str, Any] | None:
    """Names and types of the fields of ``tp``, or ``None`` when they cannot be known.

    Raises:
        NoFields: It surely has none.
    """
    tp = _bare(tp)
    if tp is Any or tp is object or isinstance(tp, typing.TypeVar):
        return None
    if _is_union(tp):
        return _common(get_args(tp))
    origin: Any = get_origin(tp) or tp
    if origin is Literal:
        raise NoFields("which is one of fixed values")
    if not isinstance(origin, type):
        return None
    return _fields_of_class(cast("type[Any]", origin), tp)


def _fields_of_class(origin: type[Any], tp: Any) -> Mapping[str, Any] | None:
    if typing_extensions.is_typeddict(origin):
        return _hints(origin)
    if issubclass(origin, BaseModel):
        computed = {name: field.return_type for name, field in origin.model_computed_fields.items()}
        declared: dict[str, Any] = {name: field.annotation for name, field in origin.model_fields.items()}
        return declared | computed | _properties(origin)
    if dataclasses.is_dataclass(origin):
        return {f.name: _hints(origin).get(f.name, Any) for f in dataclasses.fields(origin)} | _properties(
            origin
        )
    if issubclass(origin, str):
        raise NoFields("which is text")
    if issubclass(origin, (int, float, bytes, list, tuple, set, frozenset, type(None))):
        raise NoFields(f"which is {shown(tp)}")
    return None


def _common(members: tuple[Any, ...]) -> Mapping[str, Any] | None:
    if type(None) in members:
        raise NoFields("which may be None")
    known = [field_types(member) for member in members]
    if any(fields is None for fields in known):
        return None
    every = [fields for fields in known if fields is not None]
    names = set[str].intersection(*(set(fields) for fields in every))
    return {name: Union[tuple(fields[name] for fields in every)] for name in names}  # noqa: UP007


def _properties(cls: type[Any]) -> dict[str, Any]:
    return {
        name: Any
        for owner in cls.__mro__
        if owner not in {BaseModel, object}
        for name, value in vars(owner).items()
        if isinstance(value, property) and not name.startswith("_")
    }


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # a name that only a type checker sees
        return {}


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value of type ``given`` may be handed to a stage that takes ``wanted``.

    Errs on the side of ``True``: only what surely does not fit is refused.
    """
    given, wanted = _bare(given), _bare(wanted)
    if any(tp is Any or tp is object for tp in (given, wanted)) or given == wanted:
        return True
    if isinstance(given, typing.TypeVar) or isinstance(wanted, typing.TypeVar):
        return True
    if _is_union(given):
        return all(fits(member, wanted) for member in get_args(given))
    if get_origin(given) is Literal and len(get_args(given)) > 1:
        return all(fits(cast("Any", Literal)[value], wanted) for value in get_args(given))
    if _is_union(wanted):
        return any(fits(given, member) for member in get_args(wanted))
    if get_origin(given) is Literal:
        (value,) = get_args(given)
        return value in get_args(wanted) if get_origin(wanted) is Literal else fits(type(value), wanted)
    if get_origin(wanted) is Literal:
        return False
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if not (isinstance(given_class, type) and isinstance(wanted_class, type)):
        return True
    if typing_extensions.is_typeddict(given_class) or typing_extensions.is_typeddict(wanted_class):
        return wanted_class is dict or issubclass(dict, wanted_class) or given_class is wanted_class
    if not _subclass(given_class, wanted_class):
        return False
    given_args, wanted_args = get_args(given), get_args(wanted)
    if given_class is wanted_class and len(given_args) == len(wanted_args):
        return all(fits(a, b) for a, b in zip(given_args, wanted_args, strict=True))
    return True


# What a type checker lets pass as well (PEP 484).
_TOWER: dict[type, tuple[type, ...]] = {float: (int, float), complex: (int, float, complex)}


def _subclass(given: type, wanted: type) -> bool:
    try:
        return issubclass(given, _TOWER.get(wanted, (wanted,)))
    except TypeError:  # a protocol that cannot be asked at run time
        return True


def shown(tp: Any) -> str:
    """A type as a user would write it."""
    tp = _bare(tp)
    if tp is type(None):
        return "None"
    if isinstance(tp, type) and not get_args(tp):
        return tp.__qualname__.rpartition("<locals>.")[2]
    if _is_union(tp):
        return " | ".join(shown(member) for member in get_args(tp))
    if get_origin(tp) is Literal or not get_args(tp):
        return str(tp).replace("typing.", "")
    return f"{shown(get_origin(tp))}[{', '.join(shown(arg) for arg in get_args(tp))}]"


def _bare(tp: Any) -> Any:
    while get_origin(tp) is Annotated:
        tp = get_args(tp)[0]
    return type(None) if tp is None else tp


def _is_union(tp: Any) -> bool:
    return get_origin(tp) in {Union, types.UnionType}
