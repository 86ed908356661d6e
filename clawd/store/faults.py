"""Fault points: named places where a test can kill, fail or delay the process.

`CLAWD_FAULT=name:nth:kill|raise|sleep[=seconds]`, several separated by commas, arms them: the nth time
(from 1) that a thread of this process comes by, the action happens once. Unset, a point costs a look at
an empty dict. Every name is listed in `POINTS`, so a test can go through all of them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "CLAWD_FAULT"
DEFAULT_SLEEP_S: Final = 30.0

COMMIT_KINDS: Final = frozenset(
    {
        "accept",
        "claim",
        "llm.intent",
        "llm.result",
        "tool.intent",
        "tool.result",
        "turn.waiting",
        "turn.offline",
        "turn.woken",
        "turn.resumed",
        "turn.merged",
        "turn.finished",
        "summary.intent",
        "summary.result",
        "session.undone",
        "snapshot",
        "search",
        "release",
        "preview",
        "outbox.take",
        "outbox.mark",
        "recover",
        "migration",
        "breaker",
        "retention",
        "delete",
        "vacuum",
        "artifact",
        "artifact.forget",
        "alert",
    }
)
"""Labels of commits; each has a point before its COMMIT and one after it, before any waiter is told."""

RESTORE_STEPS: Final = ("copy", "adapt", "plan", "aside", "aside_log", "swap", "mark")
"""What `clawd restore` has done, in this order, when it comes by `restore.after:STEP`."""

NAMING: Final = frozenset({"artifact.before:rename", "artifact.after:rename"})
"""Around the instant in which a file's content gets its final name."""

POINTS: Final = (
    frozenset(f"journal.{moment}_commit:{kind}" for kind in COMMIT_KINDS for moment in ("before", "after"))
    | frozenset(f"restore.after:{step}" for step in RESTORE_STEPS)
    | NAMING
)


class InjectedFault(RuntimeError):
    """The action `raise` of a fault point."""


@dataclass(slots=True)
class _Armed:
    nth: int
    action: Literal["kill", "raise", "sleep"]
    seconds: float
    seen: int = 0


_armed: dict[str, list[_Armed]] = {}
_counting = threading.Lock()


def fault(name: str) -> None:
    """Do what `CLAWD_FAULT` asks for at this point; nothing when it is unset."""
    if not _armed:
        return
    if name not in POINTS:
        raise LookupError(f"the fault point {name!r} is not listed in POINTS")
    for armed in _armed.get(name, ()):
        with _counting:
            armed.seen += 1
            due = armed.seen == armed.nth
        if due:
            _act(name, armed)


def arm(environ: Mapping[str, str]) -> None:
    """Arm the points that `environ` names, and disarm all others. Called once at import.

    Raises:
        ValueError: not of the form name:nth:action, or no such point.
    """
    _armed.clear()
    for entry in filter(None, (part.strip() for part in environ.get(VARIABLE, "").split(","))):
        name, nth, action = _parse(entry)
        verb, _, seconds = action.partition("=")
        if name not in POINTS or verb not in ("kill", "raise", "sleep") or nth < 1:
            raise ValueError(f"{VARIABLE}: {entry!r} names no fault point and action")
        armed = _Armed(nth=nth, action=verb, seconds=float(seconds or DEFAULT_SLEEP_S))  # type: ignore[arg-type] # a verb is one of the three
        _armed.setdefault(name, []).append(armed)


def armed() -> bool:
    """Whether any point would do anything."""
    return bool(_armed)


def _parse(entry: str) -> tuple[str, int, str]:
    # From the right: names contain colons.
    try:
        name, nth, action = entry.rsplit(":", 2)
        return name, int(nth), action
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {entry!r} is not name:nth:kill|raise|sleep[=seconds]") from error


def _act(name: str, armed: _Armed) -> None:
    match armed.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise InjectedFault(name)
        case "sleep":
            time.sleep(armed.seconds)


arm(os.environ)
