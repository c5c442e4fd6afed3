"""The prompt cache: what a request reads from it and writes to it, and how many tokens its input has."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from promptchain.models.tokens import count_tokens
from promptchain.testing.json_values import as_array, as_object
from promptchain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from promptchain.testing.catalogue import ModelFacts

__all__ = ["PromptCache", "Weighed", "count_input"]

_REQUEST_TOKENS: Final = 4
_MESSAGE_TOKENS: Final = 3
_IMAGE_TOKENS: Final = 1_568
_LOOK_BACK: Final = 20
_LIFETIME: Final = {"5m": 300.0, "1h": 3_600.0}


@dataclass(frozen=True, slots=True)
class _Block:
    """One piece of the input in the order in which the model reads it."""

    content: object
    tokens: int
    lifetime: str | None


def _lifetime(mark: object) -> str | None:
    control = as_object(mark)
    return None if control is None else str(control.get("ttl", "5m"))


def _block_tokens(block: Mapping[str, Any]) -> int:
    if block.get("type") == "text":
        return count_tokens(str(block["text"]))
    size = count_tokens(msgspec.json.encode(block).decode())
    # A picture's tokens follow its pixels, not the length of its base64.
    return min(size, _IMAGE_TOKENS) if block.get("type") in {"image", "document"} else size


def _blocks(body: Mapping[str, Any]) -> Iterator[_Block]:
    for tool in as_array(body.get("tools")) or []:
        yield _Block(tool, _block_tokens(tool), _lifetime(tool.get("cache_control")))
    wanted = as_object((as_object(body.get("output_config")) or {}).get("format"))
    if wanted is not None:
        yield _Block(wanted, count_tokens(msgspec.json.encode(wanted["schema"]).decode()), None)
    yield from _content(body.get("system") or "", "system", 0)
    for message in body["messages"]:
        yield from _content(message["content"], message["role"], _MESSAGE_TOKENS)


def _content(content: str | list[Mapping[str, Any]], role: str, extra: int) -> Iterator[_Block]:
    if isinstance(content, str):
        if content or extra:
            yield _Block((role, content), extra + count_tokens(content), None)
        return
    for position, block in enumerate(content):
        bare = {key: value for key, value in block.items() if key != "cache_control"}
        tokens = _block_tokens(bare) + (extra if position == 0 else 0)
        yield _Block((role, bare), tokens, _lifetime(block.get("cache_control")))


def count_input(body: Mapping[str, Any]) -> int:
    """All input tokens of a request, cached or not: what ``count_tokens`` answers."""
    return _REQUEST_TOKENS + sum(block.tokens for block in _blocks(body))


@dataclass(frozen=True, slots=True)
class Weighed:
    """The input of one request.

    Attributes:
        usage: What of it is read from the cache, written to it, and neither.
        touched: The prefixes that it reads and writes, and until when each is then kept.
    """

    usage: Usage
    touched: Mapping[tuple[str, bytes], tuple[float, str]]


class PromptCache:
    """Prefixes of earlier requests, per model, each for five minutes or an hour after its last use."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expiry: dict[tuple[str, bytes], tuple[float, str]] = {}

    def clear(self) -> None:
        """Forget every prefix."""
        self._expiry.clear()

    def charge(self, body: Mapping[str, Any], model: ModelFacts) -> Usage:
        """Read and write the cache for one request, and count its input."""
        weighed = self.weigh(body, model)
        self.keep(weighed)
        return weighed.usage

    def keep(self, weighed: Weighed) -> None:
        """Read and write the cache for a request that was weighed."""
        self._expiry.update(weighed.touched)

    def weigh(self, body: Mapping[str, Any], model: ModelFacts) -> Weighed:
        """Count the input of one request, and leave the cache as it is."""
        blocks = list(_blocks(body))
        total = _REQUEST_TOKENS + sum(block.tokens for block in blocks)
        marks = {index: block.lifetime for index, block in enumerate(blocks) if block.lifetime}
        if blocks and (automatic := _lifetime(body.get("cache_control"))):
            marks[len(blocks) - 1] = automatic
        if not marks:
            return Weighed(Usage(input_tokens=total), {})
        prefixes = self._prefixes(blocks[: max(marks) + 1], model)
        read, touched = self._read(prefixes, marks)
        written = {"5m": 0, "1h": 0}
        covered = read
        for index in sorted(marks):
            lifetime = marks[index]
            key, tokens = prefixes[index]
            if tokens < model.cache_minimum:
                continue
            if tokens > covered:
                written[lifetime] += tokens - covered
                covered = tokens
            touched[key] = (self._clock() + _LIFETIME[lifetime], lifetime)
        usage = Usage(
            input_tokens=total - covered,
            cache_read_input_tokens=read,
            cache_creation_input_tokens=sum(written.values()),
            cache_creation_1h_input_tokens=written["1h"],
        )
        return Weighed(usage, touched)

    def _prefixes(self, blocks: list[_Block], model: ModelFacts) -> list[tuple[tuple[str, bytes], int]]:
        """For each block: what names the prefix that ends with it, and that prefix's tokens."""
        digest, tokens = hashlib.sha256(), 0
        found: list[tuple[tuple[str, bytes], int]] = []
        for block in blocks:
            digest.update(msgspec.json.encode(block.content))
            tokens += block.tokens
            found.append(((model.id, digest.digest()), tokens))
        return found

    def _read(
        self, prefixes: list[tuple[tuple[str, bytes], int]], marks: Mapping[int, str]
    ) -> tuple[int, dict[tuple[str, bytes], tuple[float, str]]]:
        """The longest known prefix that ends at a mark or up to 20 blocks before one: its tokens, and what names it."""
        now = self._clock()
        seen = {index for mark in marks for index in range(max(0, mark - _LOOK_BACK), mark + 1)}
        for index in sorted(seen, reverse=True):
            key, tokens = prefixes[index]
            expiry, lifetime = self._expiry.get(key, (0.0, "5m"))
            if expiry > now:
                return tokens, {key: (now + _LIFETIME[lifetime], lifetime)}
        return 0, {}
