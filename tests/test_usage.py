"""Tokens."""

from __future__ import annotations

import dataclasses

import pytest

from promptchain import Usage

FULL = Usage(
    input_tokens=1,
    output_tokens=2,
    cache_read_input_tokens=4,
    cache_creation_input_tokens=8,
    cache_creation_1h_input_tokens=3,
)


def test_adding_adds_every_field() -> None:
    names = [field.name for field in dataclasses.fields(Usage)]
    total = FULL + FULL
    assert {name: getattr(total, name) for name in names} == {name: 2 * getattr(FULL, name) for name in names}


def test_the_hour_of_cache_is_a_part_of_what_was_written_and_not_counted_twice() -> None:
    assert FULL.total_input_tokens == 1 + 4 + 8
    assert FULL.total_tokens == 1 + 4 + 8 + 2


def test_the_sum_of_nothing_is_zero() -> None:
    assert Usage.sum([]) == Usage()
    assert Usage().total_tokens == 0


def test_a_usage_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.input_tokens = 0  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def test_the_names_are_those_of_the_api() -> None:
    assert FULL.as_dict() == {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 8,
        "cache_creation_1h_input_tokens": FULL.cache_creation_1h_input_tokens,
    }
