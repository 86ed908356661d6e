"""Callback queries as the Bot API sends them, read into answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridges.telegram.account import Account
from bridges.telegram.inbound import read_batch, read_update
from bridges.telegram.presses import Press
from clawd.messages import Address, InboundControl, Sender, Unreadable

NOW = datetime(2026, 11, 1, tzinfo=UTC)
US = Account(bridge="tg", id=123456789, username="Clawd_Bot")
ANNA = {"id": 42, "is_bot": False, "first_name": "Anna", "last_name": "Li", "language_code": "zh-hans"}
OURSELVES = {"id": 123456789, "is_bot": True, "first_name": "Clawd", "username": "Clawd_Bot"}
PRIVATE = {"id": 42, "first_name": "Anna", "type": "private"}
FORUM = {"id": -1001234567890, "title": "Team", "type": "supergroup", "is_forum": True}
YES = "a:abcd1234-7-12-3"


def press(**fields: Any) -> dict[str, Any]:
    """Anna presses a button under a message of ours in private, with other fields on request."""
    shown = {
        "message_id": 88,
        "from": OURSELVES,
        "chat": PRIVATE,
        "date": 1_790_000_000,
        "text": "May I run this?\nls",
        "entities": [{"type": "pre", "offset": 16, "length": 2}],
        "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": YES}]]},
    }
    base = {"id": "4382bfdwdsb323b2d9", "from": ANNA, "message": shown, "chat_instance": "-3", "data": YES}
    return {"update_id": 5001, "callback_query": {**base, **fields}}


def elsewhere(**fields: Any) -> dict[str, Any]:
    """The message of a press, with other fields."""
    message: dict[str, Any] = press()["callback_query"]["message"]
    return {**message, **fields}


def read(**fields: Any) -> InboundControl:
    event = read_update(press(**fields), US, NOW)
    assert isinstance(event, InboundControl)
    return event


def test_a_press_becomes_an_answer_by_who_pressed_where_the_question_stands() -> None:
    assert read() == InboundControl(
        id="tg:123456789:5001",  # type: ignore[arg-type]
        address=Address(bridge="tg", account="123456789", chat="42"),
        sender=Sender(id="42", name="Anna Li", language="zh-hans"),
        kind="approve",
        question="approval:abcd1234-7-12-3",  # type: ignore[arg-type]
        sent_at=NOW,
    )


@pytest.mark.parametrize(
    ("letter", "kind", "always"), [("a", "approve", None), ("w", "approve", ""), ("d", "deny", None)]
)
def test_each_button_means_what_it_says(letter: str, kind: str, always: str | None) -> None:
    event = read(data=f"{letter}:abcd1234-7-12-3")
    assert (event.kind, event.always) == (kind, always)


def test_in_a_forum_the_answer_belongs_to_the_topic_and_to_who_pressed() -> None:
    bo = {"id": 43, "is_bot": False, "first_name": "Bo"}
    event = read(message=elsewhere(chat=FORUM, message_thread_id=9, is_topic_message=True), **{"from": bo})
    assert event.address == Address(bridge="tg", account="123456789", chat="-1001234567890", thread="9")
    assert event.sender == Sender(id="43", name="Bo")
    assert read(message=elsewhere(chat=FORUM, message_thread_id=9)).address.thread is None


@pytest.mark.parametrize(
    "fields",
    [
        {"data": "game over"},
        {"data": None, "game_short_name": "chess"},
        {"message": {"chat": PRIVATE, "message_id": 88, "date": 0}},  # too old
        {"message": None, "inline_message_id": "77"},
        {"message": None},
    ],
)
def test_what_is_nothing_to_us_is_only_answered(fields: dict[str, Any]) -> None:
    batch = read_batch([press(**fields)], US, NOW)
    assert batch.events == ()
    assert batch.presses == (Press(query="4382bfdwdsb323b2d9"),)
    assert batch.next_offset == 5002


def test_an_answer_names_its_event_and_the_message_that_its_buttons_are_under() -> None:
    batch = read_batch([press()], US, NOW)
    event = batch.events[0].id
    assert batch.presses == (Press(query="4382bfdwdsb323b2d9", event=event, chat=42, message=88),)


@pytest.mark.parametrize(
    "fields",
    [
        {"from": None},
        {"from": {"id": "?"}},
        {"message": elsewhere(chat={"id": {}})},
        {"message": elsewhere(message_id=None)},
        {"from": {**ANNA, "first_name": "\ud83d"}},
    ],
)
def test_an_answer_that_can_not_be_read_is_kept_raw_and_still_answered(fields: dict[str, Any]) -> None:
    batch = read_batch([press(**fields)], US, NOW)
    (event,) = batch.events
    assert isinstance(event, Unreadable)
    assert batch.presses == (Press(query="4382bfdwdsb323b2d9"),)


def test_a_part_that_is_not_read_can_not_cost_an_answer() -> None:
    event = read(message=elsewhere(poll={"id": "of an older Bot API"}, reply_markup=5, entities="?"), new=[])
    assert event.kind == "approve"


@pytest.mark.parametrize("query", [None, "", 7, {}])
def test_a_query_without_an_id_can_not_be_answered(query: Any) -> None:
    assert read_batch([press(id=query, data="x")], US, NOW).presses == ()
