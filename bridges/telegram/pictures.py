"""How large a picture is, read from its first bytes, and whether Telegram shows it as a photo. Pure.

Source: Bot API, sendPhoto: at most 10 MB, width and height at most 10,000 together, one at most 20 times the
other. PNG, JPEG and WebP are taken; a GIF would lose its motion.
"""

from __future__ import annotations

from typing import Final

PHOTO_BYTES: Final = 10_000_000
_SIDES: Final = 10_000
_RATIO: Final = 20
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers that tell a size
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # the markers that nothing follows


def is_photo(head: bytes, size: int) -> bool:
    """Whether a file with these first bytes can be sent as a photo; anything else is sent as a document."""
    sides = dimensions(head)
    if sides is None or size > PHOTO_BYTES:
        return False
    short, long = sorted(sides)
    return short > 0 and short + long <= _SIDES and long <= _RATIO * short


def dimensions(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, JPEG or WebP, None for what is none or does not tell."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) >= 24:
        return _big(head[16:20]), _big(head[20:24])
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp(head)
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _JPEG_FRAMES:
            return _big(head[at + 7 : at + 9]), _big(head[at + 5 : at + 7])
        elif marker in _JPEG_BARE:
            at += 2
        else:
            at += 2 + _big(head[at + 2 : at + 4])
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":
            return 1 + _little(head[24:27]), 1 + _little(head[27:30])
        case b"VP8L":
            bits = _little(head[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
        case _:
            return None


def _big(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _little(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
