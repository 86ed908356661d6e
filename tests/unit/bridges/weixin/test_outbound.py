"""What is sent: formatting, ids, items."""

from __future__ import annotations

import base64
from typing import Literal

import pytest

from bridges.weixin.outbound import (
    Uploaded,
    client_id,
    file_item,
    format_text,
    kind_of,
    message_of,
    text_item,
)
from clawd.delivery.split import split_reply
from clawd.ids import DeliveryId
from clawd.messages import Audio, BridgeCapabilities, File, Image, Media


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("plain 😀", "plain 😀"),
        ("a < b > c", "a ＜ b ＞ c"),
        ("`a < b` and <b>", "`a < b` and ＜b＞"),
        ("``a ` < b`` <", "``a ` < b`` ＜"),
        ("```py\nif a < b:\n```\nx < y", "```py\nif a < b:\n```\nx ＜ y"),
        ("```\nnever closed <", "```\nnever closed <"),
        ("~~~\na < b\n~~~\n<", "~~~\na < b\n~~~\n＜"),
        ("> quoted <b>\n> > deeper <", "> quoted ＜b＞\n> > deeper ＜"),
        ("![a cat](https://x.example/c.png)", "a cat (https://x.example/c.png)"),
        ("![](https://x.example/c.png)", "https://x.example/c.png"),
        ("~~gone~~ and `~~kept~~`", "gone and `~~kept~~`"),
        ("##### five\n###### six\n# one", "#### five\n#### six\n# one"),
        ("  \n ", ""),
    ],
)
def test_markdown_is_reduced_to_what_the_client_shows(markdown: str, shown: str) -> None:
    assert format_text(markdown) == shown


def test_no_angle_bracket_is_left_outside_of_code_in_a_long_text() -> None:
    text = "\n\n".join(f"x{n} <tag{n}> `<code{n}>`" for n in range(200))
    prose = "".join(format_text(text).split("`")[::2])
    assert "<" not in prose
    assert format_text(text).count("<code") == 200


def test_the_id_of_a_request_is_the_same_for_every_attempt_and_another_for_every_part() -> None:
    one = DeliveryId("delivery:a-1")
    ids = {client_id(one, 0), client_id(one, 1), client_id(DeliveryId("delivery:a-2"), 0)}
    assert len(ids) == 3
    assert client_id(one, 0) in ids


def test_a_message_has_one_item_and_the_token_of_its_chat() -> None:
    message = message_of("u@im.wechat", "CTX", "clawd-1", text_item("收到"))
    assert message == {
        "from_user_id": "",
        "to_user_id": "u@im.wechat",
        "client_id": "clawd-1",
        "message_type": 2,
        "message_state": 2,
        "item_list": [{"type": 1, "text_item": {"text": "收到"}}],
        "context_token": "CTX",
    }


def test_files_say_their_size_as_the_platform_wants_it() -> None:
    key = bytes(range(16))
    media = {
        "encrypt_query_param": "p",
        "aes_key": base64.b64encode(key.hex().encode()).decode(),
        "encrypt_type": 1,
    }

    def uploaded(kind: Literal["image", "video", "file"]) -> Uploaded:
        return Uploaded(kind=kind, param="p", key=key, size=17, name="a.txt")

    image, video = {"media": media, "mid_size": 32}, {"media": media, "video_size": 32}
    assert file_item(uploaded("image")) == {"type": 2, "image_item": image}
    assert file_item(uploaded("video")) == {"type": 5, "video_item": video}
    file = {"media": media, "file_name": "a.txt", "len": "17"}
    assert file_item(uploaded("file")) == {"type": 4, "file_item": file}


@pytest.mark.parametrize(
    ("part", "mime", "kind"),
    [
        (Image(ref="r"), None, "image"),
        (Audio(ref="r"), "audio/ogg", "file"),
        (File(ref="r"), "video/mp4", "video"),
        (File(ref="r"), None, "file"),
    ],
)
def test_sounds_go_as_files_because_the_server_refuses_voice(
    part: Media, mime: str | None, kind: str
) -> None:
    assert kind_of(part, mime) == kind


def test_a_long_answer_takes_few_messages_with_whole_code_blocks() -> None:
    code = "```py\n" + "if a < b:  # 字\n" * 300 + "```"
    answer = f"{'word <x> ' * 300}\n\n{code}\n\n{'字' * 3000}😀"
    parts = split_reply(answer, BridgeCapabilities(text_limit=2000))
    shown = [format_text(part) for part in parts]
    assert len(shown) <= len(answer) // 1500 + 1
    for text in shown:
        assert len(text) <= 2000
        assert text.count("```") % 2 == 0
        assert "<" not in "".join(text.split("```")[::2])
    assert sum(text.count("if a < b") for text in shown) == 300
