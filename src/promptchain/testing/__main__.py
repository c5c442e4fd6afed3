"""``python -m promptchain.testing``: the simulated Messages API as a process of its own."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import TYPE_CHECKING

from promptchain.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM.

    Returns:
        The exit code: 0 when it was stopped, 1 when it could not start; wrong use exits with 2.
    """
    try:
        from promptchain.testing.api import MessagesAPI  # noqa: PLC0415 - it may lack its extra
        from promptchain.testing.script import Pace  # noqa: PLC0415
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(prog="python -m promptchain.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--first", type=float, default=0.0, metavar="S", help="seconds before the first delta"
    )
    parser.add_argument("--between", type=float, default=0.0, metavar="S", help="seconds between deltas")
    parser.add_argument("--tokens-per-delta", type=int, default=1, metavar="N", help="tokens of a delta")
    parser.add_argument(
        "--events-per-write", type=int, default=64, metavar="N", help="events of one TCP write"
    )
    parser.add_argument("--key", action="append", metavar="KEY", help="accept this API key only; repeatable")
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="know this model too; repeatable"
    )
    options = parser.parse_args(arguments)
    try:
        pace = Pace(
            first=options.first,
            between=options.between,
            tokens_per_delta=options.tokens_per_delta,
            events_per_write=options.events_per_write,
        )
        api = MessagesAPI(port=options.port, keys=options.key, pace=pace, models=options.model)
    except ValueError as error:
        parser.error(str(error))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        with api:
            key = options.key[0] if options.key else "simulated"
            print(f"The simulated Messages API answers at {api.url} until it is interrupted.")
            print(f"export ANTHROPIC_BASE_URL={api.url}")
            print(f"export ANTHROPIC_API_KEY={key}", flush=True)
            stop.wait()
    except (OSError, OverflowError) as error:
        print(f"port {options.port} cannot be used: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
