"""Callbacks become messages, or are kept as they came; nothing a platform can send breaks that."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridges.wecom.account import Account, ReplyTo
from bridges.wecom.events import Entered, Event, Feedback, Kicked, Press, read_event
from bridges.wecom.frames import BadFrame, read_frame
from bridges.wecom.inbound import read_message
from bridges.wecom.reference import media_ref, read_ref
from clawd.messages import Earlier, File, Image, InboundControl, InboundMessage, Text, Unreadable
from tests import seeds
from tests.fakes.wecom import ACCOUNT, NOW, frame
from tests.fakes.wecom_api import BOT_ID

KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"  # 20..3f, without its padding
URL = "https://files.example/f?sign=abc"
REF = media_ref(URL, KEY) or ""


def body(content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "msgid": "CAIQ1",
        "aibotid": BOT_ID,
        "chattype": "single",
        "from": {"userid": "zhangsan"},
        **content,
        **more,
    }


def text(content: str, **more: Any) -> dict[str, Any]:
    return body({"msgtype": "text", "text": {"content": content}}, **more)


GROUP = {"chattype": "group", "chatid": "wrGroup1"}


def message(content: dict[str, Any], account: Account = ACCOUNT) -> InboundMessage:
    read = read_message(frame(content), account, NOW)
    assert isinstance(read, InboundMessage), read
    return read


def why(content: Any) -> str:
    read = read_message(frame(content), ACCOUNT, NOW)
    assert isinstance(read, Unreadable)
    return read.why


# --- messages ---------------------------------------------------------------------------------------------


def test_a_text_has_its_sender_address_time_and_what_its_answer_needs() -> None:
    sent = NOW - timedelta(seconds=3)
    read = message(
        text("你好 😀", create_time=int(sent.timestamp()), response_url="https://example.invalid/r")
    )
    assert read.id == f"wecom:{BOT_ID}:CAIQ1"
    assert read.address == ACCOUNT.address_of("zhangsan")
    assert (read.sender.id, read.parts, read.sent_at) == ("zhangsan", (Text("你好 😀"),), sent)
    assert (read.group, read.addressed) == (False, True)
    reply = ReplyTo.parse(read.reference)
    assert reply is not None
    assert (reply.req_id, reply.received_ms) == ("req-1", int(NOW.timestamp() * 1000))
    assert "example.invalid" not in repr(read), "a code that lets anybody answer"


@pytest.mark.parametrize("at", [None, "yesterday", 0, 10**12, pytest.param(10**400, id="huge"), -5, 1.5])
def test_a_time_that_can_not_be_true_is_not_believed(at: object) -> None:
    assert message(text("x", create_time=at)).sent_at == NOW


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("@Bot hello", "hello"),
        ("@Bot\u2005/new", "/new"),
        ("  @Bot   two words", "two words"),
        ("hello @Bot", "hello @Bot"),
        ("@Bot", "@Bot"),
        ("@Bot line\nline", "line\nline"),
    ],
)
def test_in_a_group_the_name_in_front_is_no_part_of_what_is_said(said: str, understood: str) -> None:
    read = message(text(said, **GROUP))
    assert (read.text, read.group, read.address.chat) == (understood, True, "wrGroup1")


def test_a_name_of_several_words_is_known_from_the_configuration() -> None:
    named = Account(bridge="wecom", bot_id=BOT_ID, bot_name="My Bot")
    assert message(text("@My Bot hello", **GROUP), named).text == "hello"


def test_in_private_a_name_in_front_stays() -> None:
    assert message(text("@someone said it")).text == "@someone said it"


def test_a_voice_message_is_what_the_platform_understood() -> None:
    read = message(body({"msgtype": "voice", "voice": {"content": "turn on the light"}}))
    assert read.parts == (Text("turn on the light"),)


def test_files_are_named_by_what_fetches_and_opens_them() -> None:
    place = {"url": URL, "aeskey": KEY}
    assert message(body({"msgtype": "image", "image": place})).parts == (Image(ref=REF),)
    assert message(body({"msgtype": "file", "file": {**place, "filename": "a.pdf"}})).parts == (
        File(ref=REF, name="a.pdf"),
    )
    assert message(body({"msgtype": "video", "video": place})).parts == (File(ref=REF, mime="video/mp4"),)
    opened = read_ref(REF)
    assert opened is not None
    assert (opened.url, opened.key) == (URL, bytes(range(0x20, 0x40)))
    assert URL not in f"{opened!r}{REF}"
    assert KEY not in f"{opened!r}{REF}"


def test_a_mixed_message_keeps_the_order_of_its_parts() -> None:
    image = {"msgtype": "image", "image": {"url": URL, "aeskey": KEY + "="}}
    items = [image, {"msgtype": "text", "text": {"content": "@Bot what is @this"}}, image]
    read = message(body({"msgtype": "mixed", "mixed": {"msg_item": items}}, **GROUP))
    assert [type(part) for part in read.parts] == [Image, Text, Image]
    assert read.text == "what is @this"


def test_what_is_quoted_goes_in_front_and_makes_no_command() -> None:
    quote = {"msgtype": "text", "text": {"content": "one\n/stop"}}
    read = message(text("/new", quote=quote))
    assert read.text == "/new"
    assert read.context == (Earlier(role="user", text="> one\n> /stop"),)


def test_a_quoted_picture_comes_along_and_a_quote_that_is_none_spoils_nothing() -> None:
    picture = {"msgtype": "image", "image": {"url": URL, "aeskey": KEY}}
    assert message(text("what is this?", quote=picture)).parts == (Text("what is this?"), Image(ref=REF))
    odds: list[Any] = [
        {"msgtype": "location"},
        {"msgtype": "text"},
        [],
        "x",
        {"msgtype": "image", "image": {}},
    ]
    for odd in odds:
        read = message(text("hello", quote=odd))
        assert (read.parts, read.context) == ((Text("hello"),), None)


# --- what can't be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "msgid"),
        (text("x", msgid=""), "msgid"),
        (text("x", msgid="a b"), "msgid"),
        (text("x", msgid=7), "msgid"),
        (text("x", aibotid="another"), "another bot"),
        (text("x", **{"from": {}}), "sender"),
        (text("x", **{"from": "zhangsan"}), "from"),
        (text("x", **{"from": {"userid": "a\nb"}}), "sender"),
        (text("x", chattype="group"), "chatid"),
        (text("x", chattype="other"), "chattype"),
        (text("   "), "nothing"),
        (body({"msgtype": "text"}), "text"),
        (body({"msgtype": "text", "text": {"content": 5}}), "content"),
        (body({"msgtype": "location", "location": {}}), "kind"),
        (body({"msgtype": "stream", "stream": {"id": "s"}}), "kind"),
        (body({"msgtype": "mixed", "mixed": {"msg_item": []}}), "mixed"),
        (body({"msgtype": "mixed", "mixed": {"msg_item": [{"msgtype": "mixed"}]}}), "kind"),
        (body({"msgtype": "image", "image": {"url": URL}}), "aeskey"),
        (body({"msgtype": "image", "image": {"url": "file:///etc/passwd", "aeskey": KEY}}), "no use"),
        (body({"msgtype": "image", "image": {"url": URL, "aeskey": "c2hvcnQ="}}), "no use"),
    ],
)
def test_what_is_no_message_is_kept_as_it_came(content: dict[str, Any], reason: str) -> None:
    read = read_message(frame(content), ACCOUNT, NOW)
    assert isinstance(read, Unreadable)
    assert reason in read.why
    assert json.loads(read.raw) == content
    assert read.id == read_message(frame(content), ACCOUNT, NOW).id, "the same again is the same"


def test_of_a_huge_one_the_beginning_is_kept() -> None:
    read = read_message(frame(body({"msgtype": "x", "x": "字" * 100_000})), ACCOUNT, NOW)
    assert isinstance(read, Unreadable)
    assert len(read.raw.encode()) <= 64 * 1024


# --- frames -----------------------------------------------------------------------------------------------


def test_raw_control_characters_are_taken_out_before_a_frame_is_read() -> None:
    raw = '{"cmd":"aibot_msg_callback",\x00"headers":{"req_id":"r"},\x1b"body":{"a":"x\x07y\r"}}'
    assert read_frame(raw).body == {"a": "xy"}


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "no",
        "[]",
        "null",
        "[" * 10000,
        '{"headers":{}}',
        '{"headers":{"req_id":5}}',
        '{"headers":{"req_id":"r"},"body":[]}',
        '{"headers":{"req_id":"r"},"cmd":5}',
        '{"headers":{"req_id":"r"},"errcode":"0"}',
        '{"headers":{"req_id":"' + "r" * 300 + '"}}',
        '{"cmd":"aibot_msg_callback","body":{}}',
    ],
)
def test_what_is_no_frame_says_so(raw: str) -> None:
    with pytest.raises(BadFrame):
        read_frame(raw)


# --- events -----------------------------------------------------------------------------------------------


def event(kind: object, **more: Any) -> Event | Unreadable | None:
    content = body({"msgtype": "event", "event": {"eventtype": kind, **more}})
    return read_event(frame(content, cmd="aibot_event_callback"), ACCOUNT, NOW)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(
    ("word", "kind", "always"),
    [("approve", "approve", None), ("always", "approve", ""), ("deny", "deny", None)],
)
def test_a_pressed_button_answers_its_question(
    word: str, kind: str, always: str | None, nested: bool
) -> None:
    pressed = {"event_key": f"{word}:abcd1234-7-12-3", "task_id": "abcd1234-7-12-3-ff"}
    read = event("template_card_event", **({"template_card_event": pressed} if nested else pressed))
    assert isinstance(read, Press)
    assert (read.req_id, read.task_id) == ("req-1", "abcd1234-7-12-3-ff")
    control = read.control
    assert (control.kind, control.question, control.always) == (kind, "approval:abcd1234-7-12-3", always)
    assert (control.sender.id, control.address) == ("zhangsan", ACCOUNT.address_of("zhangsan"))


@pytest.mark.parametrize("key", ["done", "approve", "approve:x", "buy:abcd1234-7-12-3", 5, None, ""])
def test_a_button_that_we_never_made_is_nothing(key: object) -> None:
    assert event("template_card_event", template_card_event={"event_key": key, "task_id": "t"}) is None


def test_other_events_are_told_apart() -> None:
    assert event("enter_chat") == Entered(req_id="req-1")
    assert event("disconnected_event") == Kicked()
    assert event("feedback_event", feedback_event={"id": "f", "type": 1}) == Feedback(user="zhangsan")
    assert event("something_new") is None
    assert isinstance(event(5), Unreadable)
    bare = frame({"event": {"eventtype": "disconnected_event"}}, cmd="aibot_event_callback")
    assert read_event(bare, ACCOUNT, NOW) == Kicked(), "with nothing else in it"


# --- anything ---------------------------------------------------------------------------------------------

_SEEDS: list[tuple[str, dict[str, Any]]] = [
    ("aibot_msg_callback", text("hello 你好", create_time=1_767_268_800)),
    ("aibot_msg_callback", text("@Bot hi", **GROUP, quote={"msgtype": "text", "text": {"content": "q"}})),
    ("aibot_msg_callback", body({"msgtype": "voice", "voice": {"content": "heard"}})),
    ("aibot_msg_callback", body({"msgtype": "file", "file": {"url": URL, "aeskey": KEY}})),
    (
        "aibot_msg_callback",
        body(
            {
                "msgtype": "mixed",
                "mixed": {
                    "msg_item": [
                        {"msgtype": "text", "text": {"content": "t"}},
                        {"msgtype": "image", "image": {"url": URL, "aeskey": KEY}},
                    ]
                },
            }
        ),
    ),
    (
        "aibot_event_callback",
        body(
            {
                "msgtype": "event",
                "event": {
                    "eventtype": "template_card_event",
                    "template_card_event": {"event_key": "deny:abcd1234-7-12-3", "task_id": "t"},
                },
            }
        ),
    ),
]
_ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    "",
    "x",
    "\ud800",
    "\x00",
    "a b",
    [],
    {},
    [[]],
    {"a": 1},
    "é" * 300,
]


def _mutated(value: Any, dice: random.Random) -> Any:
    """Return a copy in which one thing, somewhere, is another."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        copy = dict(value)
        name = dice.choice(list(copy))
        match dice.randrange(6):
            case 0:
                del copy[name]
            case 1:
                copy[name] = dice.choice(_ODD)
            case _:
                copy[name] = _mutated(copy[name], dice)
        return copy
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], _mutated(value[at], dice), *value[at + dice.randrange(2) :]]
    return dice.choice(_ODD)


