"""Updates as the Bot API sends them, read into events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.telegram.account import Account
from bridges.telegram.inbound import read_batch, read_update
from bridges.telegram.presses import Press
from bridges.telegram.units import utf16_len
from clawd.messages import (
    SPLIT_TEXT,
    Address,
    Audio,
    Edited,
    File,
    Image,
    InboundMessage,
    Sender,
    Text,
    Unreadable,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
US = Account(bridge="tg", id=123456789, username="Clawd_Bot")
ANNA = {"id": 42, "is_bot": False, "first_name": "Anna", "last_name": "Li", "language_code": "zh-hans"}
PRIVATE = {"id": 42, "first_name": "Anna", "type": "private"}
GROUP = {"id": -1001234567890, "title": "Team", "type": "supergroup", "is_forum": True}
OURSELVES = {"id": 123456789, "is_bot": True, "first_name": "Clawd", "username": "Clawd_Bot"}


def message(**fields: Any) -> dict[str, Any]:
    """A message of Anna's in private, with other fields on request."""
    base = {"message_id": 77, "from": ANNA, "chat": PRIVATE, "date": 1_790_000_000}
    return {"update_id": 5001, "message": {**base, **fields}}


def read(**fields: Any) -> InboundMessage:
    event = read_update(message(**fields), US, NOW)
    assert isinstance(event, InboundMessage)
    return event


def test_a_text_becomes_a_message() -> None:
    assert read(text="hello 😀") == InboundMessage(
        id="tg:123456789:5001",  # type: ignore[arg-type]
        address=Address(bridge="tg", account="123456789", chat="42"),
        sender=Sender(id="42", name="Anna Li", language="zh-hans"),
        parts=(Text("hello 😀"),),
        sent_at=datetime.fromtimestamp(1_790_000_000, UTC),
        group=False,
        addressed=True,
        reference="77",
    )


PHOTO = [
    {"file_id": "small", "file_unique_id": "a", "width": 90, "height": 60, "file_size": 1000},
    {"file_id": "large", "file_unique_id": "b", "width": 1280, "height": 853, "file_size": 99000},
    {"file_id": "medium", "file_unique_id": "c", "width": 320, "height": 213, "file_size": 9000},
]
VOICE = {"file_id": "v", "file_unique_id": "v", "duration": 3, "mime_type": "audio/ogg", "file_size": 5000}
DOCUMENT = {"file_id": "d", "file_unique_id": "d", "file_name": "a.pdf", "mime_type": "application/pdf"}
VIDEO = {"file_id": "w", "file_unique_id": "w", "width": 1, "height": 1, "duration": 2, "file_name": "w.mp4"}
NOTE = {"file_id": "n", "file_unique_id": "n", "length": 240, "duration": 2, "file_size": 7}
STICKER = {
    "file_id": "s",
    "file_unique_id": "s",
    "type": "regular",
    "width": 512,
    "height": 512,
    "is_animated": False,
    "is_video": False,
    "emoji": "👍",
}
POLL = {
    "id": "1",
    "question": "Tea?",
    "options": [
        {"text": "yes", "voter_count": 0, "persistent_id": "a"},
        {"text": "no", "voter_count": 0, "persistent_id": "b"},
    ],
    "total_voter_count": 0,
    "is_closed": False,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
}


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"photo": PHOTO}, (Image(ref="large", mime="image/jpeg", size=99000),)),
        (
            {"photo": PHOTO, "caption": "look"},
            (Text("look"), Image(ref="large", mime="image/jpeg", size=99000)),
        ),
        ({"voice": VOICE}, (Audio(ref="v", mime="audio/ogg", size=5000, duration_s=3.0),)),
        (
            {"audio": {**VOICE, "file_id": "a"}},
            (Audio(ref="a", mime="audio/ogg", size=5000, duration_s=3.0),),
        ),
        ({"document": DOCUMENT}, (File(ref="d", name="a.pdf", mime="application/pdf"),)),
        ({"animation": VIDEO, "document": DOCUMENT}, (File(ref="w", name="w.mp4"),)),
        ({"video": VIDEO}, (File(ref="w", name="w.mp4"),)),
        ({"video_note": NOTE}, (File(ref="n", mime="video/mp4", size=7),)),
        ({"sticker": STICKER}, (Text("👍"), Image(ref="s", mime="image/webp"))),
        ({"sticker": {**STICKER, "is_animated": True}}, (Text("👍"),)),
        ({"location": {"latitude": 1.5, "longitude": 2.5}}, (Text("(1.5, 2.5)"),)),
        ({"contact": {"phone_number": "+123", "first_name": "Bo"}}, (Text("Bo: +123"),)),
        ({"dice": {"emoji": "🎲", "value": 4}}, (Text("🎲 4"),)),
        ({"poll": POLL}, (Text("Tea?\n- yes\n- no"),)),
    ],
)
def test_everything_a_person_can_send_becomes_parts(fields: dict[str, Any], parts: tuple[Any, ...]) -> None:
    assert read(**fields).parts == parts


