"""`clawd usage`."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clawd.cli import budgets
from clawd.cli.folding import put, screen
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import GAP, columns, counted, emit, one_line, out, paint, table, width_of
from clawd.money import money

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

app = command_app()

BAR: Final = 24  # columns, at most
_NAME: Final = 48  # columns of a name at most
_LEAST_NAME: Final = 16
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_HEADS: Final = ("CALLS", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST", "POSSIBLE", "UNPRICED")


class By(StrEnum):
    """By what use is summed up."""

    DAY = "day"
    MODEL = "model"
    USER = "user"
    CONVERSATION = "conversation"


@app.command()
def usage(
    ctx: typer.Context,
    days: Annotated[
        int, typer.Option("--days", "-d", min=1, max=366, help="How many days to look back, today included.")
    ] = 7,
    by: Annotated[By, typer.Option("--by", "-b", help="What to sum up by.")] = By.DAY,
    as_json: Json = False,
) -> None:
    """Show the tokens that models used, what they cost, and what is left of the budgets. Days are UTC."""
    answer = invocation(ctx).client().get("/usage", days=days, by=by.value)
    if as_json:
        emit(answer)
    else:
        show(answer)


def show(answer: dict[str, Any], width: int | None = None) -> None:
    """Print a report for people: a table with bars, remarks on its numbers, and the budgets.

    It fits `width` columns, by default those of the screen; in a pipe it is as wide as it likes.
    """
    width = width or screen()
    rows = list(_with_idle_days(answer)) if answer["by"] == By.DAY else answer["rows"]
    total = answer["total"]
    if not total["calls"] and not total["possible_calls"]:
        out(f"no model was asked in {_span(answer['days'])}")
    else:
        _table(answer["by"], rows, total, width)
    for line in _remarks(total):
        put(line)
    for number, line in enumerate(budgets.lines(answer["budgets"])):
        put(f"{'budgets' if number == 0 else '':9}{line}", 9)


def _table(by: str, rows: Sequence[dict[str, Any]], total: dict[str, Any], width: int | None) -> None:
    # Where nothing has a price the bars tell tokens.
    weights = [row["cost_usd"] for row in rows]
    if not any(weights):
        weights = [row["input_tokens"] + row["output_tokens"] for row in rows]
    names = [*(_name(row["name"]) for row in rows), f"all of {counted(len(rows), by)}"]
    numbers = [*map(_numbers, rows), _numbers(total)]
    kept = [n for n in range(len(_HEADS)) if width is None or any(line[n] != "-" for line in numbers)]
    heads_kept = [_HEADS[n] for n in kept]
    numbers = [[line[n] for n in kept] for line in numbers]
    widths = [max(columns(line[n]) for line in (heads_kept, *numbers)) for n in range(len(kept))]
    room = _NAME if width is None else max(_LEAST_NAME, width - sum(widths) - len(GAP) * len(widths))
    lines = [[one_line(name, room), *line] for name, line in zip(names, numbers, strict=True)]
    aligned = [
        [line[0], *(cell.rjust(wide) for cell, wide in zip(line[1:], widths, strict=True))] for line in lines
    ]
    heads = [by.upper(), *(head.rjust(wide) for head, wide in zip(heads_kept, widths, strict=True)), ""]
    longest = BAR if width is None else min(BAR, width - width_of([heads[:-1], *aligned]) - len(GAP))
    bars = [bar(weight, max(weights), longest) for weight in weights]
    table(heads, [[*line, drawn] for line, drawn in zip(aligned, [*bars, ""], strict=True)])


def _with_idle_days(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each day in order, those without use too."""
    found = {row["name"]: row for row in answer["rows"]}
    nothing = dict.fromkeys(answer["total"], 0)
    last = date.fromisoformat(answer["last_day"])
    for ago in reversed(range(answer["days"])):
        name = (last - timedelta(days=ago)).isoformat()
        yield found.get(name, {**nothing, "name": name})


def _numbers(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['calls']:,}",
        _some(row["failed"]),
        f"{row['input_tokens']:,}",
        _some(row["cached_tokens"]),
        f"{row['output_tokens']:,}",
        money(row["cost_usd"]),
        money(row["possible_usd"]) if row["possible_calls"] else "-",
        _some(row["unpriced"]),
    ]


def _some(count: int) -> str:
    return f"{count:,}" if count else "-"


def _name(name: str) -> str:
    return one_line(name, _NAME) if name else "(deleted)"


def _span(days: int) -> str:
    return "today's day of UTC" if days == 1 else f"the last {days} days of UTC"


def bar(value: float, most: float, longest: int = BAR) -> str:
    """Return a bar whose length says how much of the most this is; what is not nothing shows."""
    if not value > 0 or longest < 1:
        return ""
    eighths = max(1, round(value / most * longest * 8))
    if not _draws_blocks():
        return "#" * max(1, eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _draws_blocks() -> bool:
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _remarks(total: dict[str, Any]) -> Iterator[str]:
    if total["possible_calls"]:
        calls = counted(total["possible_calls"], "request")
        yield paint(
            f"possible: {calls} broke off or came too late, and may have cost {money(total['possible_usd'])}"
            " beside the cost",
            "dim",
        )
    if total["unpriced"]:
        calls = counted(total["unpriced"], "call")
        yield paint(
            f"unpriced: {calls} without a known price cost what no sum holds; set `price` of the model", "dim"
        )