def _flipped(raw: str, dice: random.Random) -> str:
    at = dice.randrange(len(raw))
    match dice.randrange(3):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + chr(dice.randrange(0x80)) + raw[at + 1 :]
        case _:
            return raw[:at] + raw[at:][: dice.randrange(40)] + raw[at:]


def test_ten_thousand_damaged_callbacks_become_messages_of_sound_shape_or_are_kept() -> None:
    dice = seeds.dice(20260101)
    kinds: dict[type, int] = {}
    for number in range(10_000):
        cmd, content = _SEEDS[number % len(_SEEDS)]
        for _ in range(dice.randrange(1, 4)):
            content = _mutated(content, dice)
        raw = json.dumps({"cmd": cmd, "headers": {"req_id": "r"}, "body": content})
        try:
            read = read_frame(_flipped(raw, dice) if number % 3 == 0 else raw)
        except BadFrame:
            kinds[BadFrame] = kinds.get(BadFrame, 0) + 1
            continue
        convert = read_event if read.cmd == "aibot_event_callback" else read_message
        heard = convert(read, ACCOUNT, NOW)
        kinds[type(heard)] = kinds.get(type(heard), 0) + 1
        if isinstance(heard, InboundMessage):
            _check_sound(heard)
        elif isinstance(heard, Press):
            _check_control(heard.control)
        elif isinstance(heard, Unreadable):
            heard.raw.encode()
    assert {BadFrame, InboundMessage, Press, Unreadable} <= set(kinds)
    assert kinds[Unreadable] > 1000


def _check_sound(read: InboundMessage) -> None:
    """What is accepted has all that a message needs, and nothing that could not have been sent."""
    prefix = f"wecom:{BOT_ID}:"
    assert read.id.startswith(prefix)
    assert read.id != prefix
    assert read.sender.id.strip() == read.sender.id != ""
    assert read.address.account == BOT_ID
    assert read.group or read.address.chat == read.sender.id
    assert read.parts
    assert abs(read.sent_at - NOW) <= timedelta(days=1)
    assert read.sent_at.tzinfo is UTC
    for part in read.parts:
        if isinstance(part, Text):
            assert part.text.strip()
        else:
            assert read_ref(part.ref) is not None


def _check_control(control: InboundControl) -> None:
    assert control.question == "approval:abcd1234-7-12-3"
    assert control.kind == "deny"
    assert control.sent_at >= datetime(2025, 12, 31, tzinfo=UTC)
