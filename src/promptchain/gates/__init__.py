"""Gates: checks that a value must pass before the chain goes on with it."""

from promptchain.gates.base import Decision, Gate, Judgement, Mode, OnFail, Verdict

__all__ = ["Decision", "Gate", "Judgement", "Mode", "OnFail", "Verdict"]
