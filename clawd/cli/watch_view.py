"""The picture that `clawd status --watch` shows: lines for a screen of any size. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from clawd.cli import alert_words, budgets, status_view, traffic
from clawd.cli.folding import fold
from clawd.cli.printing import (
    GAP,
    aligned,
    beginning,
    columns,
    counted,
    duration,
    one_line,
    paint,
    shown,
    size,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from clawd.cli.rates import Rates
    from clawd.cli.seen import Seen

_PAINT: Final = re.compile(r"\x1b\[\d*m")
_ALL: Final = 2000  # columns: cut by the screen alone
_RATES: Final = (("messages", "messages"), ("turns", "turns"), ("deliveries", "deliveries"))
_LEAST: Final = 2  # lines of a list that is cut: one of it, and a word for the others
_NAME: Final = 24  # columns of a name in a table; more on a wide screen
_INDENT: Final = 7  # columns of what a line of `_work` is about


@dataclass(slots=True)
class Section:
    """Lines that belong together, with an empty one in front where there is room.

    Lines in front of a list go on below where they are too long and there is room; those of a list never do.
    """

    lines: list[str]  # in front of a list, or all
    items: list[str] = field(default_factory=list)  # of a list, whose end may be left out
    gap: bool = True
    width: int = 0  # of the screen; 0: long lines stay as they are
    room: int = field(init=False)  # lines for the items

    def __post_init__(self) -> None:
        self.room = len(self.items)

    def shown(self) -> list[str]:
        """Return all its lines."""
        items = self.items
        if self.room < len(items):
            items = [*items[: self.room - 1], f"  … {counted(len(items) - self.room + 1, 'line')} more"]
        lines = self.lines
        if self.width > _INDENT:
            lines = [part for line in lines for part in fold(line, _INDENT, self.width).split("\n")]
        return [*([""] if self.gap else []), *lines, *items]


def frame(seen: Seen, width: int, height: int, now: datetime, *, plain: bool = False) -> list[str]:
    """Return at most `height` lines of at most `width` columns.

    Args:
        seen: What is known of the daemon.
        width: In columns.
        height: In lines.
        now: In local time.
        plain: The terminal knows ASCII alone.
    """
    lines = [_banner(seen, now)] if seen.error is not None else []
    if seen.status is not None:
        told = fit(_sections(seen.status, seen.rates, now, width, plain=plain), height - len(lines))
        # What a daemon said that no longer answers is old: nobody is to take it for the truth of now.
        lines += told if seen.error is None else [paint(_PAINT.sub("", line), "dim") for line in told]
    return [clip(line, width) for line in lines[:height]]


def clip(line: str, width: int) -> str:
    """Return a painted line cut to so many columns."""
    if columns(_PAINT.sub("", line)) <= width:
        return line
    pieces, left = [], width - 1
    for piece in re.split(r"(\x1b\[\d*m)", line):
        if _PAINT.fullmatch(piece):
            pieces.append(piece)
            continue
        seen = beginning(piece, left)
        pieces.append(seen)
        left -= columns(seen)
        if seen != piece or left <= 0:
            break
    return "".join(pieces) + ("\x1b[0m…" if "\x1b" in line else "…")


def fit(sections: Sequence[Section], height: int) -> list[str]:
    """Return the lines of all sections; gaps, what goes on below and ends of lists are left out until they have room."""
    over = sum(len(section.shown()) for section in sections) - height
    for section in reversed(sections):
        if over > 0 and section.gap:
            section.gap = False
            over -= 1
    for section in reversed(sections):
        if over > 0 and section.width:
            before = len(section.shown())
            section.width = 0
            over -= before - len(section.shown())
    while over > 0 and (longest := max(sections, key=lambda section: section.room)).room > _LEAST:
        longest.room -= 1
        over -= 1
    lines = [line for section in sections for line in section.shown()]
    return lines if len(lines) <= height else [*lines[: max(height - 1, 0)], "… a taller window shows more"]


def _banner(seen: Seen, now: datetime) -> str:
    assert seen.error is not None  # noqa: S101 - only then there is a banner
    if seen.answered_at is None:
        where = f" ({one_line(seen.error.where, _ALL)})" if seen.error.where else ""
        return paint(f"{seen.error.what}{where}, waiting for it", "yellow")
    silent = duration(max((now - seen.answered_at).total_seconds(), 0))
    return paint(f"{seen.error.what}; what follows is {silent} old", "red")


def _sections(
    status: Mapping[str, Any], rates: Rates, now: datetime, width: int, *, plain: bool
) -> list[Section]:
    sections = [Section(_head(status, rates, now), gap=False, width=width)]
    if alerts := status.get("alerts"):
        lines = [
            f"  {alert_words.painted(each, alert_words.headline(each))} for {alert_words.age(each, now)}"
            + (f"  {one_line(each['detail'], _ALL)}" if each["detail"] else "")
            + ("  silenced" if each["silenced"] else "")
            for each in sorted(alerts, key=lambda each: bool(each["silenced"]))
        ]
        sections.append(Section([alert_words.painted(alerts[0], "alerts")], lines))
    sections += _reach(status.get("untold", ()), now, nobody=bool(status.get("nobody_told")))
    name = max(_NAME, width // 4)
    return [
        *sections,
        Section(_rates(status, rates, plain=plain)),
        Section(_work(status), width=width),
        Section([paint("bridges", "bold")], _bridges(status["bridges"], name, width)),
        Section(*_models(status["models"], status["route"], name)),
    ]


def _reach(trouble: Sequence[Mapping[str, Any]], now: datetime, *, nobody: bool) -> list[Section]:
    """Return who can't be told of alerts; louder where that is everybody; nothing where nobody is missed."""
    if not trouble and not nobody:
        return []
    colour = "red" if nobody else "yellow"
    lines = alert_words.unreached(trouble, now, _ALL) or ["no target is configured (docs/alerts.md)"]
    head = "NOBODY is told of this" if nobody else "not told of alerts"
    return [Section([paint(head, colour)], [paint(f"  {line}", colour) for line in lines])]


