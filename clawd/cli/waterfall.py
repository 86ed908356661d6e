"""Spans of a trace drawn over the time of their turn: one line each, with a bar. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from clawd.cli.printing import columns, duration, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Paint = Callable[[str, str], str]

_WAITS: Final = frozenset({"queue", "question"})
_WORDS: Final = {"queue": "", "model": "model ", "tool": "tool ", "question": "ask ", "delivery": ""}
_COLOURS: Final = {"queue": "dim", "model": "green", "tool": "cyan", "question": "yellow", "delivery": "bold"}
_NUMBERS: Final = 20  # columns of offset and length, with the gaps behind them
_LEAST_BAR: Final = 12
_LABEL: Final = (12, 30)  # columns, at least and at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What bars are made of."""

    first: str  # of a model: up to its first token
    model: str
    tool: str
    wait: str
    gap: str
    question: str
    delivery: str
    open: str  # the last cell of what is not over
    squeezed: str  # a long wait that was made short


PLAIN: Final = Signs(
    first="-",
    model="=",
    tool="#",
    wait=".",
    gap="x",
    question="?",
    delivery="=",
    open=">",
    squeezed="~",
)
BLOCKS: Final = Signs(
    first="░",
    model="█",
    tool="▓",
    wait="─",
    gap="╳",
    question="╌",
    delivery="▬",
    open="▸",
    squeezed="≈",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A span, as the daemon tells it."""

    kind: str
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, Any]
    error: str
    open: bool
    clock_set: bool
    depth: int

    @property
    def length_s(self) -> float:
        """How long it took."""
        return (self.end - self.start).total_seconds()


def bars_of(spans: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Return the spans of a trace in their order."""
    depths: list[int] = []
    found = []
    for span in spans:
        depths.append(0 if span["parent"] is None else depths[span["parent"]] + 1)
        found.append(
            Bar(
                kind=span["kind"],
                name=span["name"],
                start=datetime.fromisoformat(span["start"]),
                end=datetime.fromisoformat(span["end"]),
                attributes=dict(span["attributes"]),
                error=span["error"],
                open=span["open"],
                clock_set=span["clock_set"],
                depth=depths[-1],
            )
        )
    return found


def drawn(bars: Sequence[Bar], width: int, signs: Signs, paint: Paint) -> list[str]:
    """Return the lines of a waterfall; below a span that failed stands why.

    Args:
        bars: The root first.
        width: Columns of a line.
        signs: `BLOCKS`, or `PLAIN` where a terminal shows ASCII alone.
        paint: Colours a text.
    """
    shown = [bar for bar in bars if bar.kind != "turn"]
    if not shown:
        return []
    origin = bars[0].start
    labels = [_label(bar) for bar in shown]
    label = min(max(_LABEL[0], *map(columns, labels)), _LABEL[1], max(_LABEL[0], width // 3))
    room = max(_LEAST_BAR, width - _NUMBERS - label - 1)
    scale = _Scale(bars[0], shown, room)
    lines = []
    for bar, text in zip(shown, labels, strict=True):
        offset = f"+{length((bar.start - origin).total_seconds())}"
        indent = "  " * max(0, bar.depth - 1)
        text = indent + one_line(text, label - len(indent))
        text += " " * (label - columns(text))
        failed = bool(bar.error)
        colour = "red" if failed or bar.name == "gap" else _COLOURS.get(bar.kind, "")
        head = f"{paint(f'{offset:>9}', 'dim')} {length(bar.length_s):>9} "
        painted = paint(text, "red") if failed else text
        body = _cells(bar, scale, signs)
        lines.append(f"{head}{painted} {' ' * body[0]}{paint(body[1], colour) if colour else body[1]}")
        if failed:
            lines.append(f"{' ' * _NUMBERS}{paint(one_line(bar.error, max(20, width - _NUMBERS)), 'red')}")
    return [line.replace("…", ".") for line in lines] if signs is PLAIN else lines


def length(seconds: float) -> str:
    """Return a length of time in at most nine columns."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 100:
        return f"{seconds:.2f} s"
    return duration(seconds).replace(" min", "min").replace(" h", "h").replace(" d", "d").replace(" s", "s")


class _Scale:
    """Where a moment lies on the line of cells: waits that would leave no room for the work are squeezed."""

    def __init__(self, root: Bar, bars: Sequence[Bar], cells: int) -> None:
        self.cells = cells
        self._start = root.start
        moments = {root.start, root.end, *(m for bar in bars for m in (bar.start, bar.end))}
        self._moments = sorted(moments)
        pairs = list(zip(self._moments, self._moments[1:], strict=False))
        lengths = [(end - start).total_seconds() for start, end in pairs]
        busy = [_is_busy(bars, start, end) for start, end in pairs]
        work_s = sum(size for size, at_work in zip(lengths, busy, strict=True) if at_work)
        most_s = work_s / 4
        self._squeezed = [
            not at_work and 0 < work_s < size for size, at_work in zip(lengths, busy, strict=True)
        ]
        weights = [
            min(size, most_s) if out else size for size, out in zip(lengths, self._squeezed, strict=True)
        ]
        self._before = [0.0]
        for weight in weights:
            self._before.append(self._before[-1] + weight)

    def cell(self, moment: datetime) -> float:
        """Return where a moment lies, in cells from the left."""
        total = self._before[-1]
        if not total:
            return 0.0
        n = min(max(bisect_right(self._moments, moment) - 1, 0), len(self._moments) - 2)
        begin, end = self._moments[n], self._moments[n + 1]
        whole = (end - begin).total_seconds()
        part = (moment - begin).total_seconds() / whole if whole else 0.0
        weight = self._before[n + 1] - self._before[n]
        return (self._before[n] + part * weight) / total * self.cells

    def squeezes(self, bar: Bar) -> bool:
        """Whether a part of the bar was made short."""
        return any(
            out and bar.start <= begin and end <= bar.end
            for out, begin, end in zip(self._squeezed, self._moments, self._moments[1:], strict=False)
        )


def _is_busy(bars: Sequence[Bar], start: datetime, end: datetime) -> bool:
    """Whether anything but waiting went on; a delivery works in its attempts."""
    return any(
        bar.start < end and start < bar.end and bar.kind not in _WAITS and not _is_whole(bar) for bar in bars
    )


def _is_whole(bar: Bar) -> bool:
    """Whether it is a delivery with all of its waits, and not an attempt at it."""
    return bar.kind == "delivery" and "part" in bar.attributes


def _cells(bar: Bar, scale: _Scale, signs: Signs) -> tuple[int, str]:
    """Return how many empty cells stand in front of a bar, and the bar."""
    begin = min(int(scale.cell(bar.start)), scale.cells - 1)
    end = max(begin + 1, round(scale.cell(bar.end)))
    count = end - begin
    match bar.kind:
        case "model":
            first_s = bar.attributes.get("first_token_s")
            silent = count
            if first_s is not None:
                at = bar.start + timedelta(seconds=min(first_s, bar.length_s))
                silent = min(count - 1, max(0, round(scale.cell(at)) - begin))
            elif bar.attributes.get("outcome") == "ok":
                silent = 0
            text = signs.first * silent + signs.model * (count - silent)
        case "tool":
            text = signs.tool * count
        case "question":
            text = signs.question * count
        case "queue":
            text = (signs.gap if bar.name == "gap" else signs.wait) * count
        case _:
            text = (signs.wait if _is_whole(bar) else signs.delivery) * count
    if scale.squeezes(bar) and count > 2:
        middle = count // 2
        text = text[:middle] + signs.squeezed + text[middle + 1 :]
    return begin, text[:-1] + signs.open if bar.open else text


def _label(bar: Bar) -> str:
    attributes = bar.attributes
    words = f"{_WORDS.get(bar.kind, '')}{bar.name}"
    match bar.kind:
        case "queue" if "turn" in attributes:
            return f"joined {attributes['turn']}"
        case "queue" if bar.name == "gap":
            return f"gap before claim {attributes['claim']}" if "claim" in attributes else "gap"
        case "model" if attributes.get("purpose") == "summary":
            words += " (summary)"
        case "model" if attributes.get("outcome") in ("hedge", "cut", "cancelled"):
            words += f" ({attributes['outcome']})"
        case "question" if "answer" in attributes:
            words += f" ({attributes['answer']})"
        case _:
            pass
    return words
