"""Presses on the bridge's buttons: stored first, then always answered, and buttons that mislead go away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.conformance import MemoryInbox
from clawd.errors import JournalUnavailable
from clawd.messages import InboundControl, Refused, Replied
from clawd.testing import ManualClock
from tests.fakes.bot_api import FakeBotApi
from tests.fakes.telegram import outbound, running, telegram_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.telegram.bridge import TelegramBridge
    from tests.fakes.bot_api_world import SentMessage

CHAT = 7
GROUP = -1001
QUESTION = "approval:abcd1234-7-12-3"


@pytest.fixture
async def api() -> AsyncIterator[FakeBotApi]:
    async with FakeBotApi() as server:
        server.user_says(CHAT, "run it")
        yield server


@pytest.fixture
async def bridge(api: FakeBotApi) -> AsyncIterator[TelegramBridge]:
    bridge = telegram_bridge(api.url)
    yield bridge
    await bridge.close()


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


async def asked(api: FakeBotApi, bridge: TelegramBridge, chat: int = CHAT) -> SentMessage:
    """Ask a question, and return the message as it stands in the chat."""
    await bridge.send(outbound("May I?", chat=chat, question=QUESTION))
    return api.sent(chat)[-1]


def answer(inbox: MemoryInbox) -> InboundControl:
    (control,) = [event for event in inbox.accepted if isinstance(event, InboundControl)]
    return control


async def test_a_press_is_stored_then_answered_in_words_and_its_buttons_go(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    inbox.answers[QUESTION] = Replied(text="Allowed.")
    question = await asked(api, bridge)
    query = api.press(CHAT, question.message_id, "Always")
    async with running(bridge, inbox):
        await api.wait_until(lambda: api.answers() == {query: "Allowed."} and not question.keyboard)
        control = answer(inbox)
    assert (control.kind, control.question, control.always) == ("approve", QUESTION, "")
    assert (control.sender.id, control.address.chat) == ("7", "7")
    assert question.text == "May I?"


async def test_nothing_is_answered_before_it_is_stored(api: FakeBotApi, inbox: MemoryInbox) -> None:
    clock = ManualClock()
    bridge = telegram_bridge(api.url, clock=clock)
    question = await asked(api, bridge)
    inbox.refuse(JournalUnavailable("disk full", retry_after_s=3.0))
    api.press(CHAT, question.message_id, "Yes")
    async with running(bridge, inbox):
        await clock.sleeping()
        assert not api.calls("answerCallbackQuery")
        assert question.keyboard
        await clock.advance(3.1)
        await api.wait_until(lambda: api.answers() and not question.keyboard)
    await bridge.close()


async def test_who_may_not_answer_is_told_alone_and_leaves_the_buttons(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    api.user_says(GROUP, "run it", sender=42)
    question = await asked(api, bridge, GROUP)
    for refusal in (Refused(reason="not_yours", text="Only who asked."), Refused(reason="stranger")):
        inbox.answers[QUESTION] = refusal
        query = api.press(GROUP, question.message_id, "Yes", sender=666)
        async with running(bridge, inbox):
            await api.wait_until(lambda query=query: query in api.answers())  # type: ignore[misc]
        assert api.answers()[query] == refusal.text
    assert question.keyboard
    assert not api.calls("editMessageReplyMarkup")
    assert len(api.sent(GROUP)) == 1


async def test_a_press_on_a_question_that_is_closed_takes_the_buttons_away(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    """As after a crash between the storing and the answer, or when it was answered in words."""
    inbox.answers[QUESTION] = Replied(text="There is no open question.")
    question = await asked(api, bridge)
    first = api.press(CHAT, question.message_id, "Yes")
    async with running(bridge, inbox):
        await api.wait_until(lambda: first in api.answers() and not question.keyboard)
        again = api.press(CHAT, question.message_id, "Yes", stale=True)  # a client that has not heard of it
        await api.wait_until(lambda: len(api.calls("editMessageReplyMarkup")) == 2 and again in api.answers())
    assert set(api.answers().values()) == {"There is no open question."}


async def test_a_press_that_comes_again_is_answered_without_words_and_means_nothing_new(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    inbox.answers[QUESTION] = Replied(text="Allowed.")
    question = await asked(api, bridge)
    api.press(CHAT, question.message_id, "Yes")
    (press,) = [update for update in api.world.queue if "callback_query" in update]
    async with running(bridge, inbox):
        await api.wait_until(lambda: len(api.answers()) == 1)
    inbox.cursors.clear()
    again = dict(press, callback_query=press["callback_query"] | {"id": "again"})
    api.world.queries.add("again")
    api.push_update(again)
    async with running(bridge, inbox):
        await api.wait_until(lambda: "again" in api.answers())
    assert api.answers()["again"] == ""
    answer(inbox)


async def test_other_presses_are_answered_and_nothing_else(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    old = {"chat": api.world.chat(CHAT).as_json(), "message_id": 3, "date": 0}
    queries = [
        api.press_raw(666, "somebody else's"),
        api.press_raw(CHAT, "a:abcd1234-7-12-3", message=old),
        api.press_raw(CHAT, "a:abcd1234-7-12-3"),
    ]
    async with running(bridge, inbox):
        await api.wait_until(lambda: set(api.answers()) == set(queries))
        assert not [event for event in inbox.accepted if isinstance(event, InboundControl)]
        await api.wait_until(lambda: api.pending() == 0)
    assert set(api.answers().values()) == {""}
    assert not api.calls("editMessageReplyMarkup")


async def test_long_words_are_cut_to_what_telegram_shows(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    inbox.answers[QUESTION] = Replied(text="😀" * 150)
    question = await asked(api, bridge)
    query = api.press(CHAT, question.message_id, "No")
    async with running(bridge, inbox):
        await api.wait_until(lambda: api.answers())
    assert api.answers()[query] == "😀" * 100


@pytest.mark.parametrize("kind", ["429", "400", "403", "500", "502", "garbage", "reset", "401"])
@pytest.mark.parametrize("method", ["answerCallbackQuery", "editMessageReplyMarkup"])
async def test_trouble_with_the_answer_costs_neither_the_batch_nor_the_connection(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox, method: str, kind: Any
) -> None:
    question = await asked(api, bridge)
    api.fault(method, kind, retry_after=3600)
    api.press(CHAT, question.message_id, "Yes")
    async with running(bridge, inbox) as state:
        await api.wait_until(lambda: api.calls(method))
        api.user_says(CHAT, "still here")
        await inbox.wait_until(lambda: [m.text for m in inbox.messages][-1:] == ["still here"])
        assert state.ready_count
    answer(inbox)
    other = {"answerCallbackQuery", "editMessageReplyMarkup"} - {method}
    assert [call.outcome for call in api.calls(other.pop())] == ["ok"]


async def test_a_query_that_is_too_old_is_no_trouble(
    api: FakeBotApi, bridge: TelegramBridge, inbox: MemoryInbox
) -> None:
    question = await asked(api, bridge)
    api.press(CHAT, question.message_id, "Yes")
    api.expire_queries()
    async with running(bridge, inbox):
        await api.wait_until(lambda: not question.keyboard)
        api.user_says(CHAT, "still here")
        await inbox.wait_until(lambda: len(inbox.messages) == 2)
    answer(inbox)


async def test_an_answer_that_hangs_holds_up_the_others_no_longer_than_its_time(
    api: FakeBotApi, inbox: MemoryInbox
) -> None:
    bridge = telegram_bridge(api.url, request_timeout_s=1)
    question = await asked(api, bridge)
    for method in ("answerCallbackQuery", "editMessageReplyMarkup"):
        api.fault(method, "hang", count=2)
    for _ in range(2):
        api.press(CHAT, question.message_id, "Yes")
    async with running(bridge, inbox):
        await api.wait_until(lambda: len(api.calls("answerCallbackQuery")) == 2)
        api.user_says(CHAT, "still here")
        async with asyncio.timeout(4):  # both, and both methods of each, side by side
            await inbox.wait_until(lambda: len(inbox.messages) == 2)
    await bridge.close()
