"""The tree of errors, and what an error carries."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pytest

from promptchain import Attempt, Ledger, PromptChainError, Usage, errors
from promptchain.spelling import nearest

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, PromptChainError) and cls.__module__.startswith(errors.__name__)
]
LEDGER = Ledger(
    [Attempt(step="a", number=1, model="m", usage=Usage(1, 2), estimated=False, started=1.0, seconds=2.0)]
)
ARGUMENTS: dict[str, Any] = {
    "request_id": "req_1",
    "billable": True,
    "status": 429,
    "type": "rate_limit_error",
    "retry_after": 1.5,
    "should_retry": False,
    "reply": "half a",
    "category": "cyber",
    "explanation": "no",
    "errors": ({"loc": ("a",), "msg": "m", "type": "t"},),
    "gate": "stated",
    "reason": "it must be",
    "value": [1, 2],
    "phase": "idle",
    "model": "m",
    "seconds": 1.0,
    "budget": "nightly",
}


def drawn() -> dict[str, str]:
    """Child and parent of every line of the drawing in the module's docstring."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^    ([│├└─ ]*)([A-Z]\w+Error)\b", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            if depth:
                parents[found[2]] = path[depth - 1]
    return parents


def made(cls: type[PromptChainError]) -> PromptChainError:
    takes = inspect.signature(cls.__init__).parameters
    return cls("what happened", **{name: value for name, value in ARGUMENTS.items() if name in takes})


def test_the_tree_is_drawn_as_it_is() -> None:
    real = {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES if cls is not PromptChainError}
    assert len(real) > 30
    assert drawn() == real


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_survives_pickling_and_copying_with_all_that_it_carries(cls: type[PromptChainError]) -> None:
    error = made(cls).locate(step="draft/polish", run_id="run_1", ledger=LEDGER)
    error.add_note("seen twice")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert type(again) is cls
        assert vars(again) == vars(error)
        assert again.args == error.args
        assert str(again) == str(error) == "step 'draft/polish': what happened"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_keeps_what_it_was_made_with(cls: type[PromptChainError]) -> None:
    error = made(cls)
    takes = inspect.signature(cls.__init__).parameters
    assert {name: getattr(error, name) for name in ARGUMENTS if name in takes} == {
        name: value for name, value in ARGUMENTS.items() if name in takes
    }


def test_what_an_inner_place_said_stays() -> None:
    inner, outer = Ledger(), Ledger()
    error = PromptChainError("x").locate(step="inner", ledger=inner)
    assert error.locate(step="outer", run_id="run_2", ledger=outer) is error
    assert (error.step, error.run_id) == ("inner", "run_2")
    assert error.ledger is inner


def test_an_error_outside_of_a_run_says_so_by_having_no_context() -> None:
    error = PromptChainError("x")
    assert (error.step, error.run_id, error.request_id, error.ledger) == (None, None, None, None)
    assert str(error) == error.message == "x"


def test_locating_one_error_leaves_the_others_of_its_class_alone() -> None:
    PromptChainError("x").locate(step="a", run_id="b", ledger=LEDGER)
    assert PromptChainError("y").step is None
    assert PromptChainError.ledger is None


def test_an_error_status_or_an_open_circuit_is_not_billed_and_every_other_failure_may_be() -> None:
    free = {cls.__name__ for cls in CLASSES if issubclass(cls, errors.ModelError) and not cls.billable}
    unsent = errors.ModelStatusError | errors.CircuitOpenError
    assert free == {cls.__name__ for cls in CLASSES if issubclass(cls, unsent)}


def test_the_nearest_name_is_offered_only_when_it_is_near() -> None:
    assert nearest("analize", ["analyze", "draft"]) == " Did you mean 'analyze'?"
    assert nearest("zzz", ["analyze", "draft"]) == ""
    assert nearest("x", []) == ""
