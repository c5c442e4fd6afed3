"""Ready-made chains, to run as they are or to read as examples."""

from promptchain.chains.answer import answer

__all__ = ["answer"]
