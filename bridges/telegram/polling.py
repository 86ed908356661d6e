"""Receiving: getUpdates in a loop of our own, so that nothing is confirmed before it is stored.

aiogram's polling confirms a batch while its handlers still run, swallows their errors, and retries a
revoked token unseen.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from bridges.telegram.errors import bridge_error
from bridges.telegram.inbound import ALLOWED_UPDATES
from bridges.telegram.lean import AiogramError, TelegramConflictError
from bridges.telegram.session import DeleteWebhook, FetchUpdates
from clawd.errors import BridgeNotReady, InboxFull, JournalUnavailable
from clawd.messages import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bridges.telegram.account import Account
    from bridges.telegram.intake import Intake
    from bridges.telegram.lean import Bot
    from bridges.telegram.signin import SignIn
    from clawd.bridge import Inbox
    from clawd.ids import Clock

log = logging.getLogger(__name__)

LIMIT: Final = 100
_PROOF_S: Final = 10  # after a conflict: how long a poll must hold before we believe that it is over
_MARGIN_S: Final = 15  # an answer may come this much later than the poll's own time
_STALE_S: Final = 7 * 86400  # after a silent week Telegram may restart its update ids anywhere


class Polling:
    """The updates of one bot, from getMe on."""

    def __init__(
        self, name: str, bot: Bot, clock: Clock, sign_in: SignIn, intake: Intake, *, timeout_s: int
    ) -> None:
        self._name = name
        self._bot = bot
        self._sign_in = sign_in
        self._intake = intake
        self._clock = clock
        self._timeout_s = timeout_s
        self._contested = False  # the last poll was ended by somebody else's

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive until cancelled.

        Raises:
            BridgeNotReady: Telegram is out of reach, busy, or somebody else receives.
            BridgeAuthError: the token is refused.
        """
        try:
            account = await self._sign_in.account(inbox)
            # A webhook would keep all updates from us; those that wait are never dropped.
            await self._bot(DeleteWebhook(drop_pending_updates=False))
            await self._follow(account, inbox, ready)
        except AiogramError as error:
            self._contested = isinstance(error, TelegramConflictError)
            raise bridge_error(self._name, error) from error

    async def _follow(self, account: Account, inbox: Inbox, ready: Callable[[], None]) -> None:
        key = f"telegram:{account.id}:offset"
        offset = _offset(await inbox.cursor(key), self._clock.now().timestamp())
        # The first request only looks, so that `ready` does not wait for a message.
        wait_s = _PROOF_S if self._contested else 0
        while True:
            began = self._clock.monotonic()
            updates = await self._fetch(offset, min(wait_s, self._timeout_s))
            self._contested = False
            ready()
            if not updates:
                # Confirmed by now. Without an offset a restart of the ids can't hide what is new.
                offset = None
                if wait_s and self._clock.monotonic() - began < 1:
                    await self._clock.sleep(1)  # something in between answers at once: no spinning
                wait_s = self._timeout_s
                continue
            wait_s = self._timeout_s
            batch = self._intake.read(updates, account)
            if batch.next_offset is None:
                raise BridgeNotReady(
                    self._name, "Telegram sent updates without ids", why=f"{len(updates)} updates"
                )
            cursor = Cursor(key=key, value=f"{batch.next_offset} {self._clock.now().timestamp():.0f}")
            try:
                await self._intake.accept(batch, account, inbox, cursor)
            except (InboxFull, JournalUnavailable) as error:
                log.warning("updates_wait", extra={"bridge": self._name, "reason": error.what})
                await self._clock.sleep(error.retry_after_s)
                continue  # with the offset as it was: the same updates come again
            offset = batch.next_offset

    async def _fetch(self, offset: int | None, wait_s: int) -> list[Any]:
        poll = FetchUpdates(offset=offset, limit=LIMIT, timeout=wait_s, allowed_updates=list(ALLOWED_UPDATES))
        updates: list[Any] = await self._bot(poll, request_timeout=wait_s + _MARGIN_S)
        return updates


def _offset(stored: str | None, now_s: float) -> int | None:
    """Return the offset to begin with: what was stored as "OFFSET UNIX_SECONDS", unless it is too old.

    What was accepted before and comes again is dropped by its id.
    """
    number, _, moment = (stored or "").partition(" ")
    if not number.isdigit() or not moment.isdigit() or now_s - int(moment) > _STALE_S:
        return None
    return int(number)
