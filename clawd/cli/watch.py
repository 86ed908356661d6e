"""`clawd status --watch`: a live screen at a terminal, blocks of text in a pipe, JSON lines for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

from clawd.cli import status_view, watch_view
from clawd.cli.printing import SCHEMA_VERSION, one_line, out, paint
from clawd.cli.seen import Seen
from clawd.client import Disconnected, NoAnswer
from clawd.errors import DaemonNotRunning

if TYPE_CHECKING:
    from clawd.client import Client

WATCH_S: Final = 1.0
_PATIENCE_S: Final = 3.0
"""How long an answer may take, before the screen says that there is none."""

_AWAY: Final = (DaemonNotRunning, Disconnected, NoAnswer)
"""What passes when the daemon comes back."""


def watch(client: Client, *, as_json: bool) -> None:
    """Show the status again every second until interrupted.

    Raises:
        ControlError: it will not be told, however long one waits; as JSON also that no daemon runs.
    """
    if as_json:
        _lines(client)
    elif sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        _live(client)
    else:
        _blocks(client)


def _live(client: Client) -> None:
    from clawd.cli.fullscreen import FullScreen

    seen = Seen()
    _look(client, seen)  # what will never be told is told on the screen that stays
    with FullScreen() as screen:
        due = time.monotonic() + WATCH_S
        while True:
            columns, rows = screen.size
            screen.draw(watch_view.frame(seen, columns, rows, _now(), plain=_knows_ascii_alone()))
            woken = screen.wait(max(due - time.monotonic(), 0))
            if woken == "quit":
                return
            if woken == "time":
                _look(client, seen)
                due = time.monotonic() + WATCH_S


def _look(client: Client, seen: Seen) -> None:
    """Ask for the status; that nobody answers is seen as well."""
    try:
        status = client.get("/status", timeout_s=_PATIENCE_S)
    except _AWAY as error:
        seen.error = error
    else:
        seen.answered(status, time.monotonic(), _now())


def _blocks(client: Client) -> None:
    while True:
        try:
            status = client.get("/status")
        except DaemonNotRunning as error:
            out()
            out(paint(f"{error.what}: {one_line(error.socket, 200)}", "yellow"))
        else:
            out()
            status_view.show(status)
        sys.stdout.flush()
        time.sleep(WATCH_S)


def _lines(client: Client) -> None:
    while True:
        status = client.get("/status")
        out(json.dumps({"schema_version": SCHEMA_VERSION, **status}, ensure_ascii=False))
        sys.stdout.flush()
        time.sleep(WATCH_S)


def _now() -> datetime:
    return datetime.now().astimezone()


def _knows_ascii_alone() -> bool:
    return "utf" not in (sys.stdout.encoding or "").lower()
