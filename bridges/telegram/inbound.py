"""From updates to inbound events: pure, and tested with recorded payloads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from bridges.telegram.drafts import STOPPED, read_stop
from bridges.telegram.lean import Update
from bridges.telegram.presses import Press, answers_ours, read_answer, read_press
from bridges.telegram.units import utf16_len, utf16_slice
from clawd.messages import (
    SPLIT_TEXT,
    Audio,
    File,
    Image,
    InboundControl,
    InboundMessage,
    MessageId,
    Sender,
    Text,
    Unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from bridges.telegram.account import Account
    from bridges.telegram.lean import Chat, Message, MessageEntity
    from clawd.messages import Inbound, Part

ALLOWED_UPDATES: Final = ("message", "callback_query", STOPPED)
"""The kinds we ask for. Stated in each request, because the server remembers the last statement."""

SPLIT_FROM: Final = 2000
"""UTF-16 units of a text that may be a piece of a longer one.

A text above 4,096 units is cut by the sender's own app, and nothing tells the pieces from messages of their
own. They are not all full: Telegram Desktop cuts at the best paragraph, line or sentence in the second half
(`TextUtilities::CutPart` begins to look behind limit / 2), iOS behind the last full stop or line end
(`breakChatInputText`), Android at the limit (`processSendingText`); all of them trim white space off. A
long text that was whole waits a second for nothing, which its answer takes anyway.
"""

_READ: Final = frozenset(
    {
        "message_id",
        "date",
        "chat",
        "from",
        "sender_chat",
        "is_automatic_forward",
        "is_topic_message",
        "message_thread_id",
        "text",
        "entities",
        "caption",
        "caption_entities",
        "animation",
        "audio",
        "contact",
        "dice",
        "document",
        "location",
        "media_group_id",
        "photo",
        "poll",
        "sticker",
        "venue",
        "video",
        "video_note",
        "voice",
    }
)
_READ_OF_ANSWERED: Final = frozenset({"message_id", "date", "chat", "from", "forum_topic_created"})
_MAX_RAW = 64 * 1024
_GROUPS: Final = frozenset({"group", "supergroup"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one getUpdates gave."""

    events: tuple[Inbound, ...]
    presses: tuple[Press, ...]  # pressed buttons that wait for an answer
    next_offset: int | None  # one above the greatest update id, None when no update had one


def read_batch(updates: Sequence[Any], account: Account, now: datetime) -> Batch:
    """Return the events of a batch in the order of their ids, each update read on its own.

    An update that is nothing to us only moves the offset; one that can't be read is kept raw. `now` is the
    time of what carries none.
    """
    numbered = sorted(updates, key=lambda update: _number(update) or 0)
    numbers = [number for number in map(_number, numbered) if number is not None]
    events: list[Inbound] = []
    presses: list[Press] = []
    for update in numbered:
        event = read_update(update, account, now)
        if event is not None:
            events.append(event)
        answer = event if isinstance(event, InboundControl) else None
        if isinstance(update, dict) and (press := read_press(update.get("callback_query"), answer)):
            presses.append(press)
    return Batch(
        events=tuple(events), presses=tuple(presses), next_offset=max(numbers) + 1 if numbers else None
    )


def read_update(raw: Any, account: Account, now: datetime) -> Inbound | None:
    """Return the event of one update as JSON gave it, None when it is nothing to us."""
    number = _number(raw)
    if number is None:
        digest = hashlib.sha256(_dump(raw).encode()).hexdigest()[:16]
        return _unreadable(raw, account, digest, "no update_id")
    pressed = raw.get("callback_query")
    stopped = raw.get(STOPPED)
    if raw.get("message") is None and stopped is None and not answers_ours(pressed):
        return None
    event_id = f"tg:{account.id}:{number}"
    try:
        json.dumps(raw, ensure_ascii=False).encode()  # half characters could be stored nowhere
        if stopped is not None:
            return read_stop(stopped, event_id, account, now)
        if raw.get("message") is None:
            return read_answer(pressed, event_id, account, now)
        message = Update.model_validate({"update_id": number, "message": _pruned(raw["message"])}).message
    except UnicodeEncodeError:
        return _unreadable(raw, account, str(number), "not valid Unicode")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return _unreadable(raw, account, str(number), f"{place}: {first['msg']}")
    except RecursionError:
        return _unreadable(raw, account, str(number), "nested too deeply")
    return None if message is None else _read_message(message, event_id, account)


def _pruned(message: Any) -> Any:
    """Return what is read of a Message object.

    The rest must not cost us a message: which fields of it are required changes with each Bot API.
    """
    if not isinstance(message, dict):
        return message
    kept = {name: value for name, value in message.items() if name in _READ}
    answered = message.get("reply_to_message")
    if isinstance(answered, dict):
        kept["reply_to_message"] = {n: v for n, v in answered.items() if n in _READ_OF_ANSWERED}
    return kept


