"""Reactions: the sign beside a person's message that says how far its answer is.

Source: Bot API, setMessageReaction: one emoji of a bot on a message, from the list at ReactionTypeEmoji;
in groups the administrators may allow fewer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from bridges.telegram.errors import trouble
from bridges.telegram.lean import (
    AiogramError,
    ReactionTypeEmoji,
    TelegramBadRequest,
    TelegramForbiddenError,
)
from bridges.telegram.outbound import number, target
from bridges.telegram.refusals import Refusals
from bridges.telegram.session import SetMessageReaction
from clawd.errors import DeliveryRetryLater

if TYPE_CHECKING:
    from bridges.telegram.calls import Calls
    from clawd.messages import Address, Mark

log = logging.getLogger(__name__)

EMOJI: Final[dict[Mark, str]] = {"working": "👀", "done": "👍", "failed": "💔"}
_OF_THE_MESSAGE: Final = ("not found", "message_id_invalid", "not modified")  # other messages may take one


class Reactions:
    """Puts them, and remembers where there are none. Nothing of it is promised, and nothing of it fails."""

    def __init__(self, name: str, calls: Calls, *, timeout_s: int) -> None:
        self._name = name
        self._calls = calls
        self._timeout_s = timeout_s
        self._refusals = Refusals()

    def possible(self, address: Address) -> bool:
        """Whether this chat takes reactions, as far as is known."""
        try:
            return not self._refusals.cover(target(address)[0])
        except ValueError:
            return False

    async def put(self, address: Address, reference: str, mark: Mark) -> None:
        """Put this sign in the place of the last."""
        chat, message = target(address)[0], number(reference)
        if message is None:
            return
        sign = SetMessageReaction(
            chat_id=chat, message_id=message, reaction=[ReactionTypeEmoji(emoji=EMOJI[mark])]
        )
        try:
            await self._calls.call(chat, sign, "aside", timeout_s=self._timeout_s)
        except DeliveryRetryLater:
            log.debug("reaction_left_out", extra={"bridge": self._name})
        except AiogramError as error:
            self._note(chat, error)

    def _note(self, chat: int | str, error: AiogramError) -> None:
        words = str(getattr(error, "message", "")) or type(error).__name__
        log.info("reaction_refused", extra={"bridge": self._name, "reason": words})
        if trouble(error) == "unknown_method":
            self._refusals.everywhere()
        elif isinstance(error, TelegramForbiddenError) or (
            isinstance(error, TelegramBadRequest) and not any(w in words.lower() for w in _OF_THE_MESSAGE)
        ):
            self._refusals.add(chat)
