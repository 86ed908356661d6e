"""What one delivery is made of: its text, and the files behind it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bridges.telegram.outbound import Rung, content_of
from bridges.telegram.parcels import FILE_LIMIT, Parcel, captioned, in_words, kind_of
from bridges.telegram.session import Upload
from clawd.errors import NotFound
from clawd.messages import Audio

if TYPE_CHECKING:
    from clawd.media import Artifacts
    from clawd.messages import Media, OutboundMessage

log = logging.getLogger(__name__)

_UNNAMED: Final = "file"


async def pack(message: OutboundMessage, rung: Rung, artifacts: Artifacts) -> list[Rung | Parcel]:
    """Return what is sent, in order: the text, unless it is empty, and the files behind it.

    One file under a short text is one message. A file that is not there any more, or is too large for
    Telegram, is named in words, so that nothing is missing unseen.
    """
    text: list[Rung | Parcel] = [] if rung.is_empty else [rung]
    files = [await _parcel(file, rung, artifacts) for file in message.files]
    match text, files:
        case [_], [Parcel() as only] if (one := captioned(only, rung)) is not None:
            return [one]
        case [], [first, *rest]:
            return [replace(first, reply_to=rung.reply_to), *rest]
        case _:
            return [*text, *files]


async def _parcel(file: Media, rung: Rung, artifacts: Artifacts) -> Parcel | Rung:
    """Return a file as it is sent best: alone in its message, in the text's chat and topic."""
    name = file.name or _UNNAMED
    try:
        stored = await artifacts.stat(file.ref)
        name = file.name or stored.name or _UNNAMED
        head = await _head(artifacts, file.ref)
    except NotFound:
        stored, head = None, b""
    if stored is None or stored.size > FILE_LIMIT:
        log.warning("file_not_sent", extra={"file": file.ref, "reason": "too large" if stored else "gone"})
        words = in_words(name)
        content = content_of(words, plain=False)
        return Rung(chat=rung.chat, thread=rung.thread, source=words, content=content)
    return Parcel(
        chat=rung.chat,
        thread=rung.thread,
        upload=Upload(name, lambda: artifacts.read(file.ref), stored.size),
        kind=kind_of(file, head, stored.size),
        instead=in_words(name),
        duration_s=file.duration_s if isinstance(file, Audio) else None,
    )


async def _head(artifacts: Artifacts, ref: str) -> bytes:
    """Return a file's first piece."""
    pieces = artifacts.read(ref)
    try:
        return await anext(pieces, b"")
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
