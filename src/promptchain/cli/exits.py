"""What a command's exit code says, and which error means which."""

from __future__ import annotations

from typing import Final

from promptchain.errors import (
    ConfigurationError,
    DeadlineError,
    DefinitionError,
    InputError,
    PromptChainError,
)

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
OUT_OF_TIME: Final = 124
"""As ``timeout`` of the coreutils has it."""
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells have it."""
PIPE_CLOSED: Final = 141
"""128 and the number of SIGPIPE."""


def code_of(error: PromptChainError) -> int:
    """2 for what the user can mend in a chain, an input or the surroundings; 1 or 124 for a run that failed."""
    if isinstance(error, DeadlineError):
        return OUT_OF_TIME
    return USAGE if isinstance(error, DefinitionError | InputError | ConfigurationError) else FAILED