@pytest.mark.parametrize(
    "fields",
    [
        {"new_chat_members": [ANNA]},
        {"group_chat_created": True},
        {"text": "x", "from": {**ANNA, "is_bot": True}},
        {"text": "x", "from": OURSELVES},
        {"text": "x", "from": None},
        {"text": "x", "chat": {"id": -1009, "type": "channel", "title": "News"}},
        {
            "text": "x",
            "chat": GROUP,
            "sender_chat": {"id": -9, "type": "channel"},
            "is_automatic_forward": True,
        },
    ],
)
def test_service_messages_bots_and_channels_are_nothing_to_us(fields: dict[str, Any]) -> None:
    assert read_update(message(**fields), US, NOW) is None


@pytest.mark.parametrize(
    "update",
    [
        {"update_id": 1, "edited_message": message(text="x")["message"]},
        {"update_id": 1, "my_chat_member": {"broken": True}},
        {"update_id": 1, "kind_from_the_future": 3},
        {"update_id": 1},
    ],
)
def test_other_kinds_are_nothing_to_us_however_they_look(update: Any) -> None:
    assert read_update(update, US, NOW) is None


def test_an_anonymous_admin_is_known_by_the_chat_that_speaks() -> None:
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    event = read(text="x", chat=GROUP, sender_chat=GROUP, **{"from": anonymous})
    assert event.sender == Sender(id="-1001234567890", name="Team")


# --- pieces of one message ---------------------------------------------------------------------------------


def test_the_pieces_of_an_album_carry_its_id_and_each_its_own_caption() -> None:
    album = [
        read(photo=PHOTO, media_group_id="13579246801234567", caption="look", message_id=77),
        read(video=VIDEO, media_group_id="13579246801234567", message_id=78),
    ]
    assert [message.piece_of for message in album] == ["13579246801234567"] * 2
    assert [message.text for message in album] == ["look", ""]


# What the apps make of a text of three paragraphs that is too long for one message. Telegram Desktop cuts
# behind the last paragraph in the second half, iOS behind the last line or sentence, Android at the limit.
PARAGRAPHS = ("first " * 350).strip(), ("second " * 400).strip(), ("third " * 200).strip()
LONG = "\n\n".join(PARAGRAPHS)


@pytest.mark.parametrize(
    ("app", "piece"),
    [
        ("desktop", PARAGRAPHS[0]),
        ("ios", PARAGRAPHS[0]),
        ("android", LONG[:4096]),
        ("emoji, 2 units each", "😀" * 2048),
    ],
)
def test_a_text_that_may_go_on_is_marked(app: str, piece: str) -> None:
    assert 2000 <= utf16_len(piece) <= 4096
    assert read(text=piece).piece_of == SPLIT_TEXT


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "hello"},
        {"text": "x" * 1999},
        {"text": "😀" * 999},
        {"photo": PHOTO, "caption": "x" * 1024},
    ],
)
def test_other_messages_are_whole(fields: dict[str, Any]) -> None:
    assert read(**fields).piece_of is None


def test_a_long_text_of_an_album_belongs_to_the_album() -> None:
    assert read(photo=PHOTO, media_group_id="135", caption="x" * 4096).piece_of == "135"


# --- groups -----------------------------------------------------------------------------------------------


def entity(kind: str, offset: int, length: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": kind, "offset": offset, "length": length, **fields}]


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "@clawd_bot hi", "entities": entity("mention", 0, 10)},
        {"text": "😀 @CLAWD_BOT", "entities": entity("mention", 3, 10)},
        {"text": "Clawd hi", "entities": entity("text_mention", 0, 5, user=OURSELVES)},
        {"text": "/new@clawd_bot", "entities": entity("bot_command", 0, 14)},
        {"photo": PHOTO, "caption": "@clawd_bot", "caption_entities": entity("mention", 0, 10)},
        {"text": "why?", "reply_to_message": {**message(text="x")["message"], "from": OURSELVES}},
    ],
)
def test_in_a_group_a_mention_a_reply_or_a_command_to_us_addresses_us(fields: dict[str, Any]) -> None:
    event = read(chat=GROUP, **fields)
    assert event.group
    assert event.addressed


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "hi all"},
        {"text": "@other_bot hi", "entities": entity("mention", 0, 10)},
        {"text": "@clawd_bot"},  # no entity: part of an address or of code
        {"text": "/new", "entities": entity("bot_command", 0, 4)},
        {"text": "/new@other_bot", "entities": entity("bot_command", 0, 14)},
        {"text": "Anna hi", "entities": entity("text_mention", 0, 4, user=ANNA)},
        {"text": "why?", "reply_to_message": message(text="x")["message"]},
        {
            "text": "in our topic",
            "reply_to_message": {
                **message(text=None)["message"],
                "from": OURSELVES,
                "forum_topic_created": {"name": "News", "icon_color": 1},
            },
        },
    ],
)
def test_in_a_group_all_else_is_not_for_us(fields: dict[str, Any]) -> None:
    event = read(chat=GROUP, **fields)
    assert event.group
    assert not event.addressed


