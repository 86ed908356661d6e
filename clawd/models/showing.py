"""Stored pictures on their way to a model: read and sent along, or told in words where that can't be."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from clawd.errors import NotFound
from clawd.media import is_stored
from clawd.messages import Image, Text
from clawd.models.base import UserMessage
from clawd.models.pictures import SHOWN_TYPES, is_shown, note_of

if TYPE_CHECKING:
    from clawd.media import Artifacts
    from clawd.messages import Part
    from clawd.models.base import ChatMessage, ModelRequest

MAX_PICTURES: Final = 16  # stored ones in one request, the newest
MAX_PICTURE_BYTES: Final = 5_000_000  # of one; Anthropic takes no larger one
MAX_BYTES: Final = 15_000_000  # of all of them; base64 adds a third, and Anthropic takes 32 MB


@dataclass(slots=True)
class _Room:
    """What is left of a request's limits."""

    pictures: int = MAX_PICTURES
    size: int = MAX_BYTES


async def with_pictures(request: ModelRequest, files: Artifacts, *, vision: bool) -> ModelRequest:
    """Return the request as its model takes it: pictures as data URLs or addresses, all else in words.

    The newest pictures go first where there are too many of them.
    """
    if not any(_has_file(message) for message in request.messages):
        return request
    room = _Room()
    messages: list[ChatMessage] = []
    for message in reversed(request.messages):
        if isinstance(message, UserMessage) and _has_file(message):
            parts = [await _shown(part, files, room, vision=vision) for part in reversed(message.parts)]
            messages.append(UserMessage(tuple(reversed(parts))))
        else:
            messages.append(message)
    return replace(request, messages=tuple(reversed(messages)))


def _has_file(message: ChatMessage) -> bool:
    return isinstance(message, UserMessage) and any(not isinstance(part, Text) for part in message.parts)


async def _shown(part: Part, files: Artifacts, room: _Room, *, vision: bool) -> Part:
    if isinstance(part, Text):
        return part
    if not isinstance(part, Image):
        return Text(note_of(part))
    if not vision:
        return Text(note_of(part, "this model can't see images"))
    if not is_stored(part.ref):
        return part if is_shown(part) else Text(note_of(part, "it can't be shown"))
    try:
        file = await files.stat(part.ref)
        if why := _reason(file.mime, file.size, room):
            return Text(note_of(part, why))
        content = bytearray()
        async for piece in files.read(part.ref):
            content += piece
    except NotFound:
        return Text(note_of(part, "it is no longer there"))
    room.pictures -= 1
    room.size -= file.size
    encoded = await asyncio.to_thread(b64encode, content)
    return replace(part, ref=f"data:{file.mime};base64,{encoded.decode()}")


def _reason(mime: str | None, size: int, room: _Room) -> str:
    """Return why a picture is not sent; empty where it is."""
    if mime not in SHOWN_TYPES:
        return f"models can't see {mime or 'this type'}"
    if size > MAX_PICTURE_BYTES:
        return "it is too large to be shown"
    if room.pictures < 1 or size > room.size:
        return "not shown again: newer images take its place"
    return ""
