"""What a file is and how it is called, believed only as far as it shows. Pure.

Source: the signatures of the formats' own specifications, as "MIME Sniffing" (WHATWG) lists them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

HEAD_BYTES: Final = 64
"""So much of a file's beginning tells its type."""

UNKNOWN: Final = "application/octet-stream"
MAX_NAME: Final = 200  # characters

_MIME: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"#!SILK", "audio/silk"),
    (b"\x02#!SILK", "audio/silk"),
    (b"%PDF-", "application/pdf"),
)
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BRANDS: Final = {b"heic": "image/heic", b"heix": "image/heic", b"avif": "image/avif", b"M4A ": "audio/mp4"}
_MPEG: Final = frozenset({0xFB, 0xF3, 0xF2, 0xFA})
_AAC: Final = frozenset({0xF1, 0xF9})
_ALIKE: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/opus": "audio/ogg",
}
_CONTAINERS: Final = frozenset({"audio/ogg"})  # they hold sound or moving pictures


def sniff(head: bytes) -> str | None:
    """Return the type that a file's first bytes show; None where they show none of those known here."""
    for beginning, mime in _BEGINNINGS:
        if head.startswith(beginning):
            return mime
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    if len(head) > 1 and head[0] == 0xFF:
        return "audio/mpeg" if head[1] in _MPEG else "audio/aac" if head[1] in _AAC else None
    return None


def agreed(claimed: str | None, head: bytes) -> str:
    """Return the type to believe: what the bytes show, else what is claimed if nothing speaks against it.

    A picture or a sound that does not begin like one is not called so, whatever its sender says.
    """
    claimed = (claimed or "").partition(";")[0].strip().lower()
    claimed = _ALIKE.get(claimed, claimed)
    shown = sniff(head)
    if shown is not None:
        return "video/ogg" if shown in _CONTAINERS and claimed == "video/ogg" else shown
    if not _MIME.fullmatch(claimed) or claimed.startswith(("image/", "audio/")):
        return UNKNOWN
    return claimed


def safe_name(name: str | None) -> str | None:
    """Return a name to show, without folders and control characters; None where nothing is left.

    It is never a path to open.
    """
    if not name:
        return None
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip().lstrip(".").strip()
    if len(shown) > MAX_NAME:
        stem, dot, ending = shown.rpartition(".")
        keep = f".{ending}" if dot and stem and len(ending) <= 16 else ""
        shown = shown[: MAX_NAME - len(keep)] + keep
    return shown or None
