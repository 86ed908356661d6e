"""Pieces of text that arrived while something was drawn become one piece: drawing costs, adding does not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.cli.chat.events import Received

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clawd.cli.chat.events import Frame, Signal


def coalesced(signals: Iterable[Signal]) -> list[Signal]:
    """Return the signals, deltas that continue each other joined; nothing else changes place."""
    out: list[Signal] = []
    for news in signals:
        last = out[-1] if out else None
        if isinstance(last, Received) and isinstance(news, Received) and _continues(last.frame, news.frame):
            out[-1] = Received({**last.frame, "text": last.frame["text"] + news.frame["text"]})
        else:
            out.append(news)
    return out


def _continues(first: Frame, second: Frame) -> bool:
    if first.get("type") != "delta" or second.get("type") != "delta":
        return False
    if not (isinstance(first.get("text"), str) and isinstance(second.get("text"), str)):
        return False
    same = all(first.get(key) == second.get(key) for key in ("turn", "attempt"))
    return same and second.get("offset") == first.get("offset", 0) + len(first["text"])
