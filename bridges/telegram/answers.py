"""What becomes of a pressed button: the sign that it waits goes away, then the button itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.errors import trouble
from bridges.telegram.lean import AiogramError
from bridges.telegram.session import AnswerCallbackQuery, ReplaceButtons
from bridges.telegram.units import utf16_cut
from clawd.messages import Duplicate, Refused, Replied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridges.telegram.lean import Bot, TelegramMethod
    from bridges.telegram.presses import Press
    from clawd.messages import AcceptResult, MessageId

log = logging.getLogger(__name__)

_TEXT_LIMIT: Final = 200  # Bot API, answerCallbackQuery, field `text`


class Answers:
    """Answers presses once what they mean is stored. Nothing of it is promised, and nothing of it fails.

    A crash in between leaves buttons that look alive. The next press on one is told that its question is
    no longer open, and takes them away.
    """

    def __init__(self, name: str, bot: Bot, *, timeout_s: int) -> None:
        self._name = name
        self._bot = bot
        self._timeout_s = timeout_s

    async def give(self, presses: Sequence[Press], results: Mapping[MessageId, AcceptResult]) -> None:
        """Answer all presses of a batch side by side; returns after `timeout_s` at the latest."""
        async with asyncio.TaskGroup() as tasks:
            for press in presses:
                result = results.get(press.event) if press.event is not None else None
                text = result.text if isinstance(result, Replied | Refused) else ""
                answer = AnswerCallbackQuery(
                    callback_query_id=press.query, text=utf16_cut(text, _TEXT_LIMIT) or None
                )
                tasks.create_task(self._try(answer), name="telegram:answer")
                if press.chat is not None and result is not None and _is_over(result):
                    dead = ReplaceButtons(chat_id=press.chat, message_id=press.message)
                    tasks.create_task(self._try(dead), name="telegram:buttons")

    async def _try(self, method: TelegramMethod[Any]) -> None:
        try:
            await self._bot(method, request_timeout=self._timeout_s)
        except AiogramError as error:
            if trouble(error) != "unchanged":
                reason = {"bridge": self._name, "reason": type(error).__name__}
                log.info("press_not_answered", extra=reason | {"method": method.__api_method__})


def _is_over(result: AcceptResult) -> bool:
    """Whether nobody can answer this question any more, so that its buttons only mislead.

    It was answered now or before, or is not open. Somebody who may not answer leaves it as it was.
    """
    return isinstance(result, Replied | Duplicate)