def _head(status: Mapping[str, Any], rates: Rates, now: datetime) -> list[str]:
    lag = rates.worst_lag()
    words = [
        f"{paint('clawd ' + status['version'], 'bold')}  {status_view.state(status['state'])}",
        f"up {duration(status['uptime_s'])}",
        size(status["rss_bytes"]),
        f"loop lag {_lag(*lag)}" if lag is not None else "",
        paint(f"{now:%H:%M:%S}", "dim"),
    ]
    lines = ["  ".join(filter(None, words))]
    if pause := status.get("journal_pause"):
        lines.append(paint(f"journal  paused: {one_line(pause, _ALL)}; no message is taken", "red"))
    if refused := status["config_error"]:
        lines.append(paint(f"refused  {one_line(refused, _ALL)}", "red"))
    return lines


def _lag(bound_s: float, beyond: bool) -> str:
    text = f"{'over' if beyond else 'below'} {1000 * bound_s:.0f} ms"
    return paint(text, "red" if beyond or bound_s > 1 else "yellow" if bound_s > 0.1 else "green")


def _rates(status: Mapping[str, Any], rates: Rates, *, plain: bool) -> list[str]:
    totals = status.get("totals") or {}
    rows = []
    for key, name in _RATES:
        now = rates.per_minute(key)
        rows.append(
            [
                name,
                "-" if now is None else traffic.number(now) if now else "0",
                rates.bars(key, plain=plain),
                f"{totals.get(key, 0):,.0f}",
            ]
        )
    failed = rates.per_minute("turns_failed")
    lines = aligned([["a minute", "now", "the last five minutes", "in all"], *rows])
    if failed:
        lines.append(paint(f"  {traffic.number(failed)} turns a minute fail", "red"))
    return [paint(lines[0], "bold"), *lines[1:]]


def _work(status: Mapping[str, Any]) -> list[str]:
    lines = [f"queue  {status_view.queue(status['queue'])}", f"today  {status_view.today(status['today'])}"]
    standing = list(budgets.lines(status.get("budgets", ())))
    return [*lines, *(f"budget {line}" for line in standing)]


def _bridges(bridges: Sequence[Mapping[str, Any]], name: int, width: int) -> list[str]:
    """Return a line for each, what is wrong with one below it where it has no room beside."""
    rows = [
        [
            f"  {one_line(bridge['name'], name)}",
            status_view.state(bridge["state"]),
            f"since {when(bridge['since'])}",
        ]
        for bridge in bridges
    ]
    told = []
    for line, bridge in zip(aligned(rows), bridges, strict=True):
        error = one_line(bridge["error"], _ALL)
        if not error or shown(line) + len(GAP) + columns(error) <= width:
            told.append(f"{line}{GAP}{error}".rstrip())
        else:
            told += [line, f"    {error}"]
    return told or ["  none"]


def _models(
    models: Sequence[Mapping[str, Any]], route: Sequence[str], name: int
) -> tuple[list[str], list[str]]:
    rows = [["models", "state", "/min", "failed", "p95 s", "first s", "default"]]
    trouble = []
    for model in models:
        seen = model.get("traffic") or {}
        rows.append(
            [
                f"  {one_line(model['name'], name)}",
                traffic.state(model),
                traffic.rate(model),
                traffic.failed(model),
                *(_seconds(seen.get(key)) for key in ("total_p95_s", "first_token_p95_s")),
                f"{route.index(model['name']) + 1}." if model["name"] in route else "",
            ]
        )
        trouble.append([f"    {one_line(each, _ALL)}" for each in traffic.trouble(model)[:1]])
    head, *lines = aligned(rows)
    told = [part for line, below in zip(lines, trouble, strict=True) for part in (line, *below)]
    return [paint(head, "bold")], told


def _seconds(value: float | None) -> str:
    return traffic.NOTHING if value is None else traffic.number(value)
