"""Files that go out: uploaded in pieces, then named by their `media_id`.

Source: developer.work.weixin.qq.com, document 101463: at most 100 pieces of at most 512 KiB, counted from 0; images up
to 10 MB as JPEG or PNG, voice up to 2 MB as AMR, video up to 10 MB as MP4, any file up to 20 MB.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.wecom.errors import ApiError
from clawd.errors import DeliveryRejected, NotFound
from clawd.messages import Audio, Image

if TYPE_CHECKING:
    from bridges.wecom.line import Line
    from clawd.ids import Clock
    from clawd.media import Artifacts, StoredFile
    from clawd.messages import Media

_MIB: Final = 1024 * 1024
CHUNK: Final = 512 * 1024
FILE_LIMIT: Final = 20 * _MIB
_LEAST: Final = 6  # bytes; anything smaller is refused
_KINDS: Final = {  # MIME type to what it is uploaded as, and up to which size
    "image/jpeg": ("image", 10 * _MIB),
    "image/png": ("image", 10 * _MIB),
    "audio/amr": ("voice", 2 * _MIB),
    "video/mp4": ("video", 10 * _MIB),
}
_SUFFIXES: Final = {"image/jpeg": ".jpg", "image/png": ".png", "audio/amr": ".amr", "video/mp4": ".mp4"}
_BY_SUFFIX: Final = {suffix: mime for mime, suffix in _SUFFIXES.items()} | {".jpeg": "image/jpeg"}
_RETRY_S: Final = (0.5, 1.0)  # a piece that is refused is tried twice more


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that the platform holds for three days."""

    kind: str
    media_id: str


def kind_of(stored: StoredFile, name: str) -> str:
    """Return what a file is uploaded as; whatever is too large for its own kind goes as a file."""
    mime = stored.mime or _BY_SUFFIX.get("." + name.lower().rpartition(".")[2], "")
    kind, limit = _KINDS.get(mime, ("file", FILE_LIMIT))
    return kind if stored.size <= limit else "file"


def name_of(stored: StoredFile, part: Media) -> str:
    """Return a file name without folders, with a suffix that the client knows it by."""
    name = (part.name or stored.name or "").replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if c.isprintable())[-100:].strip()
    if name:
        return name
    stem = "image" if isinstance(part, Image) else "audio" if isinstance(part, Audio) else "file"
    return stem + _SUFFIXES.get(stored.mime or "", "")


class Uploads:
    """Brings stored files to the platform, one piece after the other: it refuses many at once."""

    def __init__(self, name: str, line: Line, artifacts: Artifacts, clock: Clock) -> None:
        self._name = name
        self._line = line
        self._artifacts = artifacts
        self._clock = clock

    async def upload(self, part: Media) -> Uploaded:
        """Upload one file.

        Raises:
            DeliveryRejected: it is not here, empty, or too large.
            ApiError, NotSent, NoAnswer: as `Line.request`; nothing was shown to anybody.
        """
        try:
            stored = await self._artifacts.stat(part.ref)
            content = b"".join([piece async for piece in self._artifacts.read(part.ref)])
        except NotFound as error:
            raise DeliveryRejected(self._name, "a file to send is not here any more") from error
        if not _LEAST <= len(content) <= FILE_LIMIT:
            raise DeliveryRejected(
                self._name, "WeCom takes no file of this size", why=f"{len(content)} bytes"
            )
        name = name_of(stored, part)
        kind = kind_of(stored, name)
        pieces = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)]
        begun = await self._line.request(
            "aibot_upload_media_init",
            {
                "type": kind,
                "filename": name,
                "total_size": len(content),
                "total_chunks": len(pieces),
                "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            },
        )
        upload_id = self._text(begun.body.get("upload_id"))
        for index, piece in enumerate(pieces):
            await self._piece(upload_id, index, piece)
        done = await self._line.request("aibot_upload_media_finish", {"upload_id": upload_id})
        return Uploaded(kind=kind, media_id=self._text(done.body.get("media_id")))

    async def _piece(self, upload_id: str, index: int, piece: bytes) -> None:
        data = base64.b64encode(piece).decode()
        for wait_s in (*_RETRY_S, None):
            try:
                await self._line.request(
                    "aibot_upload_media_chunk",
                    {"upload_id": upload_id, "chunk_index": index, "base64_data": data},
                )
            except ApiError:
                if wait_s is None:
                    raise
                await self._clock.sleep(wait_s)
            else:
                return

    def _text(self, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise DeliveryRejected(self._name, "WeCom's answer to an upload names no id")
        return value
