"""From the messages of getupdates to inbound events: pure, and tested with recorded payloads."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bridges.weixin.contexts import Context
from bridges.weixin.media import BadMedia, MediaRef, read_key
from clawd.messages import Address, Audio, File, Image, InboundMessage, MessageId, Sender, Text, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clawd.messages import Inbound, Part

USER: Final = 1
_MAX_RAW: Final = 64 * 1024
_MAX_QUOTE: Final = 500
_MAX_NAME: Final = 120
_MAX_MS: Final = 253_402_300_799_000  # the end of year 9999
_UNSAFE: Final = re.compile(r"[/\\:*?\"<>|]")


def _number(value: object) -> object:
    """Take a number that was written as a string, as some clients write what JavaScript can't hold."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value) else value


Number = Annotated[int, BeforeValidator(_number), Field(ge=0, lt=2**64)]
UserId = Annotated[str, Field(min_length=1, max_length=256)]


class _Wire(BaseModel):
    """What the platform may extend; what we read has to have its type."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


class _Media(_Wire):
    encrypt_query_param: str | None = None
    aes_key: str | None = None
    full_url: str | None = None


class _TextItem(_Wire):
    text: str | None = None


class _ImageItem(_Wire):
    media: _Media | None = None
    aeskey: str | None = None
    mid_size: Number | None = None


class _VoiceItem(_Wire):
    media: _Media | None = None
    encode_type: Number | None = None
    playtime: Number | None = None  # milliseconds
    text: str | None = None


class _FileItem(_Wire):
    media: _Media | None = None
    file_name: str | None = None
    len: Number | None = None


class _VideoItem(_Wire):
    media: _Media | None = None


class _RefMessage(_Wire):
    title: str | None = None
    message_item: _Item | None = None


class _Item(_Wire):
    type: int | None = None
    text_item: _TextItem | None = None
    image_item: _ImageItem | None = None
    voice_item: _VoiceItem | None = None
    file_item: _FileItem | None = None
    video_item: _VideoItem | None = None
    ref_msg: _RefMessage | None = None


class _Message(_Wire):
    seq: Number | None = None
    message_id: Number | None = None
    from_user_id: UserId
    create_time_ms: Number | None = None
    message_type: int
    item_list: list[_Item] | None = None
    group_id: str | None = None
    context_token: Annotated[str, Field(max_length=16384)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one answer of getupdates holds."""

    events: tuple[Inbound, ...]
    contexts: tuple[tuple[str, Context], ...]  # by user, in the order of their messages


def read_batch(messages: Sequence[object], bridge: str, account: str, now: datetime) -> Batch:
    """Return the events in the order in which they came, each message read on its own.

    What is nothing to us (our own echo, groups) only moves the cursor; what can't be read is kept raw.
    `now` is the time of what carries none.
    """
    events: list[Inbound] = []
    contexts: list[tuple[str, Context]] = []
    for raw in messages:
        event, context = read_message(raw, bridge, account, now)
        if event is not None:
            events.append(event)
        if context is not None:
            contexts.append(context)
    return Batch(events=tuple(events), contexts=tuple(contexts))


def read_message(
    raw: object, bridge: str, account: str, now: datetime
) -> tuple[Inbound | None, tuple[str, Context] | None]:
    """Return the event of one message as JSON gave it, and what it allows to answer with."""
    try:
        json.dumps(raw, ensure_ascii=False).encode()  # half characters could be stored nowhere
        message = _Message.model_validate(raw)
    except UnicodeEncodeError:
        return _unreadable(raw, bridge, account, "not valid Unicode"), None
    except ValidationError as error:
        if isinstance(raw, dict) and raw.get("message_type") not in (None, USER):
            return None, None
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return _unreadable(raw, bridge, account, f"{place}: {first['msg']}"), None
    except RecursionError:
        return _unreadable(raw, bridge, account, "nested too deeply"), None
    # The platform's bot is for private chats; what a group says was not said to us.
    if message.message_type != USER or message.group_id or message.from_user_id == account:
        return None, None
    at_ms = message.create_time_ms or 0
    sent_at = datetime.fromtimestamp(at_ms / 1000, UTC) if 0 < at_ms <= _MAX_MS else now
    context = None
    if message.context_token:
        token = Context(
            token=message.context_token, at_ms=int(sent_at.timestamp() * 1000), seq=message.seq or 0
        )
        context = (message.from_user_id, token)
    parts = tuple(_parts(message.item_list or ()))
    if not parts:
        kinds = ", ".join(str(item.type) for item in message.item_list or ()) or "none"
        return _unreadable(raw, bridge, account, f"no item that is known; types: {kinds}"), context
    return (
        InboundMessage(
            id=_key(message, raw, account),
            address=Address(bridge=bridge, account=account, chat=message.from_user_id),
            sender=Sender(id=message.from_user_id),
            parts=parts,
            sent_at=sent_at,
            reference=str(message.message_id) if message.message_id else None,
        ),
        context,
    )


