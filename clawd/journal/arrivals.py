"""Whether alerts arrive where they are sent, as the rows of the latest deliveries there say. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.ids import from_ms
from clawd.journal.sqlite_context import parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.messages import Address
    from clawd.store.sqlite import Row, Store

_LATEST: Final = 50  # deliveries of a conversation that are looked at: what failed before those says little
_TESTS: Final = 20  # conversations of tests, the newest

# INDEXED BY: without it SQLite may walk through everything that was ever sent.
_ROWS: Final = (
    "SELECT state, at, coalesce(ended_at, taken_at, at), attempt, why,"
    " CASE WHEN json_valid(body) THEN json_extract(body, '$.kind') END"
    " FROM outbox INDEXED BY outbox_conv WHERE conv = ? ORDER BY id DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """What is wrong with a place: alerts for it failed, and nothing arrived there since."""

    since: datetime  # when the first of them was to be told
    why: str  # of the latest
    attempts: int  # at all of them


class Arrivals:
    """Tells it from the outbox, so that a restart changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def failing(self, address: Address, *, tests: str = "") -> Failing | None:
        """Return what is wrong with this place; None where the latest attempt went well, or none was made.

        An alert has failed that waits to be tried again, that was given up, or of which nobody knows whether it
        arrived. Whatever arrived later, also a reply, shows that the place can be reached.

        Args:
            address: Of its conversation.
            tests: What the accounts of conversations begin with that tests were sent to the same chat in.
        """
        rows: list[Row] = []
        for conv in await self._conversations(address, tests):
            rows += await self._store.read(_ROWS, (conv, _LATEST))
        arrived = max((at for state, _, at, *_ in rows if state == "sent"), default=0)
        failed = [
            (at, begun, attempts, why)
            for state, begun, at, attempts, why, kind in rows
            if kind == "alert" and state != "sent" and why and at > arrived
        ]
        if not failed:
            return None
        return Failing(
            since=from_ms(min(begun for _, begun, _, _ in failed)),
            why=max(failed)[3],
            attempts=sum(attempts for _, _, attempts, _ in failed),
        )

    async def _conversations(self, address: Address, tests: str) -> Sequence[int]:
        found = await self._store.read("SELECT id FROM conv WHERE address = ?", (str(address),))
        if tests:
            first = f"{address.bridge}:{tests}"
            others = await self._store.read(
                "SELECT id, address FROM conv WHERE address >= ? AND address < ? ORDER BY id DESC",
                (first, f"{first}\x7f"),  # addresses are visible ASCII
            )
            same = [row for row in others if parse_address(row[1]).chat == address.chat]
            found = [*found, *same[:_TESTS]]
        return [row[0] for row in found]
