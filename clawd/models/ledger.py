"""The ledger of who has no budgets."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from clawd.models.base import Room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from clawd.models.base import RequestTags
    from clawd.response import ModelAttempt

_ENDLESS: Final = Room()


class NoBudgets:
    """A `Ledger` in which there is always room."""

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        return _ENDLESS

    def hold(self, model: str, tags: RequestTags, usd: float) -> AbstractContextManager[None]:
        return nullcontext()

    def settle(self, tags: RequestTags, attempts: Sequence[ModelAttempt]) -> None:
        pass
