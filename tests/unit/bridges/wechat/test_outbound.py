"""Replies as WeChat takes them: plain text, cut by bytes, in XML and JSON."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from defusedxml.ElementTree import fromstring

from bridges.wechat.outbound import MAX_BYTES, cut, encoded, plain_text, text_payload, text_reply
from bridges.wechat.plain import to_plain
from bridges.wechat.xml_body import BadXml, read_fields, writable
from clawd.ids import DeliveryId
from clawd.messages import Address, OutboundMessage


def cut_all(text: str, limit: int = MAX_BYTES) -> list[str]:
    parts = []
    while text:
        head, text = cut(text, limit)
        parts.append(head)
    return parts


def test_ten_thousand_chinese_characters_are_cut_by_bytes_and_none_is_broken() -> None:
    text = "".join(random.Random(7).choices("你好世界我们一起学习中文", k=10_000))
    parts = cut_all(text)
    assert "".join(parts) == text
    assert max(len(part.encode()) for part in parts) <= MAX_BYTES
    assert len(parts) == -(-30_000 // (MAX_BYTES // 3 * 3))


@pytest.mark.parametrize("joined", ["👩‍👩‍👧‍👦", "👍🏽", "🇨🇳", "e\u0301", "1\ufe0f\u20e3", "❤️", "𠮷"])
def test_what_a_reader_sees_as_one_is_not_cut(joined: str) -> None:
    for shift in range(30):
        text = "x" * shift + joined * 200
        parts = cut_all(text, 100)
        assert "".join(parts) == text
        for part in parts:
            assert len(part.encode()) <= 100
            assert part.strip("x").replace(joined, "") == "", part


def test_a_cut_prefers_the_ends_of_paragraphs_lines_and_words() -> None:
    assert cut("one two\nthree four\n\nfive six", 22) == ("one two\nthree four", "five six")
    assert cut("one two three", 10) == ("one two", "three")
    assert cut("short", 10) == ("short", "")
    assert cut("\u00e9" * 10, 5) == ("\u00e9\u00e9", "\u00e9" * 8)


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("**bold** and *light*, __both__ ~~gone~~", "bold and light, both gone"),
        ("# Title #\ntext", "Title\ntext"),
        ("- one\n  * two\n1. three", "• one\n  • two\n1. three"),
        ("see [docs](https://a.example/x_y_z) now", "see docs: https://a.example/x_y_z now"),
        ("[https://a.example](https://a.example)", "https://a.example"),
        ("![cat](https://a.example/c.png)", "cat: https://a.example/c.png"),
        ("use `a*b*c` and ``x`y``", "use a*b*c and x`y"),
        ("```python\nx = a * b * c  # **kept**\n```\nafter", "x = a * b * c  # **kept**\nafter"),
        ("~~~\n```\n~~~", "```"),
        ("2 * 3 * 4, a*b*c, snake_case_name", "2 * 3 * 4, a*b*c, snake_case_name"),
        (r"\*no\* \_markup\_", "*no* _markup_"),
        ("above\n\n---\nbelow", "above\n\n———\nbelow"),
        ("> quoted", "> quoted"),
        ("**中文**很好", "中文很好"),
        ("unclosed ** and ` and [x](", "unclosed ** and ` and [x]("),
        ("```\nnever closed", "never closed"),
    ],
)
def test_markdown_becomes_what_a_reader_without_it_should_see(markdown: str, plain: str) -> None:
    assert to_plain(markdown) == plain


def test_plain_text_of_anything_takes_little_time_and_keeps_its_words() -> None:
    chance = random.Random(3)
    for _ in range(300):
        text = "".join(chance.choices("ab *_`~#[]()\\\n-你\ue000", k=400))
        assert set(to_plain(text)) - set("•———: ") <= set(text)
    to_plain("*" * 5000 + "`" * 5000 + "[" * 5000)


def test_xml_holds_any_text_and_gives_it_back() -> None:
    text = "a]]>b <tag> & \x00\x08 \x0b\ud800 👩‍👩‍👧 \r\n end"
    raw = text_reply(text, to="oUser1", sender="gh_clawd", now_s=1_700_000_001)
    root = fromstring(raw)
    assert root.findtext("Content") == writable(text) == "a]]>b <tag> &   👩‍👩‍👧 \n end"
    assert read_fields(raw.encode())["CreateTime"] == "1700000001"
    assert [element.tag for element in root] == [
        "ToUserName",
        "FromUserName",
        "CreateTime",
        "MsgType",
        "Content",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"<xml>",
        b"<html></html>",
        b"\xff\xfe<xml></xml>",
        "<xml><a>\u4f60</a></xml>".encode("gbk"),
        b'<!DOCTYPE xml SYSTEM "http://127.0.0.1/x"><xml></xml>',
        b'<!DOCTYPE xml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><xml><Content>&b;</Content></xml>',
        b"<xml><a>&nope;</a></xml>",
        b'<?xml version="1.0" encoding="utf-99"?><xml><a>\x01</a></xml>',
        b"<xml>\x00</xml>",
    ],
)
def test_what_is_not_plain_xml_in_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(BadXml):
        read_fields(raw)


def test_fields_are_read_with_and_without_cdata_and_deep_ones_are_left_out() -> None:
    raw = b"<xml><a> 1 </a><b><![CDATA[two]]></b><c><d>3</d></c><a>again</a><e/></xml>"
    assert read_fields(raw) == {"a": "1", "b": "two", "e": ""}
    deep = b"<xml>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</xml>"
    assert read_fields(deep) == {}


def test_json_goes_out_in_plain_utf8() -> None:
    assert encoded(text_payload("oUser1", "你好 👋")) == (
        '{"touser":"oUser1","msgtype":"text","text":{"content":"你好 👋"}}'.encode()
    )


def test_a_text_that_is_all_markup_is_not_lost() -> None:
    message = OutboundMessage(
        id=DeliveryId("delivery:t-1"),
        address=Address(bridge="wechat", account="wx", chat="o"),
        text="```\n```",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert plain_text(message) == "```\n```"
