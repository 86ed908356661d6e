"""A Telegram bridge in front of the fake Bot API, receiving into an inbox in memory."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridges.telegram import PLUGIN, TelegramConfig
from bridges.telegram.bridge import TelegramBridge
from clawd.conformance import MemoryInbox
from clawd.ids import Clock, DeliveryId, QuestionId
from clawd.messages import Address, Choice, OutboundMessage
from clawd.texts import LANGUAGES, catalogue
from tests.fakes.bot_api import TOKEN
from tests.fakes.bridge_context import bridge_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.media import Artifacts

for _language in LANGUAGES:
    catalogue(_language)  # read before any loop runs, as the daemon does

CHOICES = (
    Choice(word="approve", label="Yes"),
    Choice(word="always", label="Always"),
    Choice(word="deny", label="No"),
)


def telegram_bridge(
    api_base: str, *, clock: Clock | None = None, artifacts: Artifacts | None = None, **settings: Any
) -> TelegramBridge:
    """Return a bridge named `telegram`; `settings` are keys of its section."""
    section = {"type": "telegram", "token": TOKEN, "api_base": api_base, "commands": False, **settings}
    context = bridge_context("telegram", clock=clock, artifacts=artifacts)
    bridge = PLUGIN.create(context, TelegramConfig.model_validate(section))
    assert isinstance(bridge, TelegramBridge)
    return bridge


def outbound(
    text: str,
    *,
    chat: int | str = 7,
    thread: int | None = None,
    reference: str | None = None,
    edit_of: str | None = None,
    question: str | None = None,
    choices: tuple[Choice, ...] = CHOICES,
    part: int = 0,
    parts: int = 1,
) -> OutboundMessage:
    """Return a reply to this chat, or with an id a question."""
    asked: dict[str, Any] = {}
    if question is not None:
        asked = {"kind": "question", "question": QuestionId(question), "choices": choices}
    return OutboundMessage(
        id=DeliveryId("delivery:test-1"),
        address=Address(
            bridge="telegram",
            account=TOKEN.partition(":")[0],
            chat=str(chat),
            thread=str(thread) if thread is not None else None,
        ),
        text=text,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        reference=reference,
        edit_of=edit_of,
        part=part,
        parts=parts,
        **asked,
    )


class Running:
    """A bridge at work: how often it said `ready`, and how it ended."""

    def __init__(self, bridge: TelegramBridge, inbox: MemoryInbox) -> None:
        self.bridge = bridge
        self.inbox = inbox
        self.ready_count = 0
        self.task: asyncio.Task[None] | None = None

    def _ready(self) -> None:
        self.ready_count += 1

    async def run(self) -> None:
        """Run until it ends by itself; its error comes through."""
        await self.bridge.run(self.inbox, self._ready)

    async def stop(self) -> None:
        """Cancel it and wait."""
        assert self.task is not None
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def running(bridge: TelegramBridge, inbox: MemoryInbox) -> AsyncIterator[Running]:
    """Run a bridge beside the test, cancelled at the end of the block."""
    state = Running(bridge, inbox)
    async with asyncio.TaskGroup() as tasks:
        state.task = tasks.create_task(state.run(), name="bridge:telegram")
        yield state
        state.task.cancel()
