"""Callbacks as messages: every kind that WeChat sends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridges.wechat.inbound import Account, Arrival, Unusable, read_arrival
from bridges.wechat.references import may_fetch, parse_reference, reference_of
from bridges.wechat.xml_body import read_fields
from clawd.messages import Address, Audio, File, Image, Part, Sender, Text
from tests.fakes.wechat_sender import APP_ID, event, text, xml

ACCOUNT = Account(bridge="wechat", app_id=APP_ID, language="zh")


def read(message: str, account: Account = ACCOUNT) -> Arrival:
    return read_arrival(account, read_fields(message.encode()))


def test_a_text_has_its_sender_its_place_and_its_time() -> None:
    arrival = read(text("你好 👋", MsgId=17))
    message = arrival.message()
    assert message.id == f"wx:{APP_ID}:17"
    assert message.address == Address(bridge="wechat", account=APP_ID, chat="oUser1")
    assert message.sender == Sender(id="oUser1", language="zh")
    assert message.sent_at == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert (message.text, message.reference, arrival.to) == ("你好 👋", "17", "gh_clawd")


def test_white_space_around_an_id_is_not_part_of_it() -> None:
    spaced = text("hi", MsgId=17).replace("<MsgId>17</MsgId>", "<MsgId>\n 17 \t</MsgId>")
    assert read(spaced).id == read(text("hi", MsgId=17)).id


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (
            xml(kind="image", PicUrl="http://mmbiz.qpic.cn/x", MediaId="M/1"),
            (Image(ref="wechat-media:M%2F1?http%3A%2F%2Fmmbiz.qpic.cn%2Fx", mime="image/jpeg"),),
        ),
        (
            xml(kind="voice", MediaId="M1", Format="amr"),
            (Audio(ref="wechat-media:M1", mime="audio/amr"),),
        ),
        (
            xml(kind="voice", MediaId="M1", Format="speex", Recognition="今天天气"),
            (Audio(ref="wechat-media:M1", mime="audio/speex", transcript="今天天气"),),
        ),
        (xml(kind="voice", MediaId="M1", Recognition=""), (Audio(ref="wechat-media:M1", mime="audio/amr"),)),
        (
            xml(kind="video", MediaId="M1", ThumbMediaId="T"),
            (File(ref="wechat-media:M1", mime="video/mp4"),),
        ),
        (xml(kind="shortvideo", MediaId="M1"), (File(ref="wechat-media:M1", mime="video/mp4"),)),
        (
            xml(kind="location", Location_X="31.2", Location_Y="121.4", Scale=20, Label="上海"),
            (Text("[location] 上海 31.2, 121.4"),),
        ),
        (
            xml(kind="link", Title="T", Description="D", Url="https://a.example"),
            (Text("[link] T D https://a.example"),),
        ),
        (event("CLICK", key="/new"), (Text("/new"),)),
        (event("subscribe"), (Text("/start"),)),
        (event("subscribe", key="qrscene_7"), (Text("/start"),)),
        (event("SCAN", key="table-7"), (Text("[QR code] table-7"),)),
    ],
)
def test_every_kind_of_content_is_read(message: str, parts: tuple[Part, ...]) -> None:
    assert read(message).parts == parts


@pytest.mark.parametrize(
    "message",
    [
        xml(kind="sticker"),
        xml(kind="image"),
        text(""),
        text("   "),
        event("unsubscribe"),
        event("VIEW", key="https://a.example"),
        event("LOCATION", Latitude="1", Longitude="2"),
        event("TEMPLATESENDJOBFINISH"),
        event("somethingnew"),
    ],
)
def test_what_is_not_for_us_is_ignored(message: str) -> None:
    assert read(message).kind == "ignored"


def test_reported_places_are_messages_only_where_they_are_wanted() -> None:
    account = Account(bridge="wechat", app_id=APP_ID, language="zh", location_events=True)
    reported = read(event("LOCATION", Latitude="31.2", Longitude="121.4"), account)
    assert reported.parts == (Text("[location] 31.2, 121.4"),)


def test_events_are_told_apart_by_who_when_what_and_key() -> None:
    messages = [
        event("CLICK", key="a"),
        event("CLICK", key="b"),
        event("CLICK", key="a", created=1_767_268_801),
        event("CLICK", key="a", user="oUser2"),
        event("SCAN", key="a"),
        event("CLICK", key="a:b"),
    ]
    assert len({read(message).id for message in messages}) == len(messages)
    assert read(event("CLICK", key="a")).id == read(event("click", key="a")).id


@pytest.mark.parametrize(
    "message",
    [
        "<xml></xml>",
        text("hi").replace("oUser1", ""),
        text("hi").replace("oUser1", "o" * 200),
        text("hi", MsgId=""),
        text("hi").replace("<CreateTime>1767268800", "<CreateTime>soon"),
        text("hi").replace("<CreateTime>1767268800", "<CreateTime>99999999999999999999"),
        text("hi").replace("<CreateTime>1767268800", "<CreateTime>000000000001" + "9" * 20),
        text("hi").replace("<CreateTime>1767268800", "<CreateTime>１２"),
    ],
)
def test_a_message_without_what_every_message_has_is_unusable(message: str) -> None:
    with pytest.raises(Unusable):
        read(message)


@pytest.mark.parametrize(("content", "fetches"), [("1", True), ("１", True), ("11", False), ("1.", False)])
def test_one_alone_is_the_word_that_fetches(content: str, fetches: bool) -> None:
    assert read(text(content)).fetches is fetches


def test_a_reference_gives_back_what_it_was_made_of() -> None:
    where = parse_reference(reference_of("a/b?c%", "https://mmbiz.qpic.cn/x?y=1&z=?"))
    assert where is not None
    assert (where.media_id, where.url) == ("a/b?c%", "https://mmbiz.qpic.cn/x?y=1&z=?")
    assert parse_reference("artifact:0") is None


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://mmbiz.qpic.cn/x", True),
        ("https://qpic.cn/x", True),
        ("https://evilqpic.cn/x", False),
        ("https://qpic.cn.evil.example/x", False),
        ("https://user@127.0.0.1/qpic.cn", False),
        ("file:///etc/passwd", False),
        ("http://[qpic.cn/", False),
        ("", False),
    ],
)
def test_a_picture_is_fetched_from_its_platform_alone(url: str, allowed: bool) -> None:
    assert may_fetch(url, ("qpic.cn",)) is allowed
