"""What every bridge promises, whatever platform is behind it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import pytest

from clawd.bridge import Bridge, BridgeContext
from clawd.config.schema import NetworkConfig
from clawd.conformance.inbox import MemoryInbox
from clawd.conformance.receiving import WAIT_S, Receiving, close
from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryError,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    JournalUnavailable,
)
from clawd.ids import DeliveryId, SystemClock
from clawd.messages import Audio, File, Image, InboundMessage, Media, OutboundMessage
from clawd.testing import MemoryArtifacts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from pathlib import Path

    from clawd.conformance.platform import Feature, MediaKind, Platform

T = TypeVar("T", bound="Callable[..., object]")

_NEEDS: Final[dict[str, Feature]] = {}

_KINDS: Final[dict[MediaKind, type[Media]]] = {"image": Image, "audio": Audio, "file": File}
_CONTENT: Final[dict[MediaKind, tuple[str, bytes]]] = {
    # The least that each is told by: the heads of a PNG of 3 by 2 points and of Opus in Ogg, and words.
    "image": ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\3\0\0\0\2" + bytes(range(256)) * 9),
    "audio": ("a.ogg", b"OggS" + bytes(24) + b"OpusHead" + bytes(range(256)) * 7),
    "file": ("a.txt", "words and 字\n".encode() * 100),
}


def _needs(feature: Feature) -> Callable[[T], T]:
    """Mark a test that only makes sense for platforms with this feature."""

    def mark(test: T) -> T:
        _NEEDS[test.__name__] = feature
        return test

    return mark


class BridgeConformance:
    """Subclass it with `features` and a fixture `platform`; tests that need other features are left out."""

    features: ClassVar[Collection[Feature]] = ()
    context_name: ClassVar[str] = "under_test"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, feature in _NEEDS.items():
            if feature not in cls.features:
                setattr(cls, name, None)  # pytest collects functions only

    # --- what tests stand on ----------------------------------------------------------------------------

    @pytest.fixture
    def context(self, tmp_path: Path) -> BridgeContext:
        """What the daemon would hand to the bridge."""
        return BridgeContext(
            name=self.context_name,
            network=NetworkConfig(),
            clock=SystemClock(),
            version="0",
            artifacts=MemoryArtifacts(),
            state_dir=tmp_path / "bridge",
        )

    @asynccontextmanager
    async def receiving(
        self, platform: Platform, context: BridgeContext, inbox: MemoryInbox
    ) -> AsyncIterator[Receiving]:
        """Run a new bridge until the block ends."""
        bridge = platform.bridge(context)
        state = Receiving(bridge, inbox, platform)
        try:
            async with asyncio.TaskGroup() as tasks:
                await state.start(tasks)
                try:
                    yield state
                finally:
                    await state.stop()
        finally:
            await close(bridge)

    @asynccontextmanager
    async def sending(self, platform: Platform, context: BridgeContext) -> AsyncIterator[Bridge]:
        """Hold a bridge that receives, for tests of `send`."""
        async with self.receiving(platform, context, MemoryInbox()) as state:
            yield state.bridge

    def reply(self, platform: Platform, text: str, *, chat: str = "1", number: int = 1) -> OutboundMessage:
        """Return a message that nothing inbound asked for."""
        return OutboundMessage(
            id=DeliveryId(f"delivery:conformance-{number}"),
            address=platform.address(chat),
            text=text,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    async def answer(self, platform: Platform, state: Receiving, text: str) -> OutboundMessage:
        """Return a reply to a message that a person has just sent: some platforms take nothing else."""
        seen = len(state.inbox.messages)
        await platform.say("a question")
        await state.inbox.wait_until(lambda: len(state.inbox.messages) > seen, WAIT_S)
        asked = state.inbox.messages[-1]
        return replace(
            self.reply(platform, text, number=seen),
            address=asked.address,
            in_reply_to=asked.id,
            reference=asked.reference,
        )

    # --- in ---------------------------------------------------------------------------------------------

    async def test_a_message_is_accepted_once_with_its_text_sender_and_address(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        async with self.receiving(platform, context, inbox):
            for text in ("hello 你好 😀", "and more"):
                await platform.say(text)
            await platform.say("elsewhere", chat="2")
            await inbox.wait_for(3, WAIT_S)
        first, second, other = inbox.messages
        assert [platform.text_of(m.parts) for m in inbox.messages] == [
            "hello 你好 😀",
            "and more",
            "elsewhere",
        ]
        assert first.address == second.address != other.address
        assert first.address.bridge == self.context_name
        assert first.sender.id == second.sender.id != ""
        assert first.sent_at.tzinfo is not None
        assert len({m.id for m in inbox.messages}) == 3

    async def test_messages_of_one_chat_keep_their_order(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        texts = [f"number {n}" for n in range(30)]
        async with self.receiving(platform, context, inbox):
            for text in texts:
                await platform.say(text)
            await inbox.wait_for(len(texts), WAIT_S)
        assert [platform.text_of(m.parts) for m in inbox.messages] == texts

    @_needs("repeats")
    async def test_a_message_that_comes_again_carries_the_same_id(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        async with self.receiving(platform, context, inbox):
            await platform.say("once")
            await inbox.wait_for(1, WAIT_S)
            batches = len(inbox.batches)
            await platform.say_again()
            await platform.say("last")
            await inbox.wait_for(2, WAIT_S)
        again = [e for events, _ in inbox.batches[batches:] for e in events if isinstance(e, InboundMessage)]
        assert [platform.text_of(m.parts) for m in again] == ["once", "last"], (
            "the bridge itself drops nothing"
        )
        assert again[0].id == inbox.messages[0].id
        assert [platform.text_of(m.parts) for m in inbox.messages] == ["once", "last"]

    @_needs("redelivery")
    async def test_what_could_not_be_stored_is_not_acknowledged_and_comes_again(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        inbox.refuse(JournalUnavailable("the disk is full", retry_after_s=0.01))
        async with self.receiving(platform, context, inbox):
            await platform.say("kept")
            await inbox.wait_for(1, WAIT_S)
        assert [platform.text_of(m.parts) for m in inbox.messages] == ["kept"]

    @_needs("redelivery")
    async def test_a_restart_goes_on_where_the_last_commit_was(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        async with self.receiving(platform, context, inbox):
            await platform.say("before")
            await inbox.wait_for(1, WAIT_S)
        await platform.say("meanwhile")
        async with self.receiving(platform, context, inbox):
            await platform.say("after")
            await inbox.wait_for(3, WAIT_S)
        assert [platform.text_of(m.parts) for m in inbox.messages] == ["before", "meanwhile", "after"]

    @_needs("garbage")
    async def test_what_cannot_be_read_blocks_nothing(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        async with self.receiving(platform, context, inbox):
            await platform.send_garbage()
            await platform.say("still here")
            await inbox.wait_until(lambda: bool(inbox.messages), WAIT_S)
        assert [platform.text_of(m.parts) for m in inbox.messages] == ["still here"]

    @_needs("files_in")
    @pytest.mark.parametrize("kind", ["image", "audio", "file"])
    async def test_a_file_can_be_had_as_it_was_sent(
        self, platform: Platform, context: BridgeContext, kind: MediaKind
    ) -> None:
        inbox = MemoryInbox()
        name, content = _CONTENT[kind]
        async with self.receiving(platform, context, inbox) as state:
            await platform.send_file(kind, content, name=name)
            await inbox.wait_until(lambda: bool(inbox.messages), WAIT_S)
            (part,) = [p for p in inbox.messages[0].parts if isinstance(p, _KINDS[kind])]
            assert await state.content(part, context) == content

    @_needs("files_in")
    async def test_a_voice_of_ten_megabytes_can_be_had_whole(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        content = _CONTENT["audio"][1] + bytes(10_000_000)
        async with self.receiving(platform, context, inbox) as state:
            await platform.send_file("audio", content, name="long.ogg")
            await inbox.wait_until(lambda: bool(inbox.messages), WAIT_S)
            (part,) = [p for p in inbox.messages[0].parts if isinstance(p, Audio)]
            assert await state.content(part, context) == content

    # --- the connection -----------------------------------------------------------------------------------

    @_needs("connection")
    async def test_an_outage_ends_the_run_as_not_ready_and_the_next_run_goes_on(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        inbox = MemoryInbox()
        await platform.fail("connection")
        bridge = platform.bridge(context)
        try:
            with pytest.raises(BridgeNotReady):
                async with asyncio.timeout(WAIT_S):
                    await bridge.run(inbox, _nothing)
        finally:
            await close(bridge)
        await platform.mend()
        async with self.receiving(platform, context, inbox):
            await platform.say("back again")
            await inbox.wait_for(1, WAIT_S)

    @_needs("credentials")
    async def test_refused_credentials_are_told_apart_from_an_outage(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        await platform.fail("credentials")
        bridge = platform.bridge(context)
        try:
            with pytest.raises(BridgeAuthError) as caught:
                async with asyncio.timeout(WAIT_S):
                    await bridge.run(MemoryInbox(), _nothing)
        finally:
            await close(bridge)
        assert caught.value.remedy, "only a person can mend this, and has to be told how"

    # --- out --------------------------------------------------------------------------------------------

    async def test_a_reply_arrives_as_it_is(self, platform: Platform, context: BridgeContext) -> None:
        async with self.receiving(platform, context, MemoryInbox()) as state:
            message = await self.answer(platform, state, "an answer: 你好 😀")
            await state.bridge.send(message)
            assert list(await platform.shown(message.address.chat, 1)) == ["an answer: 你好 😀"]

    async def test_a_text_as_long_as_the_bridge_says_it_takes_arrives_whole(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        async with self.receiving(platform, context, MemoryInbox()) as state:
            can = state.bridge.capabilities
            widths = {"chars": 1, "utf16": 1, "utf8": 3}
            text = "字" * (min(can.text_limit, 60_000) // widths[can.text_unit])
            message = await self.answer(platform, state, text)
            await state.bridge.send(message)
            assert "".join(await platform.shown(message.address.chat, 1)) == text

    @_needs("credentials")
    async def test_a_send_with_refused_credentials_is_surely_not_sent(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        async with self.receiving(platform, context, MemoryInbox()) as state:
            message = await self.answer(platform, state, "later")
            await platform.fail("credentials")
            with pytest.raises(DeliveryUnauthorized):
                await state.bridge.send(message)
            await platform.mend()

    @_needs("limit")
    async def test_a_limit_says_how_long_to_wait(self, platform: Platform, context: BridgeContext) -> None:
        async with self.receiving(platform, context, MemoryInbox()) as state:
            message = await self.answer(platform, state, "later")
            await platform.fail("limit", chat=message.address.chat, wait_s=7)
            with pytest.raises(DeliveryRetryLater) as caught:
                await state.bridge.send(message)
            assert caught.value.retry_after_s is None or caught.value.retry_after_s >= 6
            assert list(await platform.shown(message.address.chat, 0)) == []
            await platform.mend()

    @_needs("gone")
    async def test_a_chat_that_is_gone_is_given_up(self, platform: Platform, context: BridgeContext) -> None:
        async with self.receiving(platform, context, MemoryInbox()) as state:
            message = await self.answer(platform, state, "into the void")
            await platform.fail("gone", chat=message.address.chat)
            with pytest.raises(DeliveryRejected) as caught:
                await state.bridge.send(message)
            assert caught.value.unreachable

    @_needs("refused")
    async def test_a_refused_connection_is_surely_not_sent(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        bridge = platform.bridge(context)
        await platform.fail("refused")
        try:
            with pytest.raises(DeliveryRetryLater):
                await bridge.send(self.reply(platform, "not sent"))
        finally:
            await close(bridge)

    @_needs("reset")
    async def test_a_broken_connection_leaves_it_open_whether_it_arrived(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        surely_not_sent = (DeliveryRejected, DeliveryRetryLater, DeliveryUnauthorized)
        async with self.receiving(platform, context, MemoryInbox()) as state:
            message = await self.answer(platform, state, "perhaps")
            await platform.fail("reset", chat=message.address.chat)
            with pytest.raises(DeliveryError) as caught:
                await state.bridge.send(message)
            assert not isinstance(caught.value, surely_not_sent)

    @_needs("files_out")
    @pytest.mark.parametrize("kind", ["image", "audio", "file"])
    async def test_a_file_arrives_as_it_is(
        self, platform: Platform, context: BridgeContext, kind: MediaKind
    ) -> None:
        name, content = _CONTENT[kind]
        async with self.receiving(platform, context, MemoryInbox()) as state:
            if kind not in state.bridge.capabilities.files:
                return
            stored = await context.artifacts.put(_pieces(content), max_bytes=10**6, name=name)
            part = _KINDS[kind](ref=stored.ref, name=name, size=stored.size)
            message = replace(await self.answer(platform, state, "here it is"), files=(part,))
            await state.bridge.send(message)
            assert list(await platform.files(message.address.chat, 1)) == [(kind, content)]

    # --- what is told -------------------------------------------------------------------------------------

    async def test_no_error_and_no_log_line_shows_a_secret(
        self, platform: Platform, context: BridgeContext, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told: list[str] = []
        for feature in ("connection", "credentials", "reset", "refused"):
            if feature not in self.features:
                continue
            await platform.fail(feature)
            bridge = platform.bridge(context)
            try:
                async with asyncio.timeout(WAIT_S):
                    if feature in ("connection", "credentials"):
                        await bridge.run(MemoryInbox(), _nothing)
                    else:
                        await bridge.send(self.reply(platform, "never mind"))
            except BridgeError as error:
                told += [str(error), repr(error.__cause__)]
            finally:
                await close(bridge)
            await platform.mend()
        assert told or not self.features
        told += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
        assert not [line for line in told for secret in platform.secrets if secret in line]

    async def test_a_stop_takes_no_longer_than_a_moment(
        self, platform: Platform, context: BridgeContext
    ) -> None:
        async with self.receiving(platform, context, MemoryInbox()) as state:
            await state.stop()  # with a deadline of its own


def _nothing() -> None:
    """Be told that the bridge is ready."""


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content[:100]
    yield content[100:]
