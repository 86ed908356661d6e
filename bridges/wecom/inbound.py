"""From callbacks to inbound messages: pure, and tested with recorded payloads.

Source: developer.work.weixin.qq.com, documents 101033 (messages), 101138 (events), 101463 (long connection).
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bridges.wecom.account import ReplyTo
from bridges.wecom.reference import media_ref
from clawd.ids import to_ms
from clawd.messages import Earlier, File, Image, InboundMessage, MessageId, Sender, Text, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridges.wecom.account import Account
    from bridges.wecom.frames import Frame
    from clawd.messages import Part
    from clawd.response import JsonObject, JsonValue

_MAX_RAW: Final = 64 * 1024
_ID: Final = re.compile(r"[!-~]{1,256}")
_USER: Final = re.compile(r"[^\s\x00-\x1f\ud800-\udfff]{1,128}")
_MENTION: Final = re.compile(r"@\S+(\s+|$)")
_CLOCK_SKEW_S: Final = 86_400


class Odd(ValueError):
    """A callback of a shape that we do not know; the text says what, and quotes nothing of it."""


def read_message(frame: Frame, account: Account, now: datetime) -> InboundMessage | Unreadable:
    """Return the message of an `aibot_msg_callback`; one that can't be read is kept as it came."""
    try:
        return _message(frame, account, now)
    except Odd as odd:
        return unreadable(frame.body, account, str(odd))


def unreadable(raw: JsonValue, account: Account, why: str) -> Unreadable:
    """Return what can't be read; its id is that of its content."""
    text = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False, sort_keys=True)
    encoded = text.encode(errors="replace")
    key = hashlib.sha256(encoded).hexdigest()[:32]
    return Unreadable(
        id=MessageId(f"wecom:{account.bot_id}:raw:{key}"),
        bridge=account.bridge,
        raw=encoded[:_MAX_RAW].decode(errors="ignore"),
        why=why,
    )


def event_id(body: JsonObject, account: Account) -> MessageId:
    """Return the dedup key of a callback; raises Odd without one."""
    msgid = body.get("msgid")
    if not isinstance(msgid, str) or not _ID.fullmatch(msgid):
        raise Odd("no msgid")
    bot = body.get("aibotid", account.bot_id)
    if bot != account.bot_id:
        raise Odd("it is for another bot")
    return MessageId(f"wecom:{account.bot_id}:{msgid}")


def sender_of(body: JsonObject, account: Account) -> Sender:
    """Return who wrote or pressed; raises Odd."""
    user = _object(body, "from").get("userid")
    if not isinstance(user, str) or not _USER.fullmatch(user):
        raise Odd("no sender")
    return Sender(id=user, language=account.language)


def chat_of(body: JsonObject, sender: Sender) -> tuple[str, bool]:
    """Return the chat to answer in, and whether it is a group; raises Odd."""
    match body.get("chattype"):
        case "single":
            return sender.id, False
        case "group":
            chat = body.get("chatid")
            if not isinstance(chat, str) or not _USER.fullmatch(chat):
                raise Odd("a group without chatid")
            return chat, True
        case _:
            raise Odd("no chattype that we know")


def sent_at(body: JsonObject, now: datetime) -> datetime:
    """Return when it was sent, `now` where it does not say so in a way that can be true."""
    seconds = body.get("create_time")
    # Both whole: a number of hundreds of digits is no float.
    if not isinstance(seconds, int) or abs(seconds - int(now.timestamp())) > _CLOCK_SKEW_S:
        return now
    return datetime.fromtimestamp(seconds, UTC)


def _message(frame: Frame, account: Account, now: datetime) -> InboundMessage:
    body = frame.body
    key = event_id(body, account)
    sender = sender_of(body, account)
    chat, group = chat_of(body, sender)
    parts = tuple(_parts(body, account if group else None))
    if not parts:
        raise Odd("nothing is in it")
    quote = tuple(_quoted(body))
    said = "\n".join(part.text for part in quote if isinstance(part, Text))
    return InboundMessage(
        id=key,
        address=account.address_of(chat),
        sender=sender,
        parts=(*parts, *(part for part in quote if not isinstance(part, Text))),
        sent_at=sent_at(body, now),
        group=group,
        reference=str(ReplyTo(req_id=frame.req_id, received_ms=to_ms(now))),
        context=(Earlier(role="user", text=_as_quote(said)),) if said else None,
    )


def _parts(body: JsonObject, mentioned: Account | None) -> Iterator[Part]:
    """Yield the parts of a message or a quote; in a group without the bot's name in front."""
    match body.get("msgtype"):
        case "mixed":
            items = _object(body, "mixed").get("msg_item")
            if not isinstance(items, list) or not items:
                raise Odd("mixed without items")
            for item in items:
                if not isinstance(item, dict) or item.get("msgtype") not in ("text", "image"):
                    raise Odd("an item of a kind that we do not know")
                yield from _parts(item, mentioned)
                mentioned = None if item["msgtype"] == "text" else mentioned
        case "text" | "voice" as kind:
            # A voice message comes as what the platform understood of it; there is no sound to fetch.
            text = _object(body, kind).get("content")
            if not isinstance(text, str):
                raise Odd(f"{kind} without content")
            if said := (_without_mention(text, mentioned) if mentioned else text).strip():
                yield Text(said)
        case "image":
            yield Image(ref=_ref(_object(body, "image")))
        case "file":
            file = _object(body, "file")
            yield File(ref=_ref(file), name=_name(file))
        case "video":
            yield File(ref=_ref(_object(body, "video")), mime="video/mp4")
        case _:
            raise Odd("a kind of message that we do not know")


def _quoted(body: JsonObject) -> Iterator[Part]:
    """Yield the parts of what a message quotes; a quote that can't be read spoils no message."""
    quote = body.get("quote")
    if not isinstance(quote, dict):
        return
    try:
        yield from _parts(quote, None)
    except Odd:
        return


def _as_quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _without_mention(text: str, account: Account) -> str:
    """Take the bot's name away, so that `@Bot /new` reads `/new`; a name alone stays."""
    text = text.strip()
    handle = f"@{account.bot_name}"
    if account.bot_name and text.startswith(handle):
        return text[len(handle) :].strip() or text
    match = _MENTION.match(text)
    return (text[match.end() :].strip() or text) if match else text


def _ref(media: JsonObject) -> str:
    url, key = media.get("url"), media.get("aeskey")
    if not isinstance(url, str) or not isinstance(key, str):
        raise Odd("a file without url or aeskey")
    ref = media_ref(url, key)
    if ref is None:
        raise Odd("a file whose url or aeskey is of no use")
    return ref


def _name(media: JsonObject) -> str | None:
    name = media.get("filename") or media.get("name")
    return name[:255] if isinstance(name, str) and name else None


def _object(body: JsonObject, name: str) -> JsonObject:
    value = body.get(name)
    if not isinstance(value, dict):
        raise Odd(f"no {name}")
    return value
