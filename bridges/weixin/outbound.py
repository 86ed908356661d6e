"""From outbound messages to what sendmessage takes: pure.

One request carries one item, so a text with two files is three requests.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from bridges.weixin.media import key_to_send, padded_size
from clawd.messages import Audio, File, Image

if TYPE_CHECKING:
    from clawd.ids import DeliveryId
    from clawd.messages import Media
    from clawd.response import JsonObject

BOT: Final = 2
_FINISHED: Final = 2
_CODE: Final = re.compile(
    r"^ {0,3}(`{3,}|~{3,})[^\n]*\n.*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)|(`+)(?!`).+?(?<!`)\2(?!`)", re.M | re.S
)
_PICTURE: Final = re.compile(r"!\[([^\]\n]*)\]\(([^)\s]+)[^)\n]*\)")
_STRUCK: Final = re.compile(r"~~(?=\S)(.+?)(?<=\S)~~", re.S)
_SMALL_HEADING: Final = re.compile(r"^(#{5,6})[ \t]+", re.M)
_ANGLES: Final = str.maketrans("<>", "＜＞")
_QUOTE: Final = re.compile(r"^( {0,3}(?:> ?)+)", re.M)

MEDIA_TYPES: Final[dict[Literal["image", "video", "file"], int]] = {"image": 1, "video": 2, "file": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that is at the CDN, ready to be named in a message."""

    kind: Literal["image", "video", "file"]
    param: str  # what the CDN gave for the download
    key: bytes
    size: int  # bytes of the plain content
    name: str


def format_text(markdown: str) -> str:
    """Return Markdown as WeChat's client shows it best.

    It knows a subset: pictures, struck text and small headings come out as signs, and a bare `<` hides
    what follows. Code stays as it is.
    """
    formatted, at = [], 0
    for code in _CODE.finditer(markdown):
        formatted += [_format_prose(markdown[at : code.start()]), code.group()]
        at = code.end()
    return "".join([*formatted, _format_prose(markdown[at:])]).strip()


def _format_prose(text: str) -> str:
    text = _PICTURE.sub(lambda m: f"{m[1]} ({m[2]})" if m[1] else m[2], text)
    text = _STRUCK.sub(r"\1", text)
    text = _SMALL_HEADING.sub("#### ", text)
    pieces = _QUOTE.split(text)  # every second one is the mark of a quote, which stays
    return "".join(piece if n % 2 else piece.translate(_ANGLES) for n, piece in enumerate(pieces))


def client_id(delivery: DeliveryId, item: int) -> str:
    """Return our id of one request; equal for every attempt of it."""
    return f"clawd-{hashlib.sha256(f'{delivery}:{item}'.encode()).hexdigest()[:32]}"


def message_of(user: str, token: str, own_id: str, item: JsonObject) -> JsonObject:
    """Return `msg` of sendmessage."""
    return {
        "from_user_id": "",
        "to_user_id": user,
        "client_id": own_id,
        "message_type": BOT,
        "message_state": _FINISHED,
        "item_list": [item],
        "context_token": token,
    }


def text_item(text: str) -> JsonObject:
    """Return the item of a text."""
    return {"type": 1, "text_item": {"text": text}}


def file_item(file: Uploaded) -> JsonObject:
    """Return the item of a file."""
    media: JsonObject = {
        "encrypt_query_param": file.param,
        "aes_key": key_to_send(file.key),
        "encrypt_type": 1,
    }
    match file.kind:
        case "image":
            return {"type": 2, "image_item": {"media": media, "mid_size": padded_size(file.size)}}
        case "video":
            return {"type": 5, "video_item": {"media": media, "video_size": padded_size(file.size)}}
        case "file":
            return {"type": 4, "file_item": {"media": media, "file_name": file.name, "len": str(file.size)}}


def kind_of(part: Media, mime: str | None) -> Literal["image", "video", "file"]:
    """Return how a file is sent. The server refuses voice from bots, so sounds go as files."""
    match part:
        case Image():
            return "image"
        case File() if (mime or "").startswith("video/"):
            return "video"
        case Audio() | File():
            return "file"
