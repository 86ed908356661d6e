"""What a message says and carries, as parts: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridges.telegram.lean import Sound
from bridges.telegram.units import utf16_slice
from clawd.messages import Audio, File, Image, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridges.telegram.account import Account
    from bridges.telegram.lean import Message, MessageEntity
    from clawd.messages import Part

READ: Final = frozenset(
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
"""Of a Message object; the rest of it must not cost us a message."""

_PICTURES: Final = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
"""Those that models read; any other is a file."""


def words_of(message: Message) -> tuple[str, Sequence[MessageEntity]]:
    """Return text or caption, and its entities."""
    if message.text is not None:
        return message.text, message.entities or ()
    return message.caption or "", message.caption_entities or ()


def _own_text(message: Message, account: Account) -> str:
    """Return text or caption; a command at its head loses our name, so that `/new@us` reads `/new`."""
    text, entities = words_of(message)
    head = next((e for e in entities if e.type == "bot_command" and e.offset == 0), None)
    if head is not None:
        command = utf16_slice(text, 0, head.length)
        name, _, target = command.partition("@")
        if target.lower() == account.username.lower():
            return name + text[len(command) :]
    return text


def parts_of(message: Message, account: Account) -> Iterator[Part]:
    """Yield what a message says and carries, files by reference; nothing for a service message."""
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
                name=sound.file_name if isinstance(sound, Sound) else None,
            )
    yield from _files(message)


def _files(message: Message) -> Iterator[Image | File]:
    # An animation comes with the same file as a document, for old clients.
    document = None if message.animation is not None else message.document
    for named in (message.animation, document, message.video):
        if named is None:
            continue
        if named.mime_type in _PICTURES:  # sent "as a file", so that no app makes it smaller
            yield Image(ref=named.file_id, name=named.file_name, mime=named.mime_type, size=named.file_size)
        else:
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
