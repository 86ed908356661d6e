"""Files of a message, as far as its bridge can send them. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from clawd.messages import Audio, Image
from clawd.models.pictures import note_of

if TYPE_CHECKING:
    from clawd.messages import BridgeCapabilities, Media, OutboundMessage


def sendable(message: OutboundMessage, capabilities: BridgeCapabilities) -> OutboundMessage:
    """Return the message with the files that the bridge takes; a line of the text names each of the others."""
    if not message.files:
        return message
    left = [file for file in message.files if not _fits(file, capabilities)]
    if not left:
        return message
    return replace(
        message,
        text="\n".join((message.text, *map(note_of, left))).lstrip("\n"),
        files=tuple(file for file in message.files if file not in left),
    )


def _fits(file: Media, capabilities: BridgeCapabilities) -> bool:
    return _kind(file) in capabilities.files and (file.size or 0) <= capabilities.file_limit


def _kind(file: Media) -> Literal["image", "audio", "file"]:
    return "image" if isinstance(file, Image) else "audio" if isinstance(file, Audio) else "file"
