"""Messages of getupdates as inbound events."""

from __future__ import annotations

import copy
import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from bridges.weixin.api import updates_of
from bridges.weixin.inbound import read_batch, read_message, safe_name
from bridges.weixin.media import MediaRef
from clawd.messages import Address, Audio, File, Image, InboundMessage, Sender, Text, Unreadable
from tests.seeds import dice

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOT = "b1@im.bot"
USER = "u1@im.wechat"
KEY = "000102030405060708090a0b0c0d0e0f"
MEDIA = {"encrypt_query_param": "par+am", "aes_key": "AAECAwQFBgcICQoLDA0ODw=="}


def text_item(text: str, **more: Any) -> dict[str, Any]:
    return {"type": 1, "msg_id": "1", "text_item": {"text": text}, **more}


def message(*items: Any, **fields: Any) -> dict[str, Any]:
    """A message as the server sends it; a field of None is left out."""
    whole = {
        "seq": 12,
        "message_id": 7345678901234567890,
        "from_user_id": USER,
        "to_user_id": BOT,
        "client_id": "c",
        "create_time_ms": 1700000000000,
        "session_id": "s",
        "message_type": 1,
        "message_state": 2,
        "item_list": list(items) or [text_item("你好")],
        "context_token": "CTX",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def read(raw: object) -> Any:
    return read_message(raw, "weixin", BOT, NOW)[0]


def test_a_text_becomes_a_message_with_its_sender_time_and_reference() -> None:
    event, context = read_message(message(), "weixin", BOT, NOW)
    assert event == InboundMessage(
        id=event.id if event else "",  # type: ignore[arg-type]
        address=Address(bridge="weixin", account=BOT, chat=USER),
        sender=Sender(id=USER),
        parts=(Text("你好"),),
        sent_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        reference="7345678901234567890",
    )
    assert event is not None
    assert event.id == f"wx:{BOT}:7345678901234567890"
    assert context is not None
    assert (context[0], context[1].token, context[1].at_ms, context[1].seq) == (
        USER,
        "CTX",
        1700000000000,
        12,
    )
    assert "CTX" not in repr(context)


@pytest.mark.parametrize("number", [18446744073709551615, "18446744073709551615", 2**63])
def test_an_id_above_what_a_signed_number_holds_stays_whole(number: object) -> None:
    assert read(message(message_id=number)).id == f"wx:{BOT}:{number}"


def test_without_an_id_the_next_best_identifies_a_message() -> None:
    assert read(message(message_id=None)).id == f"wx:{BOT}:seq:12"
    assert read(message(message_id=0, seq=0)).id == f"wx:{BOT}:{USER}:1700000000000"
    bare = message(message_id=None, seq=None, create_time_ms=None)
    assert read(bare).id == read(bare).id != read({**bare, "client_id": "d"}).id
    assert read(bare).sent_at == NOW


@pytest.mark.parametrize(
    "raw",
    [
        message(message_type=2),
        message(group_id="g@chatroom"),
        message(from_user_id=BOT),
        {"message_type": 2},
        {"message_type": "bot"},
    ],
)
def test_an_echo_and_a_group_are_nothing_to_us(raw: object) -> None:
    assert read_message(raw, "weixin", BOT, NOW) == (None, None)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (message(from_user_id=None), "from_user_id"),
        (message(from_user_id=""), "from_user_id"),
        (message(from_user_id=7), "from_user_id"),
        (message(message_type=None), "message_type"),
        (message(item_list=None), "types: none"),
        (message({"type": 99, "new_item": {}}), "types: 99"),
        (message({"type": 1}), "types: 1"),
        (message(text_item("")), "types: 1"),
        (message({"type": 2, "image_item": {"media": {**MEDIA, "aes_key": "bad"}}}), "types: 2"),
        (message(text_item("\ud83d")), "Unicode"),
        (message(message_id=2**64), "message_id"),
        (message(seq=-1), "seq"),
        ("text", "dict"),
        (None, "dict"),
        ([], "dict"),
    ],
)
def test_what_cannot_be_read_is_kept_raw_with_the_reason(raw: object, why: str) -> None:
    event = read(raw)
    assert isinstance(event, Unreadable)
    assert why.lower() in event.why.lower()
    assert event.id == read(raw).id
    assert "CTX" not in event.raw


def test_one_that_cannot_be_read_holds_up_none_of_its_batch() -> None:
    batch = read_batch(
        [message(message_id=1), {"message_type": 1}, message(message_id=2)], "weixin", BOT, NOW
    )
    assert [type(event) for event in batch.events] == [InboundMessage, Unreadable, InboundMessage]
    assert len(batch.contexts) == 2


def test_files_of_every_kind_carry_what_is_needed_to_read_them() -> None:
    hex_form = {**MEDIA, "aes_key": "MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY="}
    event = read(
        message(
            {"type": 2, "image_item": {"media": {"encrypt_query_param": "i"}, "aeskey": KEY}},
            {"type": 2, "image_item": {"media": {"encrypt_query_param": "plain"}}},
            {"type": 3, "voice_item": {"media": MEDIA, "encode_type": 6, "playtime": 1500}},
            {"type": 4, "file_item": {"media": hex_form, "file_name": "../a\x00b.txt", "len": "17"}},
            {"type": 5, "video_item": {"media": MEDIA, "video_size": 32}},
        )
    )
    image, plain, voice, file, video = event.parts
    assert isinstance(image, Image)
    assert MediaRef.parse(image.ref) == MediaRef(param="i", key=bytes.fromhex(KEY))
    assert MediaRef.parse(plain.ref).key == b""
    assert isinstance(voice, Audio)
    assert (voice.mime, voice.duration_s) == ("audio/silk", 1.5)
    assert file == File(ref=file.ref, name="_ab.txt", size=17)
    assert MediaRef.parse(file.ref).key.hex() == KEY
    assert video == File(ref=voice.ref, mime="video/mp4")


