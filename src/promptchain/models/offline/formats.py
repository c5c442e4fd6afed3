"""Values for ``format`` in a JSON schema, and for fields whose name says as much."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FIELD_FORMATS", "formatted"]

# The names of documentation: reserved, so that no value here belongs to anybody.
_START = datetime(2026, 1, 15, 9, tzinfo=UTC)

_FORMATS: Mapping[str, Callable[[int], str]] = {
    "date": lambda n: (_START + timedelta(days=n)).date().isoformat(),
    "date-time": lambda n: (_START + timedelta(days=n)).isoformat().replace("+00:00", "Z"),
    "time": lambda n: f"{(_START + timedelta(minutes=n)).time().isoformat()}Z",
    "duration": lambda n: f"PT{15 + n}M",
    "email": lambda n: f"reader{n or ''}@example.com",
    "idn-email": lambda n: f"reader{n or ''}@example.com",
    "name-email": lambda n: f"Reader <reader{n or ''}@example.com>",
    "hostname": lambda n: f"host{n}.example.com" if n else "example.com",
    "idn-hostname": lambda n: f"host{n}.example.com" if n else "example.com",
    "uri": lambda n: f"https://example.com/{n or ''}",
    "iri": lambda n: f"https://example.com/{n or ''}",
    "multi-host-uri": lambda n: f"postgresql://example.com/data{n or ''}",
    "uri-reference": lambda n: f"/page/{n}",
    "ipv4": lambda n: f"192.0.2.{1 + n % 254}",
    "ipv6": lambda n: f"2001:db8::{1 + n:x}",
    "ipvanyaddress": lambda n: f"192.0.2.{1 + n % 254}",
    "ipv4interface": lambda n: f"192.0.2.{1 + n % 254}/24",
    "ipv6interface": lambda n: f"2001:db8::{1 + n:x}/64",
    "ipvanyinterface": lambda n: f"192.0.2.{1 + n % 254}/24",
    "ipv4network": lambda n: f"198.18.{n % 256}.0/24",
    "ipv6network": lambda n: f"2001:db8:{n:x}::/48",
    "ipvanynetwork": lambda n: f"198.18.{n % 256}.0/24",
    "path": lambda n: f"notes{n or ''}.txt",
    "directory-path": lambda _: ".",
    "json-string": str,
    "base64url": lambda n: base64.urlsafe_b64encode(b"text %d" % n).decode(),
    "base64": lambda n: base64.b64encode(b"text %d" % n).decode(),
    "color": lambda n: f"#{n % 0xFFFFFF:06x}",
    "regex": lambda n: "[a-z]+" + "x" * n,
    "json-pointer": lambda n: f"/{n}",
}

FIELD_FORMATS: Mapping[str, str] = {
    "email": "email", "mail": "email", "url": "uri", "uri": "uri", "link": "uri", "website": "uri",
    "homepage": "uri", "hostname": "hostname", "domain": "hostname", "date": "date", "day": "date",
    "birthday": "date", "deadline": "date", "timestamp": "date-time", "datetime": "date-time", "uuid": "uuid",
}  # fmt: skip
"""Which format a text has by the last word of its field's name."""


def formatted(name: str, number: int, about: str) -> str | None:
    """The ``number``-th value of a format, or ``None`` where the format is not known.

    Args:
        name: The format, as JSON Schema and pydantic call it.
        number: 0 for the first; another number gives another value.
        about: What ids are derived from, so that another text has other ids.
    """
    if version := re.fullmatch(r"uuid([1-8])?", name):
        digits = hashlib.sha256(f"{number}\n{about}".encode(errors="replace")).hexdigest()
        return (
            f"{digits[:8]}-{digits[8:12]}-{version[1] or 4}{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"
        )
    make = _FORMATS.get(name)
    return make(number) if make else None
