"""Which messages of a group are for us, whose conversation they belong to, and what a new group is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridges.telegram.account import Account, Groups, topic_of
from bridges.telegram.inbound import read_batch, read_update
from bridges.telegram.joining import Joined, read_joined, words_for
from clawd.messages import Address, InboundMessage, MessageId, Moved
from tests.fakes.bot_api_world import natural_entities

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TEAM, OTHER = -1001, -1002


def account(*, sees_all: bool = True, **rules: Any) -> Account:
    return Account(bridge="tg", id=9, username="clawd_bot", sees_all=sees_all, groups=Groups(**rules))


def update(text: str, chat: int, *, sender: int = 42, **fields: Any) -> dict[str, Any]:
    message = {
        "message_id": 77,
        "from": {"id": sender, "is_bot": False, "first_name": "Anna"},
        "chat": {"id": chat, "type": "supergroup" if chat < 0 else "private", "title": "Team"},
        "date": 1_790_000_000,
        "text": text,
        "entities": natural_entities(text),
        **fields,
    }
    return {"update_id": 5, "message": message}


def read(us: Account, text: str, chat: int, **fields: Any) -> InboundMessage:
    event = read_update(update(text, chat, **fields), us, NOW)
    assert isinstance(event, InboundMessage)
    return event


def test_only_groups_that_are_allowed_are_read() -> None:
    us = account(allowed=frozenset({str(TEAM)}))
    assert read(us, "@clawd_bot hi", TEAM).addressed
    assert read_update(update("@clawd_bot hi", OTHER), us, NOW) is None
    assert read(us, "in private", 42).addressed


def test_where_nobody_has_to_name_us_everything_is_for_us_but_commands_to_others() -> None:
    us = account(unmentioned=frozenset({str(TEAM)}))
    assert read(us, "what time is it?", TEAM).addressed
    assert read(us, "/new", TEAM).addressed
    assert read(us, "ask @anybody_bot", TEAM).addressed
    assert not read(us, "/new@other_bot", TEAM).addressed
    assert read(us, "/new@clawd_bot", TEAM).addressed
    assert not read(us, "what time is it?", OTHER).addressed
    assert read(account(unmentioned=frozenset({"*"})), "hi", OTHER).addressed


def test_per_user_gives_each_person_in_a_group_a_conversation_which_answers_in_place() -> None:
    us = account(per_user=True)
    threads = {
        read(us, "hi", TEAM, sender=sender, **fields).address
        for sender in (42, 43)
        for fields in ({}, {"message_thread_id": 5, "is_topic_message": True})
    }
    assert {address.thread for address in threads} == {"@42", "@43", "5@42", "5@43"}
    assert {topic_of(address) for address in threads} == {None, 5}
    assert all(Address.parse(str(address)) == address for address in threads)
    assert read(us, "hi", 42).address.thread is None


def member(before: str, now: str, *, chat: int = TEAM, kind: str = "supergroup") -> dict[str, Any]:
    user = {"id": 9, "is_bot": True, "first_name": "Clawd"}
    return {
        "chat": {"id": chat, "type": kind, "title": "Team"},
        "from": {"id": 42, "is_bot": False, "first_name": "Anna", "language_code": "zh-hans"},
        "date": 1_790_000_000,
        "old_chat_member": {"status": before, "user": user},
        "new_chat_member": {"status": now, "user": user},
    }


@pytest.mark.parametrize(
    ("before", "now", "joined"),
    [
        ("left", "member", Joined(chat=TEAM, language="zh-hans", administrator=False)),
        ("kicked", "administrator", Joined(chat=TEAM, language="zh-hans", administrator=True)),
        ("member", "administrator", None),
        ("administrator", "member", None),
        ("member", "kicked", None),
        ("left", "restricted", None),
    ],
)
def test_being_added_is_told_from_other_changes(before: str, now: str, joined: Joined | None) -> None:
    assert read_joined(member(before, now), account()) == joined
    batch = read_batch([{"update_id": 8, "my_chat_member": member(before, now)}], account(), NOW)
    assert batch.joined == ((joined,) if joined else ())
    assert (batch.events, batch.next_offset) == ((), 9)


@pytest.mark.parametrize(
    "raw",
    [
        member("left", "member", kind="private"),
        member("left", "member", kind="channel"),
        member("left", "member", chat=OTHER),
        {"chat": 5},
        {},
        [],
        None,
        {**member("left", "member"), "new_chat_member": "member"},
        {**member("left", "member"), "old_chat_member": {"status": []}},
    ],
)
def test_nobody_is_greeted_elsewhere_and_nothing_strange_fails(raw: Any) -> None:
    assert read_joined(raw, account(allowed=frozenset({str(TEAM)}))) is None


@pytest.mark.parametrize(
    ("sees_all", "administrator", "unmentioned", "words"),
    [
        (False, False, (), "answer messages that name me (@clawd_bot)"),
        (True, True, (), "answer messages that name me (@clawd_bot)"),
        (False, False, (str(TEAM),), "privacy mode hides"),
        (False, True, (str(TEAM),), "I read every message"),
        (True, False, (str(TEAM),), "I read every message"),
    ],
)
def test_a_group_is_told_how_to_speak_to_us(
    sees_all: bool, administrator: bool, unmentioned: tuple[str, ...], words: str
) -> None:
    us = account(sees_all=sees_all, unmentioned=frozenset(unmentioned))
    assert words in words_for(Joined(chat=TEAM, language="en", administrator=administrator), us)


@pytest.mark.parametrize(
    ("chat", "fields"),
    [
        ({"id": -5, "type": "group", "title": "Team"}, {"migrate_to_chat_id": TEAM}),
        ({"id": TEAM, "type": "supergroup", "title": "Team"}, {"migrate_from_chat_id": -5}),
    ],
)
def test_both_messages_of_a_migration_say_where_the_group_went(
    chat: dict[str, Any], fields: dict[str, Any]
) -> None:
    us = account(allowed=frozenset({"-5"}))
    message = {"message_id": 1, "chat": chat, "date": 1_790_000_000, **fields}
    assert read_update({"update_id": 6, "message": message}, us, NOW) == Moved(
        id=MessageId("tg:9:6"), old=us.address("-5"), new=us.address(str(TEAM))
    )


@pytest.mark.parametrize("where", ["-1002", -5, True, None, {}])
def test_a_strange_migration_moves_nothing(where: Any) -> None:
    message = {"message_id": 1, "chat": {"id": -5, "type": "group"}, "date": 1, "migrate_to_chat_id": where}
    assert not isinstance(read_update({"update_id": 6, "message": message}, account(), NOW), Moved)