def test_a_voice_note_that_was_understood_is_its_text() -> None:
    item = {"type": 3, "voice_item": {"media": MEDIA, "text": "早上好"}}
    assert read(message(item)).parts == (Text("早上好"),)


def test_a_picture_with_a_bad_key_does_not_take_the_text_with_it() -> None:
    bad = {"type": 2, "image_item": {"media": {**MEDIA, "aes_key": "bad"}}}
    assert read(message(text_item("look"), bad)).parts == (Text("look"),)


def test_what_a_text_answers_stands_in_front_of_it_but_a_command_stays_one() -> None:
    answered = {"ref_msg": {"message_item": text_item("one\ntwo"), "svr_id": 2**63}}
    assert read(message(text_item("why?", **answered))).text == "> one\n> two\n\nwhy?"
    assert read(message(text_item("why?", ref_msg={"title": "a file"}))).text == "> a file\n\nwhy?"
    assert read(message(text_item("why?", ref_msg={"svr_id": 5}))).text == "why?"
    assert read(message(text_item("/stop", **answered))).text == "/stop"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("..", None),
        ("", None),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x\\y.txt", "C__x_y.txt"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("字" * 300 + ".docx", "字" * 115 + ".docx"),
    ],
)
def test_a_name_cannot_lead_out_of_a_folder(name: str, safe: str | None) -> None:
    assert safe_name(name) == safe


# --- fuzz -----------------------------------------------------------------------------------------------------

SEEDS = [
    message(text_item("hello", ref_msg={"title": "t", "message_item": text_item("q"), "svr_id": 1})),
    message({"type": 2, "image_item": {"media": MEDIA, "aeskey": KEY, "mid_size": 3}}),
    message({"type": 3, "voice_item": {"media": MEDIA, "encode_type": 6, "playtime": 9, "text": "v"}}),
    message({"type": 4, "file_item": {"media": MEDIA, "file_name": "f", "len": "9"}}, group_id=""),
    message({"type": 5, "video_item": {"media": MEDIA}}, message_type=2),
]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 1.5, 1e308, 2**63, 2**64, 10**400, "", "x", "\ud800", "\x00", "9" * 25),
    *([], {}, [None], {"type": 1}, [[]], {"": ""}, "1", "A" * 5000, float("nan"), "../..", BOT, USER),
]


def mutated(draw: random.Random) -> Any:
    """An answer of getupdates of which a few values, at any depth, were replaced, dropped or doubled."""
    whole: Any = {
        "ret": 0,
        "msgs": [copy.deepcopy(draw.choice(SEEDS))],
        "get_updates_buf": "buf",
        "longpolling_timeout_ms": 35000,
    }
    for _ in range(draw.randint(1, 4)):
        places: list[tuple[Any, Any]] = []
        stack = [whole]
        while stack:
            node = stack.pop()
            keys: Any = (
                list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
            )
            for key in keys:
                places.append((node, key))
                stack.append(node[key])
        if not places:
            return draw.choice(ODD)
        node, key = draw.choice(places)
        match draw.randrange(4):
            case 0 if isinstance(node, dict):
                del node[key]
            case 1 if isinstance(node, list):
                node.append(copy.deepcopy(node[key]))
            case 2 if isinstance(node[key], str):
                at = draw.randrange(len(node[key]) + 1)
                node[key] = node[key][:at] + draw.choice(["", "\ud83d", "\x00", "😀", "="]) + node[key][at:]
            case _:
                node[key] = copy.deepcopy(draw.choice(ODD))
    return whole


def judge(raw: Any) -> type | None:
    """Read it; assert that what is accepted was a user's own words to us in a private chat."""
    event, context = read_message(raw, "weixin", BOT, NOW)
    if isinstance(event, InboundMessage):
        assert raw["message_type"] == 1
        assert not raw.get("group_id")
        assert event.sender.id == event.address.chat == raw["from_user_id"] != BOT
        assert event.parts
        assert all(part.text for part in event.parts if isinstance(part, Text))
        json.dumps([str(event)], ensure_ascii=False).encode()  # the journal can keep it
        for part in event.parts:
            if not isinstance(part, Text):
                MediaRef.parse(part.ref)
    if context is not None:
        assert raw["context_token"] == context[1].token
        assert raw["message_type"] == 1
    return type(event) if event is not None else None


@pytest.mark.parametrize(
    "count", [1000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
def test_mutated_answers_are_read_or_kept_and_nothing_else(count: int) -> None:
    draw = dice(count)
    kinds: set[type | None] = set()
    for _ in range(count):
        answer = mutated(draw)
        if not isinstance(answer, dict):
            continue  # the client has refused it before
        updates = updates_of(answer)
        assert isinstance(updates.cursor, str)
        assert updates.poll_s is None or 0 < updates.poll_s <= 120
        kinds |= {judge(raw) for raw in updates.messages}
    assert kinds == {InboundMessage, Unreadable, None}


def test_a_message_nested_without_end_is_kept_as_unreadable() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"ref_msg": {"message_item": deep}}
    event = read(message({"type": 1, "text_item": {"text": "x"}, **deep}))
    assert isinstance(event, Unreadable)