@pytest.mark.parametrize(
    ("text", "length", "read_as"),
    [
        ("/new@clawd_bot", 14, "/new"),
        ("/model@CLAWD_BOT big one", 16, "/model big one"),
        ("/new@other_bot", 14, "/new@other_bot"),
        ("/new", 4, "/new"),
    ],
)
def test_a_command_loses_our_name_and_no_other(text: str, length: int, read_as: str) -> None:
    assert read(text=text, entities=entity("bot_command", 0, length)).text == read_as


def test_a_topic_is_a_thread_and_a_chain_of_replies_is_not() -> None:
    assert read(text="x", chat=GROUP, message_thread_id=9, is_topic_message=True).address.thread == "9"
    assert read(text="x", chat=GROUP, message_thread_id=9).address.thread is None
    assert read(text="x", message_thread_id=9, is_topic_message=True).address.thread == "9"


# --- what can't be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "key"),
    [
        ({"update_id": 9, "message": {"message_id": "?"}}, "9"),
        ({"update_id": 9, "message": None}, None),
        ({"update_id": 9, "message": "text"}, "9"),
        ({"update_id": 9, "message": {**message(text="x")["message"], "chat": {"id": {}}}}, "9"),
        (message(text="\ud83d"), "5001"),
    ],
)
def test_a_message_that_is_none_is_kept_raw(update: Any, key: str | None) -> None:
    event = read_update(update, US, NOW)
    if key is None:
        assert event is None
        return
    assert isinstance(event, Unreadable)
    assert event.id == f"tg:123456789:{key}"
    assert event.bridge == "tg"
    assert json.loads(event.raw) == update
    assert event.why


@pytest.mark.parametrize("update", [None, 5, "x", [], {}, {"update_id": "7"}, {"update_id": True}])
def test_what_has_no_id_is_kept_under_its_digest(update: Any) -> None:
    first, again = read_update(update, US, NOW), read_update(update, US, NOW)
    assert isinstance(first, Unreadable)
    assert first == again
    assert first.why == "no update_id"


def test_of_a_huge_update_64_kilobytes_are_kept() -> None:
    event = read_update({"update_id": 1, "message": {"x": "y" * 200_000}}, US, NOW)
    assert isinstance(event, Unreadable)
    assert len(event.raw) == 64 * 1024


def test_a_part_that_is_not_read_can_not_cost_a_message() -> None:
    old = {**message(text="x")["message"], "poll": {"id": "of an older Bot API"}}
    event = read(text="hello", giveaway={"broken": 1}, reply_to_message=old, quote="?", web_app_data=[])
    assert event.text == "hello"


def test_an_error_does_not_repeat_what_the_person_wrote() -> None:
    event = read_update({"update_id": 1, "message": {"text": ["secret words"]}}, US, NOW)
    assert isinstance(event, Unreadable)
    assert "secret words" not in event.why


def test_a_batch_is_sorted_and_names_the_next_offset() -> None:
    updates = [
        {**message(text=text), "update_id": number} for number, text in ((12, "c"), (10, "a"), (11, "b"))
    ]
    updates.append({"update_id": 13, "callback_query": {"id": "q", "data": 5}})
    batch = read_batch(updates, US, NOW)
    assert [event.text for event in batch.events if isinstance(event, InboundMessage)] == ["a", "b", "c"]
    assert batch.next_offset == 14
    assert batch.presses == (Press(query="q"),)


def test_a_batch_without_any_id_names_no_offset() -> None:
    assert read_batch([{"message": {}}, None], US, NOW).next_offset is None


KEYS = [
    *("update_id", "message", "chat", "from", "text", "date", "entities", "photo", "id", "type", "offset"),
    *("callback_query", "message_id", "reply_to_message", "length", "sender_chat", "is_bot", "first_name"),
    "data",
]
json_values = st.recursive(
    st.none()
    | st.just("a:abcd1234-7-12-3")
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(json_values, max_size=4))
def test_no_batch_whatever_is_in_it_breaks_the_reading(updates: list[Any]) -> None:
    batch = read_batch(updates, US, NOW)
    assert all(event.id.startswith("tg:123456789:") for event in batch.events)


def test_an_edit_is_the_message_anew_with_the_time_of_its_edit() -> None:
    said = message(text="better", edit_date=1_790_000_060)["message"]
    event = read_update({"update_id": 8, "edited_message": said}, US, NOW)
    assert isinstance(event, Edited)
    assert event.id == event.message.id == "tg:123456789:8"
    assert (event.message.text, event.message.reference) == ("better", "77")
    assert event.message.sent_at == datetime.fromtimestamp(1_790_000_060, UTC)


@pytest.mark.parametrize("edit_date", [None, "soon", -1, 10**15])
def test_an_edit_of_no_known_time_is_nothing_to_us(edit_date: Any) -> None:
    said = message(text="x", edit_date=edit_date)["message"]
    assert read_update({"update_id": 8, "edited_message": said}, US, NOW) is None
