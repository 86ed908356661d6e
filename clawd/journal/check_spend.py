"""What must hold of the sums that are kept of what models cost; read and checked on a connection of its own."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from clawd.journal.check import Finding
from clawd.journal.spend import date_of, day_of, micros
from clawd.journal.sqlite_spend import SUMS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

_STRANGE: Final = (
    "SELECT day, model FROM spend WHERE failed > calls OR unpriced > calls OR "  # noqa: S608 - constants
    + " OR ".join(f"typeof({name}) <> 'integer' OR {name} < 0" for name in SUMS)
    + " GROUP BY day, model LIMIT ?"
)
_WHOSE: Final = (
    "SELECT day, model FROM spend WHERE (conv = 0) <> (sender = '')"
    " OR (conv > 0 AND conv NOT IN (SELECT id FROM conv)) GROUP BY day, model LIMIT ?"
)
_OPEN: Final = (
    "SELECT DISTINCT coalesce(c.moved_to, c.address) FROM spend_open s JOIN conv c ON c.id = s.conv"
    " WHERE c.owner IS NULL LIMIT ?"
)
_PAID: Final = (
    "SELECT ts, iif(kind = 'turn.finished', json_extract(body, '$.attempts'),"
    " json_extract(body, '$.response.attempts')) FROM journal WHERE id > ? AND id <= ?"
    " AND kind IN ('llm.result', 'summary.result', 'turn.finished') AND json_valid(body)"
)
_COUNTED: Final = "SELECT coalesce(sum(cost), 0) FROM spend WHERE day = ? AND model = ?"


def check_spend(db: sqlite3.Connection, spans: Iterable[tuple[int, int]], most: int) -> Iterator[Finding]:
    """Yield what is wrong with the sums.

    Args:
        db: The journal's database.
        spans: Ranges of journal ids (after, up to) that together hold all records.
        most: How many findings of a kind are told.
    """
    for day, model in db.execute(_STRANGE, (most,)):
        yield _finding("spend.sum", day, model, "a sum is negative, or less than what is part of it")
    for day, model in db.execute(_WHOSE, (most,)):
        text = "a sum belongs to a conversation that is not there, or names a person without one"
        yield _finding("spend.whose", day, model, text)
    for (address,) in db.execute(_OPEN, (most,)):
        yield Finding(
            id="spend.open",
            severity="error",
            where=address,
            what="a request to a model counts as under way, and no turn is in work",
            remedy="clawd stop, clawd start counts it as possible spend",
        )
    # Records first: what is committed meanwhile is in the sums then, and not the other way round.
    for (day, model), paid in sorted(_paid(db, spans).items()):
        (counted,) = db.execute(_COUNTED, (day, model)).fetchone()
        if counted < paid:
            text = f"answers that are there cost ${paid / 1e6:.6f}, and ${counted / 1e6:.6f} are counted"
            yield _finding("spend.missing", day, model, text)


def _paid(db: sqlite3.Connection, spans: Iterable[tuple[int, int]]) -> Counter[tuple[int, str]]:
    """Return what the journal's records say that was paid, by day and model."""
    paid: Counter[tuple[int, str]] = Counter()
    for span in spans:
        for ts, attempts in db.execute(_PAID, span):
            for attempt in _attempts(attempts):
                match attempt:
                    case {"model": str(model), "cost_usd": int() | float() as usd}:
                        paid[day_of(ts), model] += micros(usd)
                    case _:
                        pass
    return paid


def _attempts(text: str | None) -> list[Any]:
    """Return the attempts of a record; none where they are of another form, which is told elsewhere."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _finding(id_: str, day: int, model: str, what: str) -> Finding:
    return Finding(
        id=id_,
        # Sums that are lost change no answer: that is worth a word, and nobody has to stop for it.
        severity="warning" if id_ == "spend.missing" else "error",
        where=f"{_date(day)} {model}",
        what=what,
        remedy="budgets and clawd usage tell too little; report it",
    )


def _date(day: int) -> str:
    try:
        return date_of(day).isoformat()
    except (ValueError, OverflowError, TypeError):
        return f"day {day}"
