"""The Telegram bridge receives from the fake Bot API: nothing is confirmed before it is stored."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from clawd.conformance import MemoryInbox
from clawd.errors import BridgeAuthError, BridgeNotReady, InboxFull, JournalUnavailable
from clawd.messages import Cursor, InboundMessage, Text, Unreadable
from clawd.testing import ManualClock
from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.telegram import Running, running, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bridges.telegram.bridge import TelegramBridge
    from clawd.messages import AcceptResult, Inbound

BOT = 123456789
KEY = f"telegram:{BOT}:offset"


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        yield server


@pytest.fixture
async def bridge(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url)
    yield bridge
    await bridge.close()


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


def texts(inbox: MemoryInbox) -> list[str]:
    return [message.text for message in inbox.messages]


# --- the way in -------------------------------------------------------------------------------------------


async def test_a_batch_and_the_next_offset_are_accepted_together(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    ids = [api.user_says(7, "one"), api.user_says(8, "two")]
    async with running(bridge, inbox):
        await inbox.wait_for(2)
    (first, *_) = inbox.batches
    assert [event.id for event in first[0]] == [f"tg:{BOT}:{number}" for number in ids]
    assert first[1] is not None
    assert first[1].key == KEY
    assert first[1].value.split()[0] == str(ids[-1] + 1)


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


async def test_telegram_is_asked_again_only_after_the_commit(api: FakeBotApi, bridge: TelegramBridge) -> None:
    inbox = SlowInbox()
    number = api.user_says(7, "one")
    async with running(bridge, inbox):
        await inbox.asked.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(api.calls("getUpdates")) == 1
        assert api.pending() == 1
        inbox.go.set()
        await api.wait_until(lambda: api.pending() == 0)
    assert api.calls("getUpdates")[1].params["offset"] == number + 1


async def test_what_was_not_committed_comes_again_after_a_restart(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    slow = SlowInbox()
    api.user_says(7, "one")
    async with running(bridge, slow):
        await slow.asked.wait()
    assert slow.accepted == []
    async with running(bridge, inbox):
        await inbox.wait_for(1)
    assert texts(inbox) == ["one"]


async def test_a_restart_goes_on_where_the_cursor_stands(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    api.user_says(7, "one")
    async with running(bridge, inbox):
        await inbox.wait_for(1)
    api.user_says(7, "two")
    async with running(bridge, inbox):
        await inbox.wait_for(2)
    assert texts(inbox) == ["one", "two"]
    assert [len(events) for events, _ in inbox.batches] == [1, 1]


async def test_a_cursor_older_than_a_week_is_not_used_as_ids_may_have_begun_anew(
    api: FakeBotApi, inbox: MemoryInbox
) -> None:
    clock = ManualClock(now=datetime(2026, 6, 1, tzinfo=UTC))
    eight_days_ago = clock.now().timestamp() - 8 * 86400
    inbox.cursors[KEY] = f"900000 {eight_days_ago:.0f}"
    bridge = telegram_bridge(api.url, clock=clock)
    api.user_says(7, "hello again")
    async with running(bridge, inbox):
        await inbox.wait_for(1)
    assert texts(inbox) == ["hello again"]
    await bridge.close()


async def test_ids_that_begin_anew_while_it_runs_are_seen(api: FakeBotApi, inbox: MemoryInbox) -> None:
    bridge = telegram_bridge(api.url, poll_timeout_s=1)
    api.push_update({"update_id": 500_000, "message": api.world.typed(7, "one", sender=7, thread=None)})
    async with running(bridge, inbox):
        await inbox.wait_for(1)
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 3)
        assert "offset" not in api.calls("getUpdates")[2].params
        api.push_update({"update_id": 17, "message": api.world.typed(7, "two", sender=7, thread=None)})
        await inbox.wait_for(2)
    assert texts(inbox) == ["one", "two"]
    await bridge.close()


async def test_an_unreadable_update_is_kept_raw_and_the_ones_around_it_arrive(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    api.user_says(7, "before")
    broken = api.push_update({"message": {"message_id": "x", "chat": 5}})
    last = api.user_says(7, "after")
    async with running(bridge, inbox):
        await inbox.wait_for(3)
        await api.wait_until(lambda: api.pending() == 0)
    dead = [event for event in inbox.accepted if isinstance(event, Unreadable)]
    assert [event.id for event in dead] == [f"tg:{BOT}:{broken}"]
    assert '"message_id": "x"' in dead[0].raw
    assert texts(inbox) == ["before", "after"]
    assert inbox.cursors[KEY].split()[0] == str(last + 1)


async def test_updates_that_are_nothing_to_us_only_move_the_cursor(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    number = api.push_update({"a_kind_from_the_future": {"x": 1}})
    async with running(bridge, inbox):
        await inbox.wait_until(lambda: KEY in inbox.cursors)
        await api.wait_until(lambda: api.pending() == 0)
    assert inbox.accepted == []
    assert inbox.cursors[KEY].split()[0] == str(number + 1)


async def test_out_of_order_and_repeated_ids_give_each_message_once_in_order(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    for number, text in ((30, "c"), (10, "a"), (20, "b"), (20, "b")):
        message = api.world.typed(7, text, sender=7, thread=None)
        api.push_update({"update_id": number, "message": message})
    async with running(bridge, inbox):
        await inbox.wait_for(3)
    assert texts(inbox) == ["a", "b", "c"]
    assert inbox.cursors[KEY].split()[0] == "31"


async def test_a_hundred_updates_are_one_batch(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    for n in range(150):
        api.user_says(7, f"m{n}")
    async with running(bridge, inbox):
        await inbox.wait_for(150)
    assert [len(events) for events, _ in inbox.batches] == [100, 50]
    assert texts(inbox) == [f"m{n}" for n in range(150)]


async def test_an_album_with_our_name_in_its_caption_is_ours_as_a_whole(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    api.user_sends_album(-1001, 3, caption="@clawd_test_bot look", sender=42)
    api.user_sends_album(-1001, 2, caption="look", sender=42)
    async with running(bridge, inbox):
        await inbox.wait_for(5)
    assert [message.addressed for message in inbox.messages] == [True, True, True, False, False]
    assert [message.text for message in inbox.messages] == ["@clawd_test_bot look", "", "", "look", ""]


async def test_only_the_kinds_that_are_read_are_asked_for_in_every_request(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    async with running(bridge, inbox):
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 2)
    for call in api.calls("getUpdates"):
        assert call.params["allowed_updates"] == [
            "message",
            "edited_message",
            "callback_query",
            "my_chat_member",
            "stopped_message_generation",
        ]
        assert call.params["limit"] == 100


async def test_what_waits_is_not_dropped_when_a_webhook_is_taken_away(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    api.set_webhook("https://example.org/somebody")
    api.user_says(7, "waited")
    async with running(bridge, inbox):
        await inbox.wait_for(1)
    assert texts(inbox) == ["waited"]


# --- pushing back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal", [InboxFull(9, retry_after_s=3.0), JournalUnavailable("disk full", retry_after_s=3.0)]
)
async def test_a_full_inbox_leaves_the_offset_and_is_asked_again_later(
    api: FakeBotApi, inbox: MemoryInbox, refusal: InboxFull
) -> None:
    clock = ManualClock()
    bridge = telegram_bridge(api.url, clock=clock)
    inbox.refuse(refusal, refusal)
    api.user_says(7, "patience")
    async with running(bridge, inbox):
        for _ in range(2):
            await clock.sleeping()
            assert api.pending() == 1
            await clock.advance(2.5)
            assert inbox.accepted == []
            await clock.advance(0.6)
        await inbox.wait_for(1)
        await api.wait_until(lambda: api.pending() == 0)
    assert texts(inbox) == ["patience"]
    assert all("offset" not in call.params for call in api.calls("getUpdates")[:3])
    await bridge.close()


async def test_answers_that_come_at_once_do_not_make_it_spin(api: FakeBotApi, inbox: MemoryInbox) -> None:
    clock = ManualClock()
    bridge = telegram_bridge(api.url, clock=clock)
    api.long_polls = False
    async with running(bridge, inbox):
        for polls in range(2, 5):
            await clock.sleeping()
            assert len(api.calls("getUpdates")) == polls
            await clock.advance(1)
    await bridge.close()


# --- trouble ----------------------------------------------------------------------------------------------


async def failure(bridge: TelegramBridge, inbox: MemoryInbox, kind: type[Any] = BridgeNotReady) -> Any:
    """Run until the bridge gives up, and return its error."""
    state = Running(bridge, inbox)
    with pytest.raises(kind) as caught:
        async with asyncio.timeout(30):
            await state.run()
    return caught.value


@pytest.mark.parametrize("kind", ["500", "502", "garbage", "reset", "429-bare"])
@pytest.mark.parametrize("method", ["getMe", "deleteWebhook", "getUpdates"])
async def test_trouble_at_telegram_ends_the_run_at_once_for_the_supervisor(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox, method: str, kind: str
) -> None:
    api.fault(method, kind)
    await failure(bridge, inbox)
    assert len(api.calls(method)) == 1
    api.user_says(7, "back")
    async with running(bridge, inbox):
        await inbox.wait_for(1)


async def test_a_refused_connection_ends_the_run(
    bridge: TelegramBridge, api: FakeBotApi, inbox: MemoryInbox
) -> None:
    await api.stop()
    error = await failure(bridge, inbox)
    assert "Connect call failed" in error.why or "refused" in error.why.lower()


async def test_a_name_that_does_not_exist_ends_the_run(inbox: MemoryInbox) -> None:
    bridge = telegram_bridge("http://telegram.invalid")
    await failure(bridge, inbox)
    await bridge.close()


@pytest.mark.parametrize("wait_s", [0, 3, 3600])
async def test_a_wait_that_telegram_asks_for_is_passed_on(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox, wait_s: int
) -> None:
    api.fault("getUpdates", "429", retry_after=wait_s)
    assert (await failure(bridge, inbox)).retry_after_s == max(wait_s, 1)


async def test_fields_and_kinds_of_a_later_bot_api_cost_nothing(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    later = {"of_the_future": {"deep": [1]}}
    said = api.world.typed(7, "hello", sender=7, thread=None)
    for kind in ("guest_message", "managed_bot", "message_reaction", "channel_post"):
        api.push_update({kind: later})
    said |= {"from": said["from"] | later, "chat": said["chat"] | later, **later}
    api.push_update({"message": said, **later})
    async with running(bridge, inbox):
        await inbox.wait_for(1)
        await api.wait_until(lambda: not any("message" in update for update in api.world.queue))
    assert texts(inbox) == ["hello"]
    assert len(inbox.accepted) == 1


@pytest.mark.parametrize("method", ["getMe", "getUpdates"])
async def test_a_revoked_token_is_an_auth_error_with_a_remedy(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox, method: str
) -> None:
    api.fault(method, "401")
    error = await failure(bridge, inbox, BridgeAuthError)
    assert "BotFather" in error.remedy
    assert "bridges.telegram.token" in error.remedy
    api.user_says(7, "valid again")
    async with running(bridge, inbox):
        await inbox.wait_for(1)


async def test_a_token_revoked_while_it_runs_is_an_auth_error(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    async with asyncio.TaskGroup() as tasks:
        end = tasks.create_task(failure(bridge, inbox, BridgeAuthError))
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 2)
        api.revoke()
        api.user_says(7, "last")  # ends the long poll; the next request meets the 401
        await end
    assert texts(inbox) == ["last"]


async def rival_polls(api: FakeBotApi) -> None:
    """Ask for updates as another daemon with the same token would."""
    url = f"{api.url}/bot{TOKEN}/getUpdates"
    async with aiohttp.ClientSession() as session, session.post(url) as response:
        assert response.status == 200


async def test_a_second_poller_is_named_and_not_believed_gone_until_a_poll_has_held(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    state = Running(bridge, inbox)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(failure(bridge, inbox))
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 2)
        await rival_polls(api)
        error = await first
        assert "another poller or a webhook is active" in error.what
        assert "other getUpdates request" in error.why
        assert 5 <= error.retry_after_s <= 10

        again = tasks.create_task(failure(bridge, inbox))
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 4)
        assert api.calls("getUpdates")[-1].params["timeout"] == 10
        await rival_polls(api)
        await again

        state.task = tasks.create_task(state.run())
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 6)
        assert state.ready_count == 0
        api.user_says(7, "through")
        await inbox.wait_for(1)
        assert state.ready_count == 1
        state.task.cancel()


async def test_a_webhook_set_while_it_runs_is_named_and_taken_away_at_the_restart(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    async with asyncio.TaskGroup() as tasks:
        end = tasks.create_task(failure(bridge, inbox))
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 2)
        api.set_webhook("https://example.org/somebody")
        assert "setWebhook" in (await end).why
    api.user_says(7, "back")
    async with running(bridge, inbox):
        await inbox.wait_for(1)


async def test_a_stop_takes_no_time_although_a_long_poll_is_open(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    async with running(bridge, inbox) as state:
        await api.wait_until(lambda: len(api.calls("getUpdates")) == 2)
        assert api.calls("getUpdates")[1].params["timeout"] == 30
        assert state.ready_count == 1
        began = time.monotonic()
        await state.stop()
        assert time.monotonic() - began < 20, "not until the end of the poll"


async def test_a_restart_right_after_a_stop_is_not_hindered_by_its_own_old_poll(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    for _ in range(3):
        polls = len(api.calls("getUpdates"))
        async with running(bridge, inbox):
            await api.wait_until(lambda n=polls: len(api.calls("getUpdates")) == n + 2)  # type: ignore[misc]
    async with running(bridge, inbox):
        api.user_says(7, "hello")
        await inbox.wait_for(1)


async def test_the_probe_says_who_we_are(api: FakeBotApi, bridge: TelegramBridge) -> None:
    line = await bridge.probe()
    assert "@clawd_test_bot" in line
    assert str(BOT) in line
    api.revoke()
    with pytest.raises(BridgeAuthError):
        await bridge.probe()


async def test_a_message_is_read_as_a_person_wrote_it(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    api.user_says(-1001, "/new@clawd_test_bot now", sender=42, thread=5)
    async with running(bridge, inbox):
        (message,) = await inbox.wait_for(1)
    assert isinstance(message, InboundMessage)
    assert message.parts == (Text("/new now"),)
    assert str(message.address) == f"telegram:{BOT}:-1001:5"
    assert (message.sender.id, message.group, message.addressed) == ("42", True, True)


def test_the_fake_token_is_well_formed() -> None:
    assert len(TOKEN.partition(":")[2]) == 35
