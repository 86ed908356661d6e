"""`clawd usage`."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from clawd.cli import budgets
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import columns, counted, emit, one_line, out, paint, table
from clawd.money import money

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

app = command_app()

BAR: Final = 24  # columns
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


def show(answer: dict[str, Any]) -> None:
    """Print a report for people: a table with bars, remarks on its numbers, and the budgets."""
    rows = list(_with_idle_days(answer)) if answer["by"] == By.DAY else answer["rows"]
    total = answer["total"]
    if not total["calls"] and not total["possible_calls"]:
        out(f"no model was asked in {_span(answer['days'])}")
    else:
        _table(answer["by"], rows, total)
    for line in _remarks(total):
        out(line)
    for number, line in enumerate(budgets.lines(answer["budgets"])):
        out(f"{'budgets' if number == 0 else '':9}{line}")


def _table(by: str, rows: Sequence[dict[str, Any]], total: dict[str, Any]) -> None:
    # Where nothing has a price the bars tell tokens.
    weights = [row["cost_usd"] for row in rows]
    if not any(weights):
        weights = [row["input_tokens"] + row["output_tokens"] for row in rows]
    lines = [[_name(row["name"]), *_numbers(row)] for row in rows]
    lines.append([f"all of {counted(len(rows), by)}", *_numbers(total)])
    widths = [max(columns(line[n]) for line in (("", *_HEADS), *lines)) for n in range(1, len(_HEADS) + 1)]
    aligned = [
        [line[0], *(cell.rjust(width) for cell, width in zip(line[1:], widths, strict=True))]
        for line in lines
    ]
    heads = [by.upper(), *(head.rjust(width) for head, width in zip(_HEADS, widths, strict=True)), ""]
    bars = [bar(weight, max(weights)) for weight in weights]
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
    return one_line(name, 48) if name else "(deleted)"


def _span(days: int) -> str:
    return "today's day of UTC" if days == 1 else f"the last {days} days of UTC"


def bar(value: float, most: float) -> str:
    """Return a bar whose length says how much of the most this is; what is not nothing shows."""
    if not value > 0:
        return ""
    eighths = max(1, round(value / most * BAR * 8))
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
