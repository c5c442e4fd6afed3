"""Tokens, counted as the Messages API counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or of many requests; adding two adds every field.

    The four counts are disjoint, as in the API's ``usage`` object: what was read from the prompt cache or
    written to it is not part of ``input_tokens``.

    Attributes:
        input_tokens: Input that was neither read from the cache nor written to it.
        output_tokens: Everything the model generated, thinking included.
        cache_read_input_tokens: Input read from the prompt cache.
        cache_creation_input_tokens: Input written to the prompt cache, at either lifetime.
        cache_creation_1h_input_tokens: The part of ``cache_creation_input_tokens`` written for one hour
            instead of five minutes; it has its own price.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_creation_1h_input_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input of every kind plus output."""
        return self.total_input_tokens + self.output_tokens

    @property
    def total_input_tokens(self) -> int:
        """Fresh input, cache reads and cache writes."""
        return self.input_tokens + self.cache_read_input_tokens + self.cache_creation_input_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            self.cache_creation_input_tokens + other.cache_creation_input_tokens,
            self.cache_creation_1h_input_tokens + other.cache_creation_1h_input_tokens,
        )

    @classmethod
    def sum(cls, usages: Iterable[Usage]) -> Usage:
        """The sum of any number of usages; of none it is zero."""
        return sum(usages, cls())

    def as_dict(self) -> Mapping[str, int]:
        """The counts by their names in the API."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_input_tokens": self.cache_read_input_tokens,
            "cache_creation_input_tokens": self.cache_creation_input_tokens,
            "cache_creation_1h_input_tokens": self.cache_creation_1h_input_tokens,
        }
