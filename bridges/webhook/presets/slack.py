"""Slack's Events API.

Source: docs.slack.dev, "Verifying requests from Slack", "The Events API", events `message` and `app_mention`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bridges.webhook.envelope import JSON, Envelope, Rejected, check_any, check_type, proof, seconds
from bridges.webhook.fields import Fields
from bridges.webhook.presets.base import Heard, Ignored, Sample
from clawd.messages import Address, InboundMessage, MessageId, Sender, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.bridge import HttpRequest
    from clawd.response import JsonObject

_TIMESTAMP: Final = "x-slack-request-timestamp"
_SIGNATURE: Final = "x-slack-signature"
_KINDS: Final = frozenset({"", "file_share", "thread_broadcast", "me_message"})
_MARKED: Final = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")


class Slack:
    """An app in a workspace."""

    chat = True

    def __init__(self, bridge: str, keys: Sequence[bytes], tolerance_s: float) -> None:
        self._bridge = bridge
        self._keys = keys
        self._tolerance_s = tolerance_s

    def verify(self, request: HttpRequest, now: datetime) -> Envelope:
        """Return the body of a signed request."""
        check_type(request)
        timestamp, signature = proof(request, _TIMESTAMP, _SIGNATURE)
        sent = seconds(_TIMESTAMP, timestamp, now, self._tolerance_s)
        check_any((_mac(key, timestamp, request.body) for key in self._keys), signature)
        return Envelope(id=None, timestamp=sent, body=request.body)

    def answer(self, _envelope: Envelope, payload: JsonObject) -> JsonObject | None:
        """Return the challenge by which Slack learns that the address is ours."""
        if payload.get("type") != "url_verification":
            return None
        return {"challenge": Fields(payload).need("/challenge")}

    def read(self, _envelope: Envelope, payload: JsonObject) -> Heard | Ignored:
        """Return what a person wrote.

        A mention in a channel comes as two events, `app_mention` and `message`: channel and time are the
        same in both, as they are in a repeat, so they are the message's id.
        """
        outer = Fields(payload)
        kind = outer.may("/event/type")
        if outer.may("/type") != "event_callback" or kind not in ("message", "app_mention"):
            return Ignored(f"{kind or outer.may('/type') or 'this'} is no message")
        if outer.may("/event/bot_id"):
            return Ignored("written by a bot")  # also by ourselves
        if (subtype := outer.may("/event/subtype")) not in _KINDS or outer.may("/event/hidden"):
            return Ignored(f"{subtype or 'hidden'} is no new message")
        us = _us(payload)
        sender = outer.key("/event/user")
        if sender == us:
            return Ignored("written by ourselves")
        written = outer.may("/event/text")
        text = _plain(written, us)
        text = "\n".join(filter(None, (text, *_files(outer))))
        if not text:
            return Ignored("a message without text")
        team, channel, at = outer.key("/team_id"), outer.key("/event/channel"), outer.key("/event/ts")
        private = outer.may("/event/channel_type") == "im"
        threaded = bool(outer.may("/event/thread_ts"))
        thread = outer.key("/event/thread_ts") if threaded else None if private else at
        return Heard(
            message=InboundMessage(
                id=MessageId(f"slack:{self._bridge}:{team}:{channel}:{at}"),
                address=Address(bridge=self._bridge, account=team, chat=channel, thread=thread),
                sender=Sender(id=sender),
                parts=(Text(text),),
                sent_at=_moment(at),
                group=not private,
                addressed=private or kind == "app_mention" or (us is not None and f"<@{us}" in written),
                reference=at,
            )
        )

    def sample(self, payload: bytes, now: datetime) -> Sample:
        """Return a request signed with the first key."""
        timestamp = str(int(now.timestamp()))
        headers = {
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": _mac(self._keys[0], timestamp, payload),
            "Content-Type": JSON,
        }
        return Sample(headers=headers, body=payload)


def _mac(key: bytes, timestamp: str, body: bytes) -> str:
    mac = hmac.new(key, f"v0:{timestamp}:".encode(), hashlib.sha256)
    mac.update(body)
    return "v0=" + mac.hexdigest()


def _us(payload: JsonObject) -> str | None:
    """Return the id of the app's own user, as each event names it."""
    found = payload.get("authorizations")
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, dict) and entry.get("is_bot") is True and isinstance(entry.get("user_id"), str):
            return str(entry["user_id"])
    return None


def _moment(at: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(at), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Rejected(400, "bad_request", "/event/ts: a time was expected") from error


def _files(outer: Fields) -> list[str]:
    """Return a line for each file: they are named and not read."""
    return [
        f"[file: {outer.may(f'/event/files/{n}/name')}]" for n in range(min(outer.count("/event/files"), 10))
    ]


def _plain(text: str, us: str | None) -> str:
    """Return Slack's markup as text: links and names as people see them, the mention of us left out."""

    def read(match: re.Match[str]) -> str:
        target, label = match[1], match[2]
        if us is not None and target == f"@{us}":
            return ""
        if target[:1] in ("@", "#"):
            return f"{target[0]}{label or target[1:]}"
        if target[:1] == "!":
            return f"@{label or target[1:].partition('^')[0]}"
        return f"{label} ({target})" if label and label != target else target

    plain = _MARKED.sub(read, text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
