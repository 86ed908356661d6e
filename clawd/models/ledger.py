"""What was spent against which budget: the contract that the router is handed, and the ledger of who has no budgets."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from clawd.models.base import RequestTags
    from clawd.response import ModelAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How a request stands to the budget that is nearest to its end, among those that apply to it."""

    budget: str = ""  # "day", "month", "user", "conversation" or "model"; empty: none applies
    model: str = ""  # whose own budget it is
    limit_usd: float = 0.0
    spent_usd: float = 0.0  # what is held for requests under way included
    warn_at: float = 0.8
    ends_at: datetime | None = None  # when the budget begins anew

    @property
    def used(self) -> float:
        """The share that is used, 0 where no budget applies; may be above 1."""
        return self.spent_usd / self.limit_usd if self.limit_usd else 0.0

    def takes(self, usd: float) -> bool:
        """Whether something is left, and as much as this."""
        return self.used < 1 and (not self.limit_usd or self.spent_usd + usd <= self.limit_usd + 1e-9)


class Ledger(Protocol):
    """What was spent against which budget. In memory and at once; whoever keeps it for good does that elsewhere."""

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        """Return how a request to this model on this behalf stands, before it is made.

        With `usd`, that is the budget that is nearest to its end once this much is spent.
        """
        ...

    def hold(self, model: str, tags: RequestTags, usd: float) -> AbstractContextManager[None]:
        """Count this much as spent while the `with` block lasts: a request under way may cost it."""
        ...

    def settle(self, tags: RequestTags, attempts: Sequence[ModelAttempt]) -> None:
        """Count what attempts cost, and what they may have cost."""
        ...


_ENDLESS: Final = Room()


class NoBudgets:
    """A `Ledger` in which there is always room."""

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        return _ENDLESS

    def hold(self, model: str, tags: RequestTags, usd: float) -> AbstractContextManager[None]:
        return nullcontext()

    def settle(self, tags: RequestTags, attempts: Sequence[ModelAttempt]) -> None:
        pass
