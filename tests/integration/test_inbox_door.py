"""The only door in: who and what gets through it, and what a failed commit leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from clawd.admission import MAX_TEXT_CHARS
from clawd.config.schema import AccessConfig, AgentConfig
from clawd.errors import DeliveryParked, InboxFull, JournalUnavailable
from clawd.messages import (
    SPLIT_TEXT,
    Accepted,
    Address,
    Cursor,
    Duplicate,
    Edited,
    File,
    Image,
    Inbound,
    InboundControl,
    MessageId,
    Refused,
    Replied,
    Sender,
    Text,
    Unreadable,
)
from clawd.models.base import UserMessage
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message

CURSOR = Cursor(key="chat:offset", value="17")


async def test_a_batch_and_its_cursor_are_committed_together(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        batch: list[Inbound] = [
            message("a"),
            message("b", chat="2"),
            Unreadable(id=MessageId("u"), bridge="chat", raw="?", why="!"),
        ]
        results = await inner.inbox.accept(batch, CURSOR)
        assert [type(result) for result in results] == [Accepted, Accepted, Refused]
        await inner.restart()
        assert await inner.inbox.cursor(CURSOR.key) == "17"
        await inner.settled()
        assert sorted(inner.bridge.texts()) == ["ok", "ok"]
        assert [dead.bridge for dead in await inner.views.dead()] == ["chat"]


async def test_a_batch_that_can_not_be_committed_moves_no_cursor_and_uses_up_no_rate(
    state_dir: Path,
) -> None:
    access = AccessConfig(default="allow", rate="3/h")
    async with Inner(state_dir, access=access) as inner:
        batch = [message("a"), message("/help"), message("b"), message("one too many")]
        for _ in range(3):
            async with inner.locked():
                with pytest.raises(JournalUnavailable):
                    await inner.inbox.accept(batch, CURSOR)
        assert await inner.inbox.cursor(CURSOR.key) is None
        results = await inner.inbox.accept(batch, CURSOR)
        assert [type(result) for result in results] == [Accepted, Replied, Accepted, Refused]
        assert results[3] == Refused(reason="rate", text=say("rate_limited")), "told in the batch that counts"


async def test_a_stranger_whose_code_can_not_be_committed_takes_no_rate_from_others(state_dir: Path) -> None:
    access = AccessConfig(default="pair", owners=("chat:42",), rate="1/h")
    async with Inner(state_dir, access=access) as inner:
        batch = [message("mine"), message("let me in", sender="7", chat="7")]
        async with inner.locked():
            with pytest.raises(JournalUnavailable):
                await inner.inbox.accept(batch)
        results = await inner.inbox.accept(batch)
        assert isinstance(results[0], Accepted)
        assert isinstance(results[1], Refused)


async def test_a_redelivered_message_is_answered_once(state_dir: Path) -> None:
    access = AccessConfig(default="allow", rate="2/h")
    async with Inner(state_dir, access=access) as inner:
        turn = await inner.say("a", id="update-1", digest="x")
        for _ in range(5):
            assert await inner.accept("a", id="update-1", digest="x") == Duplicate(turn=turn)
        assert await inner.accept("b", id="update-1", digest="y") == Duplicate(turn=turn, same_body=False)
        assert isinstance(await inner.accept("c", id="update-2"), Accepted), "repeats use up no rate"
        await inner.settled()
        assert inner.bridge.texts() == ["ok", "ok"]


async def test_a_redelivered_command_is_answered_once(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        for _ in range(3):
            assert await inner.accept("/help", id="update-1") == Replied(text=say("help"))
        await inner.settled()
        assert inner.bridge.texts() == [say("help")]


async def test_one_word_tells_a_sender_of_too_many_messages(state_dir: Path) -> None:
    access = AccessConfig(default="allow", rate="2/h")
    async with Inner(state_dir, access=access) as inner:
        results = [await inner.accept(language="zh") for _ in range(5)]
        told = Refused(reason="rate", text=say("rate_limited", "zh"))
        assert results[2:] == [told, Refused(reason="rate"), Refused(reason="rate")]
        assert isinstance(await inner.accept(sender="another"), Accepted)
        await inner.settled()
        assert sorted(inner.bridge.texts()) == sorted(["ok", "ok", "ok", say("rate_limited", "zh")])


async def test_a_reload_keeps_the_rate_that_it_does_not_change(state_dir: Path) -> None:
    access = AccessConfig(default="allow", rate="1/h")
    async with Inner(state_dir, access=access) as inner:
        await inner.accept()
        inner.configure()
        assert isinstance(await inner.accept(), Refused)
        inner.access_config = AccessConfig(default="allow", rate="2/h")
        inner.configure()
        assert isinstance(await inner.accept(), Accepted)


async def test_the_local_terminal_has_no_rate(state_dir: Path) -> None:
    access = AccessConfig(default="deny", rate="1/h")
    async with Inner(state_dir, access=access) as inner:
        results = [await inner.accept(bridge="terminal") for _ in range(5)]
        assert all(isinstance(result, Accepted) for result in results)


async def test_a_group_is_read_only_where_it_speaks_to_us(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        ignored = await inner.accept("chatter", group=True, addressed=False)
        assert ignored == Refused(reason="not_addressed")
        assert await inner.accept("/help", group=True, addressed=False) == Refused(reason="not_addressed")
        assert (await inner.ask("@clawd hi", group=True, addressed=True)).answer == "ok"
        await inner.delivered("ok")


async def test_an_owner_has_no_owners_right_in_a_group(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held], [held])
    access = AccessConfig(default="deny", owners=("chat:42",))
    async with Inner(state_dir, model=model, access=access) as inner:
        rights = []
        for group in (True, False):
            inner.workers.stop_claiming()  # the claim is the test's
            await inner.accept(group=group, chat=str(group))
            (lease,) = await inner.journal.claim(1)
            rights.append(lease.right)
        assert rights == ["tools", "owner"]


async def test_a_text_that_is_too_long_is_cut_with_a_note(state_dir: Path) -> None:
    model = ScriptedModel()
    async with Inner(state_dir, model=model, agent=AgentConfig(context_tokens=1_000_000)) as inner:
        await inner.ask("x" * (MAX_TEXT_CHARS + 1))
        await inner.ask("y" * MAX_TEXT_CHARS)
    cut, whole = [request.messages[-1] for request in model.requests]
    assert isinstance(cut, UserMessage)
    assert cut.parts == (Text("x" * MAX_TEXT_CHARS + "\n" + say("text_cut")),)
    assert whole == UserMessage((Text("y" * MAX_TEXT_CHARS),))


async def test_what_no_model_can_look_at_is_named_to_it(state_dir: Path) -> None:
    model = ScriptedModel()
    parts = (Text("see"), Image(ref="1", mime="image/png"), File(ref="2", name="a.pdf"))
    async with Inner(state_dir, model=model) as inner:
        (result,) = await inner.inbox.accept([replace(message(), parts=parts)])
        assert isinstance(result, Accepted)
        await inner.ended(result.turn)
    (asked,) = [m for m in model.requests[0].messages if isinstance(m, UserMessage)]
    texts = [part.text for part in asked.parts if isinstance(part, Text)]
    assert texts[1:] == [
        "[image]",
        "[file: a.pdf; its content can't be read here]",
    ]


@pytest.mark.parametrize("text", ["half \ud83d a pair", "nul \x00 byte", "", "  ", "\u202eright to left"])
async def test_any_text_can_be_kept_and_answered(state_dir: Path, text: str) -> None:
    async with Inner(state_dir) as inner:
        assert (await inner.ask(text)).answer == "ok"
        await inner.restart()
        await inner.delivered("ok")


async def test_a_full_queue_refuses_with_a_time_to_come_back_and_takes_no_rate(state_dir: Path) -> None:
    held = asyncio.Event()
    access = AccessConfig(default="allow", rate="2/h")
    async with Inner(state_dir, model=ScriptedModel([held, "ok"]), access=access, max_queue=1) as inner:
        turn = await inner.say("a")
        for _ in range(3):
            with pytest.raises(InboxFull) as refused:
                await inner.accept("b")
            assert refused.value.retry_after_s > 0
        assert await inner.accept("/help") == Replied(text=say("help")), "what needs no turn still works"
        held.set()
        await inner.ended(turn)


async def test_controls_of_strangers_stop_nothing(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()])
    access = AccessConfig(default="deny", owners=("chat:42",))
    async with Inner(state_dir, model=model, access=access) as inner:
        turn = await inner.say()
        await model.asked()
        control = InboundControl(
            id=MessageId("stop"),
            address=Address(bridge="chat", account="bot", chat="1"),
            sender=Sender(id="666"),
            kind="stop",
            turn=turn,
            sent_at=message().sent_at,
        )
        assert list(await inner.inbox.accept([control])) == [Refused(reason="stranger")]
        assert await inner.accept("/stop", sender="666") == Refused(reason="stranger")
        assert (await inner.views.turn(turn)).state == "running"


async def test_a_caller_that_gives_up_waiting_loses_nothing(state_dir: Path) -> None:
    """A client that hangs up cancels `accept`; what the writer has is committed and worked on."""
    async with Inner(state_dir) as inner:
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(inner.accept("a"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            accepting.cancel()
        await inner.delivered("ok")


async def test_a_fetch_makes_no_turn_and_nothing_to_fetch_is_not_talked_about(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        control = InboundControl(
            id=MessageId("fetch-1"),
            address=Address(bridge="chat", account="bot", chat="1"),
            sender=Sender(id="42"),
            kind="fetch",
            sent_at=inner.clock.now(),
        )
        assert await inner.inbox.accept([control]) == [Replied(text="", nothing=True)]
        inner.bridge.next_sends(DeliveryParked("chat", "only after the next message"))
        await inner.ask("a")
        async with asyncio.timeout(10):
            while await inner.inbox.accept([control]) != [Replied(text="")]:
                await asyncio.sleep(0.01)
        await inner.settled()
        assert inner.bridge.texts() == ["ok"]


async def test_an_edit_counts_while_its_message_waits_unless_it_became_a_command(state_dir: Path) -> None:
    access = AccessConfig(default="deny", owners=("chat:42",))
    # On a clock that stands still nobody begins with what may be a piece of a longer text.
    async with Inner(state_dir, access=access, clock=ManualClock()) as inner:
        said = replace(message("hello", id="said"), piece_of=SPLIT_TEXT)
        await inner.inbox.accept([said])
        for text, sender, expected in (
            ("/stop", "42", Replied(text="", nothing=True)),
            ("/new", "42", Replied(text="", nothing=True)),
            ("hello you", "666", Refused(reason="stranger")),
            ("hello you", "42", Replied(text="")),
        ):
            newer = replace(said, parts=(Text(text),), sender=Sender(id=sender))
            edit = Edited(id=MessageId(f"edit {text} {sender}"), message=newer)
            assert await inner.inbox.accept([edit]) == [expected]


async def test_an_edit_of_what_was_answered_changes_nothing(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        said = message("hello")
        (accepted,) = await inner.inbox.accept([said])
        assert isinstance(accepted, Accepted)
        await inner.ended(accepted.turn)
        edit = Edited(id=MessageId("edit"), message=replace(said, parts=(Text("hello you"),)))
        assert await inner.inbox.accept([edit]) == [Replied(text="", nothing=True)]
        await inner.settled()
        assert inner.bridge.texts() == ["ok"]
