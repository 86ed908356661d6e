"""Files as requests: which method carries which, and the rungs below. Pure.

Source: Bot API, sendPhoto, sendVoice, sendAudio and sendDocument: 50 MB, captions of 1,024 UTF-16 units, voice
notes as Ogg with Opus, other sound as MP3 or M4A.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from bridges.telegram.format import Formatted
from bridges.telegram.keyboard import buttons_of
from bridges.telegram.lean import SendAudio, SendDocument, SendPhoto, SendVoice
from bridges.telegram.outbound import (
    Rung,
    answered,
    content_of,
    entities_of,
    keyboard_of,
    reply_to,
    target,
)
from bridges.telegram.pictures import is_photo
from bridges.telegram.session import Upload, plain
from bridges.telegram.units import utf16_len
from clawd.messages import Audio, Image

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.telegram.errors import Trouble
    from bridges.telegram.keyboard import Button
    from clawd.messages import Media, OutboundMessage

FILE_LIMIT: Final = 50_000_000
CAPTION_LIMIT: Final = 1024
ANSWER_NAME: Final = "answer.md"

_NOTHING: Final = Formatted("")

Kind = Literal["photo", "voice", "audio", "document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One file as it will go out; each rung of the ladder is another."""

    chat: int | str
    upload: Upload
    kind: Kind
    caption: str = ""  # Markdown
    content: Formatted = _NOTHING  # of the caption
    instead: str = ""  # Markdown, where Telegram does not take the file at all
    duration_s: float | None = None
    thread: int | None = None
    reply_to: int | None = None
    buttons: tuple[Button, ...] = ()
    edit: None = None  # a file never replaces a message
    rich: Literal[False] = False
    is_empty: Literal[False] = False

    def method(self) -> SendPhoto | SendVoice | SendAudio | SendDocument:
        """Return the request."""
        common: dict[str, Any] = {
            "chat_id": self.chat,
            "caption": self.content.text or None,
            "caption_entities": entities_of(self.content),
            "parse_mode": None,
            "message_thread_id": self.thread,
            "reply_parameters": reply_to(self.reply_to),
            "reply_markup": keyboard_of(self.buttons),
        }
        seconds = round(self.duration_s) if self.duration_s is not None else None
        match self.kind:
            case "photo":
                return plain(SendPhoto)(photo=self.upload, **common)
            case "voice":
                return plain(SendVoice)(voice=self.upload, duration=seconds, **common)
            case "audio":
                return plain(SendAudio)(audio=self.upload, duration=seconds, **common)
            case "document":
                return plain(SendDocument)(document=self.upload, **common)

    def below(self, trouble: Trouble | None) -> Parcel | Rung | None:
        """Return what to try after this complaint, None when there is nothing left to give up."""
        match trouble:
            case "media" | "other" if self.kind != "document":
                return replace(self, kind="document")
            case "thread_gone" if self.thread is not None:
                return replace(self, thread=None)
            case "reply_gone" if self.reply_to is not None:
                return replace(self, reply_to=None)
            case "buttons" if self.buttons:
                return replace(self, buttons=())
            case "entities" if self.content.entities:
                return replace(self, content=Formatted(self.caption.strip()))
            case "media" | "other" if self.instead:
                return self._in_words()
            case _:
                return None

    def _in_words(self) -> Rung:
        """Return what is sent where the file can't be."""
        source = f"{self.caption}\n{self.instead}" if self.caption else self.instead
        return Rung(
            chat=self.chat,
            source=source,
            content=content_of(source, plain=False),
            thread=self.thread,
            reply_to=self.reply_to,
            buttons=self.buttons,
        )

    def halves(self) -> tuple[Rung, Parcel] | None:
        """Return the caption as a message of its own, and the file without; None without a caption."""
        if not self.caption:
            return None
        first = Rung(
            chat=self.chat,
            source=self.caption,
            content=self.content,
            thread=self.thread,
            reply_to=self.reply_to,
        )
        return first, replace(self, caption="", content=_NOTHING, reply_to=None)


def answer_as_document(message: OutboundMessage) -> Parcel:
    """Return a whole answer as a file, with the repeat mark that stands in front of it as its caption.

    Raises:
        ValueError: the address is not one of Telegram's.
    """
    chat, thread = target(message.address)
    mark, text = "", message.text
    if message.repeated and message.edit_of is None:
        mark, _, text = text.partition("\n")
    raw = text.encode(errors="replace")

    async def content() -> AsyncIterator[bytes]:
        yield raw

    return Parcel(
        chat=chat,
        upload=Upload(ANSWER_NAME, content, len(raw)),
        kind="document",
        instead=text,
        caption=mark,
        content=Formatted(mark.strip()),
        thread=thread,
        reply_to=answered(message, chat),
        buttons=buttons_of(message),
    )


def captioned(parcel: Parcel, rung: Rung) -> Parcel | None:
    """Return the file with a text as its caption, None when it does not fit or takes another's place."""
    content = content_of(rung.source, plain=rung.plain)
    if rung.edit is not None or rung.rich or utf16_len(content.text) > CAPTION_LIMIT:
        return None
    return replace(parcel, caption=rung.source, content=content, reply_to=rung.reply_to, buttons=rung.buttons)


def in_words(name: str) -> str:
    """Return what stands in the place of a file that can't be sent; no sentence, so in every language."""
    return f"📎 `{name.replace('`', '')}` ✗"


def kind_of(part: Media, head: bytes, size: int) -> Kind:
    """Return how a file is sent best, by what it is and by its first bytes."""
    match part:
        case Image() if is_photo(head, size):
            return "photo"
        case Audio() if head.startswith(b"OggS") and b"OpusHead" in head[:64]:
            return "voice"
        case Audio() if head.startswith(b"ID3") or _is_mp3(head) or head[4:11] == b"ftypM4A":
            return "audio"
        case _:
            return "document"


def _is_mp3(head: bytes) -> bool:
    """Whether this is a frame of MPEG audio, layer III: eleven bits of one, then version and layer."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
