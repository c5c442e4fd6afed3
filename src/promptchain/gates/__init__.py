"""Gates: checks that a value must pass before the chain goes on with it."""

from promptchain.gates.base import Decision, Gate, Judgement, Mode, OnFail, Verdict
from promptchain.gates.checks import Unit, length, not_empty, one_of
from promptchain.gates.patterns import does_not_match, matches
from promptchain.gates.ranges import Bound, in_range, min_confidence
from promptchain.gates.schema import json_schema

__all__ = [
    "Bound",
    "Decision",
    "Gate",
    "Judgement",
    "Mode",
    "OnFail",
    "Unit",
    "Verdict",
    "does_not_match",
    "in_range",
    "json_schema",
    "length",
    "matches",
    "min_confidence",
    "not_empty",
    "one_of",
]