def _read_message(message: Message, event_id: str, account: Account) -> InboundMessage | None:
    sender = _sender(message, account)
    if sender is None or message.chat.type not in {"private", *_GROUPS}:
        return None
    parts = tuple(_parts(message, account))
    if not parts:  # somebody joined, a title changed …
        return None
    group = message.chat.type in _GROUPS
    return InboundMessage(
        id=MessageId(event_id),
        address=account.address_of(message),
        sender=sender,
        parts=parts,
        sent_at=message.date,
        group=group,
        addressed=not group or _addressed(message, account),
        reference=str(message.message_id),
        piece_of=_piece_of(message),
    )


def _piece_of(message: Message) -> str | None:
    """Return what a message is a piece of: an album, or perhaps a text that was too long for one message."""
    if message.media_group_id is not None:
        return message.media_group_id
    if message.text is not None and utf16_len(message.text) >= SPLIT_FROM:
        return SPLIT_TEXT
    return None


def _sender(message: Message, account: Account) -> Sender | None:
    """Return who wrote it; None for bots, ourselves and posts that a channel copied into its group."""
    if message.sender_chat is not None:
        if message.is_automatic_forward:
            return None
        return Sender(id=str(message.sender_chat.id), name=_title(message.sender_chat))
    user = message.from_user
    if user is None or user.is_bot or user.id == account.id:
        return None
    return Sender(id=str(user.id), name=user.full_name, language=user.language_code)


def _title(chat: Chat) -> str | None:
    return chat.title or chat.first_name


def _addressed(message: Message, account: Account) -> bool:
    """Whether a message in a group is meant for us: a mention, a reply to us, `/command@us`."""
    text, entities = _words(message)
    handle = f"@{account.username}".lower()
    for entity in entities:
        words = utf16_slice(text, entity.offset, entity.length).lower()
        if entity.type == "mention" and words == handle:
            return True
        if entity.type == "bot_command" and words.endswith(handle):
            return True
        if entity.type == "text_mention" and entity.user is not None and entity.user.id == account.id:
            return True
    answered = message.reply_to_message
    # In a topic every message "replies" to the one that opened the topic.
    if answered is None or answered.forum_topic_created is not None:
        return False
    return answered.from_user is not None and answered.from_user.id == account.id


def _words(message: Message) -> tuple[str, Sequence[MessageEntity]]:
    if message.text is not None:
        return message.text, message.entities or ()
    return message.caption or "", message.caption_entities or ()


def _own_text(message: Message, account: Account) -> str:
    """Return text or caption; a command at its head loses our name, so that `/new@us` reads `/new`."""
    text, entities = _words(message)
    head = next((e for e in entities if e.type == "bot_command" and e.offset == 0), None)
    if head is not None:
        command = utf16_slice(text, 0, head.length)
        name, _, target = command.partition("@")
        if target.lower() == account.username.lower():
            return name + text[len(command) :]
    return text


def _parts(message: Message, account: Account) -> Iterator[Part]:
    if text := _own_text(message, account) or _described(message):
        yield Text(text)
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        yield Image(ref=largest.file_id, mime="image/jpeg", size=largest.file_size)
    if (sticker := message.sticker) is not None and not (sticker.is_animated or sticker.is_video):
        yield Image(ref=sticker.file_id, mime="image/webp", size=sticker.file_size)
    for sound in (message.voice, message.audio):
        if sound is not None:
            yield Audio(
                ref=sound.file_id,
                mime=sound.mime_type,
                size=sound.file_size,
                duration_s=float(sound.duration),
            )
    yield from _files(message)


def _files(message: Message) -> Iterator[File]:
    # An animation comes with the same file as a document, for old clients.
    document = None if message.animation is not None else message.document
    for named in (message.animation, document, message.video):
        if named is not None:
            yield File(ref=named.file_id, name=named.file_name, mime=named.mime_type, size=named.file_size)
    if (note := message.video_note) is not None:
        yield File(ref=note.file_id, mime="video/mp4", size=note.file_size)


def _described(message: Message) -> str:
    """Return in words what has no text of its own and no file."""
    if message.sticker is not None:
        return message.sticker.emoji or ""
    if message.venue is not None:
        place = message.venue.location
        return f"{message.venue.title}, {message.venue.address} ({place.latitude}, {place.longitude})"
    if message.location is not None:
        return f"({message.location.latitude}, {message.location.longitude})"
    if message.contact is not None:
        name = " ".join(filter(None, (message.contact.first_name, message.contact.last_name)))
        return f"{name}: {message.contact.phone_number}"
    if message.dice is not None:
        return f"{message.dice.emoji} {message.dice.value}"
    if message.poll is not None:
        return "\n".join([message.poll.question, *(f"- {option.text}" for option in message.poll.options)])
    return ""


def _number(raw: Any) -> int | None:
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _unreadable(raw: Any, account: Account, key: str, why: str) -> Unreadable:
    return Unreadable(
        id=MessageId(f"tg:{account.id}:{key}"), bridge=account.bridge, raw=_dump(raw)[:_MAX_RAW], why=why
    )


def _dump(raw: Any) -> str:
    try:
        return json.dumps(raw)
    except RecursionError:
        return repr(type(raw))
