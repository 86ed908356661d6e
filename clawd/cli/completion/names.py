"""What can be named at the daemon: conversations, models, turns … It is asked within 200 ms, or not at all."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from clawd.errors import ClawdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from clawd.client import Client

LIMIT_S: Final = 0.2
"""How long a person waits at most for what the daemon could offer, unless $CLAWD_COMPLETION_S says otherwise."""

_MOST: Final = 100
_OPEN: Final = frozenset({"queued", "running", "waiting"})

Named = tuple[str, str]
"""A word that can be offered, and what explains it."""


class _TooLate(Exception):
    """The daemon has not answered in time."""


def names(kind: str, client: Callable[[], Client], limit_s: float = LIMIT_S) -> list[Named]:
    """Return what the daemon knows of a kind; empty when there is none, or none that answers in time.

    Args:
        kind: A key of `KINDS`; others have no names.
        client: Makes the client; what it raises means that there are no names.
        limit_s: How long the daemon may take.
    """
    ask = KINDS.get(kind)
    if ask is None:
        return []
    try:
        asked = client()
        with _within(limit_s):
            return list(ask(asked))
    except (ClawdError, _TooLate, OSError, KeyError, TypeError, ValueError):
        return []  # a daemon of another version may answer otherwise; a shell shows no errors


def limit_of(environ: Mapping[str, str]) -> float:
    """Return how long the daemon may take: $CLAWD_COMPLETION_S, in seconds, up to a minute."""
    try:
        wanted = float(environ.get("CLAWD_COMPLETION_S", LIMIT_S))
    except ValueError:
        return LIMIT_S
    return wanted if 0 < wanted <= 60 else LIMIT_S


@contextmanager
def _within(limit_s: float) -> Iterator[None]:
    """Raise _TooLate in the midst of what takes longer: a socket's own time-out begins anew with each byte."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _TooLate

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _addresses(client: Client) -> Iterator[Named]:
    for item in client.get("/conversations", limit=_MOST)["conversations"]:
        yield item["address"], f"{item['turns']} turns"


def _conversations(client: Client) -> Iterator[Named]:
    """The terminal's own go by their names, others by their addresses."""
    own = f"terminal:{os.getuid()}:"
    for address, about in _addresses(client):
        yield address.removeprefix(own), about


def _own_conversations(client: Client) -> Iterator[Named]:
    own = f"terminal:{os.getuid()}:"
    return ((name.removeprefix(own), about) for name, about in _addresses(client) if name.startswith(own))


def _turns(client: Client) -> Iterator[Named]:
    return ((turn["id"], turn["state"]) for turn in client.get("/turns", limit=_MOST)["turns"])


def _open_turns(client: Client) -> Iterator[Named]:
    return ((turn, state) for turn, state in _turns(client) if state in _OPEN)


def _listed(path: str, key: str, name: str = "name", about: str = "") -> Callable[[Client], Iterator[Named]]:
    """Return what lists one field of the items below `key` in the answer at `path`."""

    def ask(client: Client) -> Iterator[Named]:
        answer: Mapping[str, list[dict[str, Any]]] = client.get(path)
        for item in answer[key]:
            yield str(item[name]), str(item.get(about) or "") if about else ""

    return ask


KINDS: Final[Mapping[str, Callable[[Client], Iterator[Named]]]] = {
    "address": _addresses,
    "alert_rule": _listed("/alerts", "rules", "rule", "severity"),
    "approval": _listed("/questions", "questions", "id", "tool"),
    "bridge": _listed("/bridges", "bridges", about="state"),
    "conversation": _conversations,
    "dead": _listed("/dead", "dead", "id", "state"),
    "model": _listed("/models", "models", about="type"),
    "open_turn": _open_turns,
    "own_conversation": _own_conversations,
    "pairing": _listed("/pairings", "pending", "code", "bridge"),
    "principal": _listed("/pairings", "principals", "principal", "right"),
    "silence": _listed("/alerts", "silences", "id"),
    "token": _listed("/tokens", "tokens", about="source"),
    "turn": _turns,
}
"""How each kind is asked for."""
