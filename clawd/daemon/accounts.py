"""What was used and what is left: the journal's sums beside the budgets in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.control.protocol import BudgetStatus, UsageReport
from clawd.journal.spend import total_of
from clawd.models.base import RequestTags
from clawd.money import money
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from clawd.ids import Clock
    from clawd.journal.spend import Spending, UsageBy, UsageRow
    from clawd.messages import InboundMessage
    from clawd.models.budgets import BudgetLedger, Standing


class Accounts:
    """Answers what people ask about use and cost."""

    def __init__(self, spending: Spending, ledger: BudgetLedger, clock: Clock) -> None:
        self._spending = spending
        self._clock = clock
        self.ledger = ledger
        """What requests are held to."""

    async def open(self) -> None:
        """Let budgets begin with what the journal has counted; before any request is made."""
        spent = await self._spending.spent()
        self.ledger.take_over(spent.day, spent.month_usd, spent.rows)

    async def today(self) -> UsageRow:
        """Return what was used today by everybody."""
        return await self._spending.today()

    def budgets(self) -> Sequence[BudgetStatus]:
        """Return how the budgets of all and of single models stand."""
        return [_status(standing) for standing in self.ledger.standings()]

    async def report(self, *, days: int, by: UsageBy) -> UsageReport:
        """Return what was used on the last days, and how the budgets stand."""
        rows = await self._spending.usage(days=days, by=by)
        return UsageReport(
            days=days,
            last_day=self._clock.now().date().isoformat(),
            by=by,
            rows=rows,
            total=total_of(rows),
            today=await self._spending.today(),
            budgets=self.budgets(),
        )

    async def text(self, message: InboundMessage, language: str | None, *, whole: bool) -> str:
        """Return the answer to /usage: today's use of the sender and of the conversation.

        Args:
            message: What asks.
            language: To answer in.
            whole: Tell the use of everybody, and the budgets of all, too: for owners.
        """
        address, user = message.address, message.user
        lines = [
            say("usage_today", language),
            say("usage_yours", language, use=_use(await self._spending.today(user=user), language)),
            say("usage_here", language, use=_use(await self._spending.today(address=address), language)),
        ]
        if whole:
            lines.append(say("usage_all", language, use=_use(await self._spending.today(), language)))
        own = RequestTags(bridge=address.bridge, conversation=str(address), user=user)
        lines += _budgets(self.ledger.own_standings(own), language)
        if whole:
            lines += _budgets(self.ledger.standings(), language)
        return "\n".join(lines)


def _use(row: UsageRow, language: str | None) -> str:
    text = say(
        "usage_row",
        language,
        calls=f"{row.calls:,}",
        input=f"{row.input_tokens:,}",
        output=f"{row.output_tokens:,}",
        cost=money(row.cost_usd),
    )
    if row.possible_usd:
        text += say("usage_possible", language, cost=money(row.possible_usd))
    if row.unpriced:
        text += say("usage_unpriced", language, calls=f"{row.unpriced:,}")
    return text


def _budgets(standings: Iterable[Standing], language: str | None) -> Iterator[str]:
    for standing in standings:
        room = standing.room
        of = standing.of if room.budget == "model" else ""
        yield say(
            "usage_budget",
            language,
            budget=say(f"usage_budget_{room.budget}", language, of=of),
            spent=money(room.spent_usd),
            limit=money(room.limit_usd),
            left=money(standing.left_usd),
            until=f"{room.ends_at:%Y-%m-%d %H:%M}" if room.ends_at is not None else "–",
        )


def _status(standing: Standing) -> BudgetStatus:
    room = standing.room
    return BudgetStatus(
        budget=room.budget,
        of=standing.of,
        limit_usd=room.limit_usd,
        spent_usd=round(room.spent_usd, 6),
        left_usd=round(standing.left_usd, 6),
        warn_at=room.warn_at,
        ends_at=room.ends_at,
    )
