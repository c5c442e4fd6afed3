"""Deadlines: until when a run may take, and what it was doing when that passed."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Phase"]

Phase: TypeAlias = Literal["queue", "backoff", "first token", "next token", "gate", "stage"]
"""What a run is doing: waiting to be let through (by a limit of the API or a budget), waiting before it asks again,
waiting for the first token or the next one, in a gate, or in anything else of a stage, such as its function."""
