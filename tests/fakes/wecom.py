"""A WeCom bridge in front of the fake platform, receiving into an inbox in memory."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridges.wecom import WecomConfig
from bridges.wecom.account import Account, ReplyTo
from bridges.wecom.bridge import WecomBridge
from bridges.wecom.frames import Frame, read_frame
from clawd.conformance import MemoryInbox
from clawd.ids import Clock, DeliveryId, QuestionId
from clawd.messages import Address, Choice, OutboundMessage, Preview
from tests.fakes.bridge_context import bridge_context
from tests.fakes.wecom_api import BOT_ID, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.media import Artifacts
    from clawd.messages import Mark, Receipt
    from clawd.testing import ManualClock
    from tests.fakes.wecom_api import FakeWecom

USER = "zhangsan"
ACCOUNT = Account(bridge="wecom", bot_id=BOT_ID)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHOICES = (
    Choice(word="approve", label="Yes"),
    Choice(word="always", label="Always"),
    Choice(word="deny", label="No"),
)


def wecom_bridge(
    url: str,
    *,
    clock: Clock | None = None,
    artifacts: Artifacts | None = None,
    uploads_s: float = 40.0,
    **settings: Any,
) -> WecomBridge:
    """Return a bridge named `wecom`; `settings` are keys of its section."""
    section = {"type": "wecom", "bot_id": BOT_ID, "secret": SECRET, "ws_url": url, **settings}
    context = bridge_context("wecom", clock=clock, artifacts=artifacts)
    config = WecomConfig.model_validate(section)
    return WecomBridge(context, config, random=lambda: 1.0, uploads_s=uploads_s)


def address(chat: str = "zhangsan") -> Address:
    """Return the address of a user or group."""
    return Address(bridge="wecom", account=BOT_ID, chat=chat)


def outbound(
    text: str,
    *,
    chat: str = "zhangsan",
    reference: str | None = None,
    question: str | None = None,
    **more: Any,
) -> OutboundMessage:
    """Return a reply, or with an id a question."""
    if question is not None:
        more = {"kind": "question", "question": QuestionId(question), "choices": CHOICES, **more}
    return OutboundMessage(
        id=DeliveryId("delivery:test-1"),
        address=address(chat),
        text=text,
        created_at=NOW,
        reference=reference,
        **more,
    )


def reference(req_id: str, at: datetime) -> str:
    """Return what a message that came at this moment gives back with its reply."""
    return str(ReplyTo(req_id=req_id, received_ms=int(at.timestamp() * 1000)))


def frame(body: Any, *, cmd: str = "aibot_msg_callback", req_id: str = "req-1") -> Frame:
    """Return a callback as the connection would read it."""
    return read_frame(json.dumps({"cmd": cmd, "headers": {"req_id": req_id}, "body": body}))


class Running:
    """A bridge at work, which is started again each time it loses its connection, at once."""

    def __init__(self, bridge: WecomBridge, inbox: MemoryInbox) -> None:
        self.bridge = bridge
        self.inbox = inbox
        self.runs = 0
        self.errors: list[Exception] = []
        self.task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def connected(self) -> None:
        """Return once it is connected, after a loss once it is again."""
        async with asyncio.timeout(10):
            await self._ready.wait()

    async def run(self) -> None:
        while True:
            self.runs += 1
            try:
                await self.bridge.run(self.inbox, self._ready.set)
            except Exception as error:  # noqa: BLE001 - as the supervisor
                self._ready.clear()
                self.errors.append(error)
                if getattr(error, "retry_after_s", None) is None or error.retry_after_s > 60:  # type: ignore[attr-defined]
                    return
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Cancel it, as the supervisor does, and wait."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})


@asynccontextmanager
async def running(bridge: WecomBridge, inbox: MemoryInbox | None = None) -> AsyncIterator[Running]:
    """Run a bridge beside the test, connected; closed at the end of the block."""
    state = Running(bridge, inbox or MemoryInbox())
    try:
        async with asyncio.TaskGroup() as tasks:
            state.task = tasks.create_task(state.run(), name="bridge:wecom")
            await state.connected()
            yield state
            await state.stop()
    finally:
        await bridge.close()


class Asked:
    """A bridge with one message that waits for its answer."""

    def __init__(self, it: Running, wecom: FakeWecom, ref: str) -> None:
        self.it = it
        self.bridge = it.bridge
        self.wecom = wecom
        self.reference = ref
        reply = ReplyTo.parse(ref)
        assert reply is not None
        self.stream_id = reply.stream_id

    async def show(self, text: str, remote_id: str | None = None) -> Receipt:
        return await self.bridge.preview(
            Preview(address=address(), text=text, remote_id=remote_id, reference=self.reference)
        )

    async def think(self, mark: Mark = "working") -> None:
        await self.bridge.mark(address(), self.reference, mark)

    async def reply(self, text: str, **more: Any) -> Receipt:
        return await self.bridge.send(outbound(text, reference=self.reference, **more))

    @property
    def snapshots(self) -> list[tuple[str, bool]]:
        """What was asked to be shown: texts, and whether each was the last."""
        bodies = [seen.body["stream"] for seen in self.wecom.frames("aibot_respond_msg")]
        assert {body["id"] for body in bodies} <= {self.stream_id}
        return [(body["content"], body["finish"]) for body in bodies]

    @property
    def sent(self) -> list[str]:
        """What was sent as messages of their own."""
        bodies = [seen.body for seen in self.wecom.frames("aibot_send_msg")]
        return [body["markdown"]["content"] for body in bodies if body["msgtype"] == "markdown"]


@asynccontextmanager
async def asked(
    wecom: FakeWecom, *, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[Asked]:
    inbox = MemoryInbox()
    async with running(wecom_bridge(wecom.url, clock=clock, **settings), inbox) as it:
        wecom.user_says(USER, "question")
        await inbox.wait_for(1)
        ref = inbox.messages[0].reference
        assert ref is not None
        yield Asked(it, wecom, ref)