def _key(message: _Message, raw: object, account: str) -> MessageId:
    """Return the dedup key; ids are unsigned 64-bit numbers, so they stay text."""
    if message.message_id:
        return MessageId(f"wx:{account}:{message.message_id}")
    if message.seq:
        return MessageId(f"wx:{account}:seq:{message.seq}")
    if message.create_time_ms:
        return MessageId(f"wx:{account}:{message.from_user_id}:{message.create_time_ms}")
    return MessageId(f"wx:{account}:raw:{_digest(raw)}")


def _parts(items: Sequence[_Item]) -> Iterator[Part]:
    for item in items:
        match item:
            case _Item(type=1, text_item=_TextItem(text=str(text))) if text:
                yield Text(_quoted(item, text))
            case _Item(type=2, image_item=_ImageItem() as image):
                if (ref := _ref(image.media, image.aeskey)) is not None:
                    yield Image(ref=ref)
            case _Item(type=3, voice_item=_VoiceItem() as voice):
                yield from _voice(voice)
            case _Item(type=4, file_item=_FileItem() as file):
                if (ref := _ref(file.media, None)) is not None:
                    yield File(ref=ref, name=safe_name(file.file_name), size=file.len)
            case _Item(type=5, video_item=_VideoItem() as video):
                # `video_size` is that of the ciphertext, so nothing is said of the size.
                if (ref := _ref(video.media, None)) is not None:
                    yield File(ref=ref, mime="video/mp4")
            case _:
                pass  # of a later version


def _voice(voice: _VoiceItem) -> Iterator[Part]:
    """A voice note that the platform has understood is its text; any other is a file."""
    if voice.text:
        yield Text(voice.text)
    elif (ref := _ref(voice.media, None)) is not None:
        duration = voice.playtime / 1000 if voice.playtime is not None else None
        yield Audio(ref=ref, mime="audio/silk" if voice.encode_type == 6 else None, duration_s=duration)


def _ref(media: _Media | None, image_key: str | None) -> str | None:
    """Return the reference of a file, None for one that nothing leads to."""
    if media is None:
        return None
    try:
        text = image_key or media.aes_key
        key = read_key(text) if text else b""
        ref = str(MediaRef(param=media.encrypt_query_param or "", url=media.full_url or "", key=key))
        MediaRef.parse(ref)
    except BadMedia:
        return None
    return ref


def _quoted(item: _Item, text: str) -> str:
    """Return a text with what it answers in front; a command has to stay at its head."""
    if item.ref_msg is None or text.lstrip().startswith("/"):
        return text
    answered = item.ref_msg.message_item
    words = answered.text_item.text if answered is not None and answered.text_item is not None else None
    quote = (words or item.ref_msg.title or "").strip()[:_MAX_QUOTE]
    if not quote:
        return text
    return "\n".join(f"> {line}" for line in quote.splitlines()) + f"\n\n{text}"


def safe_name(name: str | None) -> str | None:
    """Return a file's name without anything that could lead out of a folder or hide its end."""
    if not name:
        return None
    visible = "".join(c for c in name if unicodedata.category(c)[0] != "C")
    cleaned = _UNSAFE.sub("_", visible).strip(" .")
    if len(cleaned) > _MAX_NAME:
        stem, dot, ending = cleaned.rpartition(".")
        keep = f"{dot}{ending}" if stem and len(ending) <= 12 else ""
        cleaned = cleaned[: _MAX_NAME - len(keep)] + keep
    return cleaned or None


def _digest(raw: object) -> str:
    return hashlib.sha256(_dump(raw).encode()).hexdigest()[:24]


def _unreadable(raw: object, bridge: str, account: str, why: str) -> Unreadable:
    return Unreadable(
        id=MessageId(f"wx:{account}:raw:{_digest(raw)}"),
        bridge=bridge,
        raw=_dump(_hidden(raw))[:_MAX_RAW],
        why=why,
    )


def _hidden(raw: Any) -> Any:
    """Without the token that would let others write to this user."""
    return {**raw, "context_token": "***"} if isinstance(raw, dict) and "context_token" in raw else raw


def _dump(raw: object) -> str:
    try:
        return json.dumps(raw)
    except (RecursionError, ValueError, TypeError):
        return repr(type(raw))
