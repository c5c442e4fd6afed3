"""Typed prompt chains on Claude: steps with gates between them, streamed, with an exact bill."""
