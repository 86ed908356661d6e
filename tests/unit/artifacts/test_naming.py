from __future__ import annotations

import pytest

from clawd.artifacts.naming import MAX_NAME, UNKNOWN, agreed, safe_name, sniff

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"OggS\x00", "audio/ogg"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff\xf1\x50", "audio/aac"),
        (b"#!AMR\n", "audio/amr"),
        (b"\x02#!SILK_V3", "audio/silk"),
        (b"\x00\x00\x00\x1cftypheic", "image/heic"),
        (b"%PDF-1.7", "application/pdf"),
        (b"hello", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_the_first_bytes_tell_the_type(head: bytes, mime: str | None) -> None:
    assert sniff(head) == mime


def test_a_claimed_type_counts_only_where_the_bytes_do_not_say_otherwise() -> None:
    assert agreed("text/html", PNG) == "image/png"
    assert agreed("image/png", b"<html>") == UNKNOWN
    assert agreed("audio/ogg", b"hello") == UNKNOWN
    assert agreed("Text/CSV; charset=utf-8", b"a,b") == "text/csv"
    assert agreed("image/jpg", b"\xff\xd8\xff") == "image/jpeg"
    assert agreed(None, b"x") == UNKNOWN
    assert agreed("text/plain\r\nX-Evil: 1", b"x") == UNKNOWN


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\notes.txt", "notes.txt"),
        ("a\r\nb\x00c.txt", "abc.txt"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        (".htaccess", "htaccess"),
        ("..", None),
        ("   ", None),
        (None, None),
        ("报告 2026.pdf", "报告 2026.pdf"),
    ],
)
def test_a_name_has_no_folders_and_no_control_characters(given: str | None, shown: str | None) -> None:
    assert safe_name(given) == shown


def test_a_long_name_keeps_its_ending() -> None:
    name = safe_name("x" * 500 + ".tar")
    assert name is not None
    assert (len(name), name[-4:]) == (MAX_NAME, ".tar")
