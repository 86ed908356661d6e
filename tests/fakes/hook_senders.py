"""Services that call webhooks, each signing by code that is not ours: vendors' SDKs, or the formula anew."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier

if TYPE_CHECKING:
    from datetime import datetime

GITHUB = "clawd-github-secret"
SLACK = "clawd-slack-secret"
FEISHU = "clawdEncryptKey1"
DINGTALK = "SECclawd0123456789"
BEARER = "a-token-of-24-characters"

Headers = dict[str, str]


def packed(content: dict[str, Any]) -> bytes:
    """Return JSON as most services write it."""
    return json.dumps(content, ensure_ascii=False).encode()


def github(
    body: bytes, event: str = "issue_comment", *, delivery: str = "guid-1", secret: str = GITHUB
) -> Headers:
    """Return the headers of a delivery."""
    mac = hmac.HMAC(secret.encode(), body, "sha256").hexdigest()
    return {
        "x-hub-signature-256": f"sha256={mac}",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "content-type": "application/json",
    }


def github_form(content: dict[str, Any], event: str = "issue_comment") -> tuple[bytes, Headers]:
    """Return a delivery in a form, with its headers."""
    body = ("payload=" + quote_plus(json.dumps(content))).encode()
    return body, github(body, event) | {"content-type": "application/x-www-form-urlencoded"}


def slack(body: bytes, now: datetime, *, secret: str = SLACK) -> Headers:
    """Return the headers of an event, by Slack's own SDK."""
    at = str(int(now.timestamp()))
    try:
        signature = SignatureVerifier(secret).generate_signature(timestamp=at, body=body)
    except UnicodeDecodeError:  # bytes that the SDK does not sign
        signature = "v0=" + hmac.HMAC(secret.encode(), f"v0:{at}:".encode() + body, "sha256").hexdigest()
    assert signature is not None
    return {
        "x-slack-request-timestamp": at,
        "x-slack-signature": signature,
        "content-type": "application/json",
    }


class _At(SlackClock):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> float:
        return self._now.timestamp()


def slack_verifies(body: bytes, headers: Headers, now: datetime, *, secret: str = SLACK) -> bool:
    """Whether Slack's own SDK finds the headers of a request good."""
    lower = {name.lower(): value for name, value in headers.items()}
    return SignatureVerifier(secret, _At(now)).is_valid_request(body, lower)


def feishu(
    content: bytes, now: datetime, *, key: str = FEISHU, iv: bytes = bytes(range(16)), signs: bool = True
) -> tuple[bytes, Headers]:
    """Return an encrypted event with its headers; Feishu does not sign its first challenge."""
    padder = padding.PKCS7(128).padder()
    padded = padder.update(content) + padder.finalize()
    digest = hashlib.sha256(key.encode()).digest()
    encryptor = Cipher(algorithms.AES(digest), modes.CBC(iv)).encryptor()
    encrypted = iv + encryptor.update(padded) + encryptor.finalize()
    body = json.dumps({"encrypt": base64.b64encode(encrypted).decode()}).encode()
    headers = {"content-type": "application/json; charset=utf-8"}
    return body, headers | feishu_signed(body, now, key=key) if signs else headers


def feishu_signed(body: bytes, now: datetime, *, key: str = FEISHU, nonce: str = "nonce1") -> Headers:
    """Return the headers that sign a body."""
    at = str(int(now.timestamp()))
    whole = at.encode() + nonce.encode() + key.encode() + body
    return {
        "x-lark-request-timestamp": at,
        "x-lark-request-nonce": nonce,
        "x-lark-signature": hashlib.sha256(whole).hexdigest(),
    }


def dingtalk(now: datetime, *, secret: str = DINGTALK) -> Headers:
    """Return the headers of a callback: the body has no part in them."""
    at = str(int(now.timestamp() * 1000))
    mac = hmac.HMAC(secret.encode(), f"{at}\n{secret}".encode(), "sha256").digest()
    return {"timestamp": at, "sign": base64.b64encode(mac).decode(), "content-type": "application/json"}


def bearer(secret: str = BEARER, **more: str) -> Headers:
    """Return the headers of a request with a bearer token."""
    return {"authorization": f"Bearer {secret}", "content-type": "application/json"} | more


# --- what they say ------------------------------------------------------------------------------------------


def github_comment(text: str = "hi", *, number: int = 5, login: str = "ann", **more: Any) -> dict[str, Any]:
    """Return a comment on an issue."""
    return {
        "action": "created",
        "issue": {"number": number, "title": "It breaks"},
        "comment": {"id": 1, "body": text},
        "repository": {"full_name": "octo/hello"},
        "sender": {"id": 77, "login": login, "type": "User"},
        **more,
    }


def slack_message(text: str = "hi", *, at: str = "1700000000.000100", **event: Any) -> dict[str, Any]:
    """Return a direct message to the app U0BOT."""
    return {
        "type": "event_callback",
        "event_id": "Ev1",
        "team_id": "T1",
        "authorizations": [{"team_id": "T1", "user_id": "U0BOT", "is_bot": True}],
        "event": {
            "type": "message",
            "channel": "D1",
            "channel_type": "im",
            "user": "U1",
            "text": text,
            "ts": at,
            **event,
        },
    }


def feishu_message(
    text: str = "hi", *, message_id: str = "om_1", chat: str = "oc_1", **message: Any
) -> dict[str, Any]:
    """Return a private message to the app cli_x."""
    return {
        "schema": "2.0",
        "header": {
            "event_id": f"ev_{message_id}",
            "event_type": "im.message.receive_v1",
            "create_time": "1700000000000",
            "token": "vtok",
            "app_id": "cli_x",
            "tenant_key": "t",
        },
        "event": {
            "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user"},
            "message": {
                "message_id": message_id,
                "chat_id": chat,
                "chat_type": "p2p",
                "message_type": "text",
                "create_time": "1700000000000",
                "content": json.dumps({"text": text}),
                **message,
            },
        },
    }


def dingtalk_message(text: str = "hi", *, message_id: str = "msg_1", **more: Any) -> dict[str, Any]:
    """Return a private message to a robot."""
    return {
        "msgtype": "text",
        "text": {"content": text},
        "msgId": message_id,
        "conversationId": "cid_1",
        "conversationType": "1",
        "senderStaffId": "staff_1",
        "senderId": "$:LWCP_v1:$x",
        "senderNick": "Ann",
        "robotCode": "robot_1",
        "chatbotUserId": "$:LWCP_v1:$bot",
        **more,
    }
