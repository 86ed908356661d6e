"""The WeChat bridge receives from the fake iLink API: cursor and messages in one commit, one login at a time."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from clawd.conformance.inbox import MemoryInbox
from clawd.errors import BridgeAuthError, BridgeNotReady, InboxFull, JournalBroken, JournalUnavailable
from clawd.messages import Unreadable
from tests.fakes.ilink_api import FIRST_ID, FakeIlink
from tests.fakes.weixin import Running, outbound, running, weixin_bridge, write_login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from clawd.messages import AcceptResult, Cursor, Inbound


@pytest.fixture
async def ilink() -> AsyncIterator[FakeIlink]:
    async with FakeIlink() as server:
        yield server


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


def texts(inbox: MemoryInbox) -> list[str]:
    return [message.text for message in inbox.messages]


# --- messages and the cursor ------------------------------------------------------------------------------


async def test_messages_cursor_and_contexts_are_accepted_together(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    first, _ = ilink.user_says("one"), ilink.user_says("two", user="u2@im.wechat")
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(2)
    ((events, cursor),) = inbox.batches
    assert [event.id for event in events] == [f"wx:{ilink.bot_id}:{FIRST_ID + n}" for n in (1, 2)]
    assert cursor is not None
    assert cursor.key == f"weixin:{ilink.bot_id}:updates"
    state = json.loads(cursor.value)
    assert state["buf"] == "buf-2"
    assert state["contexts"]["u1@im.wechat"][0] == first["context_token"]


class SlowInbox(MemoryInbox):
    """Commits only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        self.asked.set()
        await self.go.wait()
        return await super().accept(batch, cursor)


async def test_the_server_is_asked_again_only_after_the_commit(ilink: FakeIlink, tmp_path: Path) -> None:
    inbox = SlowInbox()
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.asked.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(ilink.calls("getupdates")) == 1
        inbox.go.set()
        await ilink.wait_until(lambda: len(ilink.calls("getupdates")) == 2)
    assert ilink.calls("getupdates")[1].body["get_updates_buf"] == "buf-1"


async def test_what_was_not_committed_comes_again_and_what_was_does_not(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    slow = SlowInbox()
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), slow):
        await slow.asked.wait()
    for text in ("two", "three"):
        async with running(weixin_bridge(ilink, tmp_path), inbox):
            await inbox.wait_for(len(inbox.accepted) + 1)
        ilink.user_says(text)
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(3)
    assert texts(inbox) == ["one", "two", "three"]
    assert [len(events) for events, _ in inbox.batches] == [1, 1, 1]


@pytest.mark.parametrize("refusal", [InboxFull(7), JournalUnavailable("full", retry_after_s=0.01)])
async def test_what_cannot_be_stored_now_is_kept_until_it_can(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path, refusal: Any
) -> None:
    refusal.retry_after_s = 0.01
    inbox.refuse(refusal, refusal)
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(1)
        await ilink.wait_until(lambda: len(ilink.calls("getupdates")) == 2)
    assert texts(inbox) == ["one"]
    assert [call.body["get_updates_buf"] for call in ilink.calls("getupdates")] == ["", "buf-1"]


