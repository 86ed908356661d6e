"""What the fake WeCom refuses: shapes and limits of the bot's frames, as the platform's documents state them."""

from __future__ import annotations

import re
from typing import Any

CONTENT_BYTES = 20_480
BAD = 40058
EMPTY = 44004
TASK_ID = re.compile(r"[A-Za-z0-9_@-]{1,128}")


class Refused(Exception):
    """Answered with this code."""

    def __init__(self, errcode: int) -> None:
        super().__init__(str(errcode))
        self.errcode = errcode


def need(condition: bool, errcode: int = BAD) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(errcode)


def check(cmd: str, body: dict[str, Any]) -> None:
    """Refuse a body that is not of its command's shape."""
    match cmd:
        case "aibot_subscribe":
            need(set(body) == {"bot_id", "secret"})
        case "aibot_respond_msg":
            need(set(body) == {"msgtype", "stream"} and body["msgtype"] == "stream")
            stream = body["stream"]
            need(set(stream) == {"id", "finish", "content"})
            need(isinstance(stream["finish"], bool) and isinstance(stream["id"], str) and bool(stream["id"]))
            content(stream["content"])
        case "aibot_send_msg":
            send(body)
        case "aibot_respond_welcome_msg":
            need(set(body) == {"msgtype", "text"} and body["msgtype"] == "text")
            content(body["text"]["content"])
        case "aibot_respond_update_msg":
            need(set(body) == {"response_type", "userids", "template_card"})
            need(body["response_type"] == "update_template_card")
            card(body["template_card"])
        case "aibot_upload_media_init":
            need(set(body) == {"type", "filename", "total_size", "total_chunks", "md5"})
        case "aibot_upload_media_chunk":
            need(set(body) == {"upload_id", "chunk_index", "base64_data"})
        case "aibot_upload_media_finish":
            need(set(body) == {"upload_id"})
        case _:
            raise Refused(BAD)


def content(text: object) -> None:
    """Refuse what is no text within the limit."""
    need(isinstance(text, str) and bool(text), EMPTY)
    need(len(str(text).encode()) <= CONTENT_BYTES)


def send(body: dict[str, Any]) -> None:
    """Refuse a proactive message of the wrong shape."""
    kind = body.get("msgtype")
    need(isinstance(body.get("chatid"), str) and bool(body["chatid"]))
    need(set(body) == {"chatid", "msgtype", str(kind)})
    match kind:
        case "markdown":
            content(body["markdown"]["content"])
        case "template_card":
            card(body["template_card"])
        case "image" | "file" | "voice" | "video":
            need(set(body[kind]) == {"media_id"})
        case _:
            raise Refused(BAD)


def card(value: dict[str, Any]) -> None:
    """Refuse a card with other fields, or with too much in them."""
    need(set(value) == {"card_type", "main_title", "button_list", "task_id"})
    need(value["card_type"] == "button_interaction" and TASK_ID.fullmatch(value["task_id"]) is not None)
    need(0 < len(value["main_title"]["title"]) <= 26)
    need(1 <= len(value["button_list"]) <= 6)
    for button in value["button_list"]:
        need(set(button) == {"text", "style", "key"} and bool(button["text"]))
        need(len(button["key"].encode()) <= 1024)
