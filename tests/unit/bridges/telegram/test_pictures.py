"""Pictures tell their sides in their first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.telegram.pictures import PHOTO_BYTES, dimensions, is_photo

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def jpeg(width: int, height: int, frame: int = 0xC2) -> bytes:
    app = b"\xff\xe1" + (2 + 300).to_bytes(2, "big") + bytes(300)
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xd8\xff" + app + b"\xff" + bytes([frame]) + b"\0\x11\x08" + sides + b"\3" + bytes(20)


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0" + body + bytes(20)


@pytest.mark.parametrize(
    ("head", "sides"),
    [
        (PNG + (640).to_bytes(4, "big") + (480).to_bytes(4, "big"), (640, 480)),
        (PNG + b"\0\0", None),
        (jpeg(640, 480), (640, 480)),
        (jpeg(640, 480, frame=0xC0), (640, 480)),
        (jpeg(640, 480)[:100], None),
        (b"\xff\xd8\xff\xc4", None),
        (webp(b"VP8X", b"\0\0\0\0" + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")), (640, 480)),
        (webp(b"VP8L", b"\x2f" + (639 | 479 << 14).to_bytes(4, "little")), (640, 480)),
        (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + b"\x80\x02\xe0\x01"), (640, 480)),
        (webp(b"ALPH", b""), None),
        (b"GIF89a" + bytes(30), None),
        (b"", None),
    ],
)
def test_the_sides_are_found(head: bytes, sides: tuple[int, int] | None) -> None:
    assert dimensions(head) == sides


@pytest.mark.parametrize(
    ("width", "height", "size", "photo"),
    [
        (9999, 1, 100, False),
        (9500, 500, PHOTO_BYTES, True),
        (9500, 501, 100, False),
        (2000, 100, 100, True),
        (2001, 100, 100, False),
        (0, 0, 100, False),
        (100, 100, PHOTO_BYTES + 1, False),
    ],
)
def test_a_photo_keeps_the_limits(width: int, height: int, size: int, photo: bool) -> None:
    assert is_photo(PNG + width.to_bytes(4, "big") + height.to_bytes(4, "big"), size) is photo


@given(
    st.sampled_from([b"", PNG, b"\xff\xd8", b"RIFF....WEBPVP8L", b"RIFF....WEBPVP8X"]), st.binary(max_size=80)
)
def test_no_bytes_are_too_strange(head: bytes, rest: bytes) -> None:
    is_photo(head + rest, 100)