async def test_two_hundred_messages_with_repeats_echoes_and_nonsense_make_one_batch(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    message = ilink.user_says("again")
    for n in range(196):
        ilink.user_says(f"number {n}")
    ilink.push(message)
    ilink.push({**message, "message_id": 5, "message_type": 2})
    ilink.push({"message_type": 1, "item_list": "nonsense"})
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(198)
    assert len(inbox.batches) == 1
    assert texts(inbox) == ["again", *(f"number {n}" for n in range(196))]
    assert len([event for event in inbox.accepted if isinstance(event, Unreadable)]) == 1


async def test_an_empty_cursor_keeps_the_old_one_and_a_missing_ret_is_no_error(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(1)
        await ilink.wait_until(lambda: len(ilink.calls("getupdates")) == 2)
        later = {"message_id": 77, "from_user_id": "u1@im.wechat", "message_type": 1}
        later["item_list"] = [{"type": 1, "text_item": {"text": "two"}}]
        ilink.fault("getupdates", {"msgs": [later], "get_updates_buf": ""})
        ilink.user_says("three")  # ends the poll that waits
        await inbox.wait_for(3)
    assert sorted(texts(inbox)) == ["one", "three", "two"]
    assert "" not in [call.body["get_updates_buf"] for call in ilink.calls("getupdates")[1:]]


# --- the connection -----------------------------------------------------------------------------------------


async def test_a_poll_that_nothing_came_in_is_no_failure(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    ilink.fault("getupdates", "hang", 2)
    bridge = weixin_bridge(ilink, tmp_path, poll_timeout_s=0.05)
    async with running(bridge, inbox) as state:
        await ilink.wait_until(lambda: len(ilink.calls("getupdates")) >= 3)
        assert state.error is None
        ilink.user_says("here")
        await inbox.wait_for(1)
    assert texts(inbox) == ["here"]


@pytest.mark.parametrize(
    "kind", [502, 500, 403, b'{"ret":0,"msgs":[', b"<html>", b"[]", "reset", {"ret": -1}, {"errcode": 5}]
)
async def test_a_server_that_does_not_answer_well_is_out_of_reach(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path, kind: Any
) -> None:
    ilink.fault("getupdates", kind)
    async with running(weixin_bridge(ilink, tmp_path), inbox) as state:
        assert state.task is not None
        await asyncio.wait({state.task})
        assert isinstance(state.error, BridgeNotReady)
        assert ilink.token not in str(state.error)


async def test_a_stop_ends_the_poll_at_once_and_says_goodbye(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    async with running(weixin_bridge(ilink, tmp_path), inbox) as state:
        await ilink.wait_until(lambda: bool(ilink.calls("getupdates")))
        began = loop.time()
        await state.stop()
    assert loop.time() - began < 5, "the poll itself would have held for 35 s"
    assert [call.name for call in ilink.log if call.name.startswith("msg/")] == [
        "msg/notifystart",
        "msg/notifystop",
    ]


async def test_a_greeting_that_fails_keeps_nobody_from_receiving(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    ilink.fault("msg/notifystart", 502)
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), inbox) as state:
        await inbox.wait_for(1)
        assert state.ready.is_set()


async def test_a_second_receiver_of_the_account_takes_no_messages(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    async with running(weixin_bridge(ilink, tmp_path / "a"), inbox) as first:
        await first.ready.wait()
        async with running(weixin_bridge(ilink, tmp_path / "b"), MemoryInbox()) as second:
            assert second.task is not None
            await asyncio.wait({second.task})
            assert isinstance(second.error, BridgeNotReady)
            assert "another clawd" in str(second.error)
        ilink.user_says("one")
        await inbox.wait_for(1)


# --- the login ----------------------------------------------------------------------------------------------


async def test_without_a_login_the_bridge_says_so_once_and_then_waits_for_one(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = weixin_bridge(ilink, tmp_path, logged_in=False)
    with pytest.raises(BridgeAuthError, match="nobody has logged in") as caught:
        await bridge.run(inbox, lambda: None)
    assert caught.value.remedy == "clawd bridges login weixin"
    assert caught.value.retry_after_s == 0
    caplog.set_level(logging.DEBUG)
    async with running(bridge, inbox) as state:
        for _ in range(50):
            await asyncio.sleep(0)
        assert state.task is not None
        assert not state.task.done()
        assert ilink.log == []
        await asyncio.to_thread(write_login, tmp_path, ilink)
        await state.ready.wait()
    assert [r for r in caplog.records if r.name.startswith("bridges")] == []


@pytest.mark.parametrize(
    "answer", [{"ret": -14}, {"ret": 0, "errcode": -14}, {"ret": -14, "errcode": 3}, 401]
)
async def test_a_stale_login_ends_all_traffic_until_there_is_another(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path, answer: Any
) -> None:
    ilink.fault("getupdates", answer)
    bridge = weixin_bridge(ilink, tmp_path)
    with pytest.raises(BridgeAuthError, match="no longer knows") as caught:
        await bridge.run(inbox, lambda: None)
    assert "clawd bridges login weixin" in str(caught.value)
    calls = len(ilink.log)
    async with running(bridge, inbox) as state:
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(ilink.log) == calls
        ilink.relogin()
        await asyncio.to_thread(write_login, tmp_path, ilink)
        await state.ready.wait()
        ilink.user_says("one")
        await inbox.wait_for(1)


async def test_a_newer_login_on_the_disk_is_used_before_anybody_is_alarmed(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    bridge = weixin_bridge(ilink, tmp_path)
    async with running(bridge, inbox) as state:
        await state.ready.wait()
        ilink.revoke()
        ilink.relogin()
        await asyncio.to_thread(write_login, tmp_path, ilink)
        ilink.push({})  # ends the poll that waits
        assert state.task is not None
        await asyncio.wait({state.task})
        assert isinstance(state.error, BridgeNotReady)
        assert state.error.retry_after_s == 0
        again = Running(bridge, inbox)
        async with asyncio.TaskGroup() as tasks:
            again.task = tasks.create_task(again.run())
            await again.ready.wait()
            await again.stop()


async def test_a_login_while_connected_takes_over_at_once(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    bridge = weixin_bridge(ilink, tmp_path)
    async with running(bridge, inbox) as state:
        await ilink.wait_until(lambda: bool(ilink.calls("getupdates")))
        calls = len(ilink.log)
        ilink.relogin()
        await asyncio.to_thread(write_login, tmp_path, ilink)
        assert state.task is not None
        await asyncio.wait({state.task})
        assert isinstance(state.error, BridgeNotReady)
        assert state.error.retry_after_s == 0
        assert len(ilink.log) == calls, "the poll that waited was dropped"


async def test_what_the_inbox_raises_comes_through_as_it_is(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    inbox.refuse(JournalBroken("the disk is gone"))
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), inbox) as state:
        assert state.task is not None
        await asyncio.wait({state.task})
        assert isinstance(state.error, JournalBroken)


async def test_another_account_begins_with_a_cursor_of_its_own(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    ilink.user_says("one")
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(1)
    ilink.bot_id = "other-" + ilink.bot_id
    async with running(weixin_bridge(ilink, tmp_path), inbox):
        await inbox.wait_for(2)
    assert [call.body["get_updates_buf"] for call in ilink.calls("getupdates")].count("") == 2
    assert len(inbox.cursors) == 2


async def test_a_file_that_holds_no_login_is_told_and_not_retried_in_a_loop(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path
) -> None:
    (tmp_path / "login.json").write_text("{")
    bridge = weixin_bridge(ilink, tmp_path, logged_in=False)
    with pytest.raises(BridgeAuthError, match="can't be used"):
        await bridge.run(inbox, lambda: None)
    async with running(bridge, inbox) as state:
        for _ in range(50):
            await asyncio.sleep(0)
        assert state.error is None
        await asyncio.to_thread(write_login, tmp_path, ilink)
        await state.ready.wait()


async def test_a_probe_says_who_we_are_or_that_a_login_is_needed(ilink: FakeIlink, tmp_path: Path) -> None:
    bridge = weixin_bridge(ilink, tmp_path)
    assert await bridge.probe() == f"{ilink.bot_id}, logged in by u1@im.wechat"
    ilink.fault("getconfig", {"ret": -2, "errmsg": "prepare failed"})
    assert "ret -2" in await bridge.probe()
    ilink.fault("getconfig", 502)
    with pytest.raises(BridgeNotReady):
        await bridge.probe()
    ilink.revoke()
    with pytest.raises(BridgeAuthError):
        await bridge.probe()
    await bridge.close()
    with pytest.raises(BridgeAuthError, match="nobody has logged in"):
        await weixin_bridge(ilink, tmp_path / "other", logged_in=False).probe()


async def test_no_token_is_in_any_log_line_or_error(
    ilink: FakeIlink, inbox: MemoryInbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    message = ilink.user_says("one")
    for kind in (502, "reset", b"{", {"ret": -1, "errmsg": f"bad token {ilink.token}"}, {"ret": -14}):
        inbox = MemoryInbox()
        bridge = weixin_bridge(ilink, tmp_path)
        async with running(bridge, inbox) as state:
            await inbox.wait_for(1)
            for name in ("sendmessage", "getconfig", "sendtyping"):
                ilink.fault(name, kind)
            with pytest.raises(Exception) as sending:  # noqa: PT011 - whatever it is, it must not tell
                await bridge.send(outbound(ilink, "x"))
            await bridge.working(outbound(ilink, "x").address)
            ilink.clear_faults()
            ilink.fault("getupdates", kind)
            ilink.user_says("more")
            assert state.task is not None
            await asyncio.wait({state.task})
            told += [str(sending.value), repr(sending.value.__cause__), str(state.error)]
    told += [
        f"{record.getMessage()} {record.__dict__}"
        for record in caplog.records
        if "asyncio" not in record.name
    ]
    for secret in (ilink.token, message["context_token"]):
        assert not [line for line in told if secret in line]
