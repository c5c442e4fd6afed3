"""The one count of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain.models.tokens import running_counts, split_tokens
from promptchain.testing import count_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fives", 2),
        ("two words", 3),
        ("  \n", 1),
        ("a b c d", 4),
        ("日本語文字", 2),
    ],
)
def test_a_word_is_a_token_for_every_four_characters(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(st.text())
def test_a_token_is_never_less_than_a_byte(text: str) -> None:
    assert count_tokens(text) <= len(text.encode("utf-8", "surrogatepass"))


@given(st.text())
def test_splitting_gives_as_many_tokens_as_were_counted_and_loses_nothing(text: str) -> None:
    pieces = split_tokens(text)
    assert "".join(pieces) == text
    assert len(pieces) == count_tokens(text)


@given(st.lists(st.text(alphabet=" \nabcdé")))
def test_counting_piece_by_piece_is_counting_the_whole_so_far(pieces: list[str]) -> None:
    counts = list(running_counts(pieces))
    assert counts == [count_tokens("".join(pieces[: end + 1])) for end in range(len(pieces))]
    assert counts == sorted(counts)
