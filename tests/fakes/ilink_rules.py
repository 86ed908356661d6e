"""What the fake iLink API insists on: headers, bodies, and the crypto of its CDN by a program of its own."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

APP_HEADERS = {"iLink-App-Id": "bot"}
_AGENT = re.compile(r"[A-Za-z0-9._-]{1,32}/[A-Za-z0-9._+-]{1,32}( \([\x20-\x7e]{1,64}\))?")


class Wrong(Exception):
    """A request that the real server would not take; a test that causes one is wrong, or the bridge is."""


def check_get(headers: Mapping[str, str]) -> None:
    """Raise Wrong unless these are the headers of a GET."""
    _need(headers.get("iLink-App-Id") == "bot", "iLink-App-Id")
    _need(headers.get("iLink-App-ClientVersion", "").isdigit(), "iLink-App-ClientVersion")
    _need("Authorization" not in headers, "a GET must not carry the token")


def check_post(headers: Mapping[str, str], body: Any, *, token: bool) -> None:
    """Raise Wrong unless these are headers and body of a POST."""
    _need(headers.get("iLink-App-Id") == "bot", "iLink-App-Id")
    _need(headers.get("iLink-App-ClientVersion", "").isdigit(), "iLink-App-ClientVersion")
    _need(headers.get("Content-Type", "").startswith("application/json"), "Content-Type")
    _need(headers.get("AuthorizationType") == "ilink_bot_token", "AuthorizationType")
    uin = base64.b64decode(headers.get("X-WECHAT-UIN", ""), validate=True).decode()
    _need(uin.isdigit() and int(uin) < 2**32, "X-WECHAT-UIN")
    _need(("Authorization" in headers) == token, "Authorization")
    _need(isinstance(body, dict), "the body is no object")
    if token:
        info = body.get("base_info", {})
        _need(bool(re.fullmatch(r"\d+\.\d+\.\d+", info.get("channel_version", ""))), "channel_version")
        _need(bool(_AGENT.fullmatch(info.get("bot_agent", ""))), "bot_agent")


def check_message(message: Any) -> dict[str, Any]:
    """Return the one item of a message, or raise Wrong."""
    _need(isinstance(message, dict), "msg")
    _need(message.get("from_user_id") == "", "from_user_id")
    _need(isinstance(message.get("to_user_id"), str) and bool(message["to_user_id"]), "to_user_id")
    _need(bool(re.fullmatch(r"clawd-[0-9a-f]{32}", message.get("client_id", ""))), "client_id")
    _need((message.get("message_type"), message.get("message_state")) == (2, 2), "type and state")
    _need(bool(message.get("context_token")), "context_token")
    items = message.get("item_list")
    _need(isinstance(items, list) and len(items) == 1, "exactly one item a request")
    item: dict[str, Any] = items[0]
    match item.get("type"):
        case 1:
            _need(0 < len(item["text_item"]["text"]) <= 4000, "text")
        case 2:
            _check_media(item["image_item"]["media"])
            _need(item["image_item"]["mid_size"] % 16 == 0, "mid_size")
        case 4:
            _check_media(item["file_item"]["media"])
            _need(isinstance(item["file_item"]["len"], str), "len is a string")
            _need(bool(item["file_item"]["file_name"]), "file_name")
        case 5:
            _check_media(item["video_item"]["media"])
            _need(item["video_item"]["video_size"] % 16 == 0, "video_size")
        case kind:
            raise Wrong(f"item type {kind}")
    return item


def _check_media(media: Mapping[str, Any]) -> None:
    _need(bool(media.get("encrypt_query_param")), "encrypt_query_param")
    _need(media.get("encrypt_type") == 1, "encrypt_type")
    _need(bool(re.fullmatch(r"[0-9a-f]{32}", base64.b64decode(media["aes_key"]).decode())), "aes_key")


def check_upload(body: Mapping[str, Any]) -> None:
    """Raise Wrong unless an upload is announced as it must be."""
    _need(bool(re.fullmatch(r"[0-9a-f]{32}", body.get("filekey", ""))), "filekey")
    _need(bool(re.fullmatch(r"[0-9a-f]{32}", body.get("aeskey", ""))), "aeskey")
    _need(bool(re.fullmatch(r"[0-9a-f]{32}", body.get("rawfilemd5", ""))), "rawfilemd5")
    _need(body.get("media_type") in (1, 2, 3), "media_type: the server refuses voice")
    _need(body.get("filesize") == (body["rawsize"] // 16 + 1) * 16, "filesize")
    _need(body.get("no_need_thumb") is True, "no_need_thumb")


def check_content(announced: Mapping[str, Any], ciphertext: bytes) -> bytes:
    """Return the plain content of an upload, or raise Wrong when it is not what was announced."""
    _need(len(ciphertext) == announced["filesize"], "filesize")
    plain = openssl(ciphertext, announced["aeskey"], decrypt=True)
    _need(len(plain) == announced["rawsize"], "rawsize")
    _need(hashlib.md5(plain, usedforsecurity=False).hexdigest() == announced["rawfilemd5"], "rawfilemd5")
    return plain


def openssl(content: bytes, key: str, *, decrypt: bool = False) -> bytes:
    """Encrypt or decrypt by OpenSSL's own program: code that the bridge does not share."""
    command = ["openssl", "enc", "-aes-128-ecb", "-K", key, *(["-d"] if decrypt else [])]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)
