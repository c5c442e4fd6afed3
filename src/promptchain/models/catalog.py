"""The models that are known by name, to help with a typo. A name that is not here may still exist."""

from __future__ import annotations

from typing import Final

KNOWN_ON: Final = "2026-11-23"
"""When ``KNOWN_MODELS`` was last compared with the SDK's list (anthropic 2.12)."""

KNOWN_MODELS: Final = (
    "claude-fable-5",
    "claude-fable-5-1",
    "claude-fable-5-2",
    "claude-haiku-4-5",
    "claude-haiku-4-5-20251001",
    "claude-haiku-5-5",
    "claude-mythos-5",
    "claude-mythos-5-1",
    "claude-mythos-5-2",
    "claude-mythos-preview",
    "claude-opus-4-5",
    "claude-opus-4-5-20251101",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-20250929",
    "claude-sonnet-4-6",
    "claude-sonnet-5",
    "claude-sonnet-5-5",
)
"""In alphabetical order."""
