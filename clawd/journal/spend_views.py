"""What was used, as people and budgets ask for it. Reads only, from the read connection, never the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.journal.spend import MOST_DAYS, Spent, UsageRow, UsedToday, date_of, day_of, dollars, month_of
from clawd.journal.sqlite_spend import SUMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.journal.spend import UsageBy
    from clawd.journal.sqlite_context import Context
    from clawd.messages import Address
    from clawd.store.sqlite import Store

_SUMS: Final = ", ".join(f"coalesce(sum(s.{name}), 0)" for name in SUMS)
_PARTS: Final = ", ".join(f"sum(s.{name}) AS {name}" for name in SUMS)
_ADDRESS: Final = "coalesce((SELECT coalesce(moved_to, address) FROM conv WHERE id = s.conv), '')"
# Grouped by the row first: a name is looked up once for each conversation, not for each of its days. Then by
# the name: a chat that moved, and what was said at its new address before that was known, are one.
_KEYS: Final[Mapping[UsageBy, str]] = {
    "day": "s.day",
    "model": "s.model",
    "user": "s.sender",
    "conversation": "s.conv",
}
_NAMES: Final[Mapping[UsageBy, str]] = {**_KEYS, "conversation": _ADDRESS}
_DEAREST: Final = "sum(s.cost) + sum(s.possible) DESC, sum(s.input_tokens) + sum(s.output_tokens) DESC, 1"


class SqliteSpending:
    """Implements `journal.spend.Spending`."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store = store
        self._context = context

    async def usage(self, *, days: int, by: UsageBy) -> Sequence[UsageRow]:
        first = self._today() - max(1, min(days, MOST_DAYS)) + 1
        order = "s.name" if by == "day" else _DEAREST
        rows = await self._store.read(
            f"SELECT s.name, {_SUMS} FROM (SELECT {_NAMES[by]} AS name, {_PARTS} FROM spend s"  # noqa: S608 - constants
            f" WHERE s.day >= ? GROUP BY {_KEYS[by]}) s GROUP BY s.name ORDER BY {order}",
            (first,),
        )
        if by == "day":
            return [_row(date_of(day).isoformat(), sums) for day, *sums in rows]
        return [_row(name, sums) for name, *sums in rows]

    async def today(self, *, user: str | None = None, address: Address | None = None) -> UsageRow:
        where = "s.day = ?"
        parameters: list[int | str] = [self._today()]
        if user is not None:
            where += " AND s.sender = ?"
            parameters.append(user)
        if address is not None:
            where += " AND s.conv IN (SELECT id FROM conv WHERE address = ? OR moved_to = ?)"
            parameters += [str(address), str(address)]
        ((*sums,),) = await self._store.read(f"SELECT {_SUMS} FROM spend s WHERE {where}", parameters)  # noqa: S608 - constants
        return _row("", sums)

    async def spent(self) -> Spent:
        today = self._today()
        ((month,),) = await self._store.read(
            "SELECT coalesce(sum(cost + possible), 0) FROM spend WHERE day BETWEEN ? AND ?",
            (month_of(today), today),
        )
        rows = await self._store.read(
            f"SELECT s.model, {_ADDRESS}, s.sender, s.cost + s.possible FROM spend s WHERE s.day = ?",  # noqa: S608 - constants
            (today,),
        )
        return Spent(
            day=date_of(today),
            month_usd=dollars(month),
            rows=[
                UsedToday(model=model, conversation=address, user=user, usd=dollars(amount))
                for model, address, user, amount in rows
            ],
        )

    def _today(self) -> int:
        return day_of(self._context.now_ms())


def _row(name: str, sums: Sequence[int]) -> UsageRow:
    found = dict(zip(SUMS, sums, strict=True))
    return UsageRow(
        name=name,
        calls=found["calls"],
        failed=found["failed"],
        input_tokens=found["input_tokens"],
        output_tokens=found["output_tokens"],
        cached_tokens=found["cached_tokens"],
        cache_write_tokens=found["cache_write_tokens"],
        cost_usd=dollars(found["cost"]),
        unpriced=found["unpriced"],
        possible_calls=found["possible_calls"],
        possible_usd=dollars(found["possible"]),
    )
