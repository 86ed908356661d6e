"""Calls to chats: each within the budget, each with all rungs of its ladder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.errors import delivery_error, trouble
from bridges.telegram.lean import AiogramError, TelegramRetryAfter
from bridges.telegram.outbound import Rung
from bridges.telegram.parcels import Parcel
from bridges.telegram.refusals import Refusals
from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridges.telegram.budget import CallBudget, Urgency
    from bridges.telegram.lean import Bot, TelegramMethod
    from clawd.ids import Clock

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0  # with the second half of a message on the way


class Calls:
    """Sends for one bot."""

    def __init__(self, name: str, bot: Bot, clock: Clock, budget: CallBudget) -> None:
        self._name = name
        self._bot = bot
        self._clock = clock
        self._budget = budget
        self._no_rich = Refusals()

    async def deliver_all(self, rungs: Sequence[Rung | Parcel]) -> str | None:
        """Send what makes up one delivery, in order; return the first message's id.

        Raises:
            DeliveryUnknown: something went out and the rest did not, so it is no longer "surely not sent".
            DeliveryError: as `deliver`, when nothing went out but an edit, which may be repeated.
        """
        first, *rest = rungs
        remote_id = await self.deliver(first, "answer")
        only_edited = first.edit is not None
        for rung in rest:
            await self._deliver_behind(rung, only_edited=only_edited)
            only_edited = False
        return remote_id

    async def deliver(self, rung: Rung | Parcel, urgency: Urgency, *, new_if_gone: bool = True) -> str | None:
        """Send this or what is below it; return the message's id. An error is the outbox's."""
        while True:
            if rung.rich and self._no_rich.cover(rung.chat):
                rung = rung.below("other") or rung
            try:
                return _message_id(await self.call(rung.chat, rung.method(), urgency), rung)
            except AiogramError as error:
                kind = trouble(error)
                if kind == "unchanged":
                    return str(rung.edit)
                if rung.rich and kind == "unknown_method":
                    self._no_rich.everywhere()
                if kind == "too_long" and not rung.rich and (halves := rung.halves()) is not None:
                    first, second = halves
                    return await self._deliver_both(first, second, urgency)
                below = rung.below(kind) if new_if_gone or kind != "edit_gone" else None
                if below is None:
                    raise delivery_error(self._name, error) from error
                log.info("reply_simplified", extra={"bridge": self._name, "reason": kind})
                rung = below

    async def call(
        self, chat: int | str, method: TelegramMethod[Any], urgency: Urgency, *, timeout_s: int | None = None
    ) -> Any:
        """Make one call if the chat still has a share, and keep a pause that Telegram asks for.

        Raises:
            DeliveryRetryLater: the chat has had its share; nothing was sent.
            AiogramError: what came of it.
        """
        if (wait_s := self._budget.admit(chat, urgency)) > 0:
            raise DeliveryRetryLater(self._name, "the chat has had its share of calls", retry_after_s=wait_s)
        try:
            return await self._bot(method, request_timeout=timeout_s)
        except TelegramRetryAfter as error:
            self._budget.freeze(chat, error.retry_after)
            raise

    async def _deliver_both(self, first: Rung, second: Rung | Parcel, urgency: Urgency) -> str | None:
        remote_id = await self.deliver(first, urgency)
        await self._deliver_behind(second, only_edited=False)
        return remote_id

    async def _deliver_behind(self, rung: Rung | Parcel, *, only_edited: bool) -> None:
        """Send what follows something that is there, with patience for a short limit."""
        try:
            while True:
                try:
                    await self.deliver(rung, "answer")
                    break
                except DeliveryRetryLater as error:
                    if error.retry_after_s is None or error.retry_after_s > _PATIENCE_S:
                        raise
                    await self._clock.sleep(error.retry_after_s)
        except DeliveryRejected:
            raise  # repeating what is there would bring the rest no nearer
        except DeliveryError as error:
            if only_edited:
                raise
            raise DeliveryUnknown(self._name, "only the first part went out", why=str(error)) from error


def _message_id(result: Any, rung: Rung | Parcel) -> str | None:
    """Return the id in an answer; one without it still means that the message is there."""
    if rung.edit is not None:
        return str(rung.edit)
    number = result.get("message_id") if isinstance(result, dict) else None
    return str(number) if isinstance(number, int) else None
