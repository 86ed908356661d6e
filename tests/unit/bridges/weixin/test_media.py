"""The cipher of WeChat's files, by vectors that the official client and another library agree on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from bridges.weixin.media import (
    BadMedia,
    MediaRef,
    decrypted,
    encrypted,
    key_to_send,
    padded_size,
    read_key,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = bytes(range(16))
VECTORS = [
    (
        b"clawd media bytes",
        "9c533ea98f7054864f74274aef2e32dd",
        32,
        "7d388d7333fac026124f52a9a559d330ed10058543320fa617862756ee1f45ba",
    ),
    (
        b"0123456789abcdef",
        "4032af8d61035123906e58e067140cc5",
        32,
        "281567ab2f4cf0d73d3198225b8b8393954f64f2e4e86e9eee82d20216684899",
    ),
    (b"", "d41d8cd98f00b204e9800998ecf8427e", 16, "954f64f2e4e86e9eee82d20216684899"),
]
BY_VECTOR = pytest.mark.parametrize(("plain", "md5", "size", "ciphertext"), VECTORS)


async def pieces(content: bytes, size: int = 5) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@BY_VECTOR
async def test_a_content_is_encrypted_as_the_official_client_does(
    plain: bytes, md5: str, size: int, ciphertext: str
) -> None:
    found = b"".join([piece async for piece in encrypted(pieces(plain), KEY)])
    assert found.hex() == ciphertext
    assert len(found) == padded_size(len(plain)) == size
    assert hashlib.md5(plain, usedforsecurity=False).hexdigest() == md5


@BY_VECTOR
async def test_a_content_is_decrypted_whatever_its_pieces(
    plain: bytes, md5: str, size: int, ciphertext: str
) -> None:
    for length in (1, 16, 100):
        found = [piece async for piece in decrypted(pieces(bytes.fromhex(ciphertext), length), KEY)]
        assert b"".join(found) == plain


@pytest.mark.parametrize(
    "text",
    [
        "000102030405060708090a0b0c0d0e0f",
        "000102030405060708090A0B0C0D0E0F",
        "AAECAwQFBgcICQoLDA0ODw==",
        "MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY=",
    ],
)
def test_a_key_is_read_in_all_its_spellings(text: str) -> None:
    assert read_key(text) == KEY


def test_a_key_is_sent_as_base64_of_its_hexadecimal_form() -> None:
    assert key_to_send(KEY) == "MDAwMTAyMDMwNDA1MDYwNzA4MDkwYTBiMGMwZDBlMGY="


@pytest.mark.parametrize("text", ["", "zz", "AAEC", "====", "ключ", "g" * 32, "00 " * 11, "A" * 44])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadMedia):
        read_key(text)


@pytest.mark.parametrize("content", ["", "00", "00" * 16, "954f64f2e4e86e9eee82d2021668489900"])
async def test_a_content_that_does_not_fit_its_key_is_a_clean_error(content: str) -> None:
    with pytest.raises(BadMedia):
        _ = [piece async for piece in decrypted(pieces(bytes.fromhex(content)), KEY)]


def test_a_reference_survives_the_journal_and_hides_its_key_where_it_is_printed() -> None:
    ref = MediaRef(param="a+/=&?%字", url="https://x.weixin.qq.com/?a=b&c", key=KEY)
    assert MediaRef.parse(str(ref)) == ref
    assert MediaRef.parse(str(MediaRef(param="p"))).key == b""
    assert KEY.hex() not in repr(ref)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "artifact:00",
        "weixin:",
        "weixin:k=00",
        "weixin:p=a&k=0011",
        "weixin:p=a&k=zz",
        "weixin:p=" + "a" * 9000,
    ],
)
def test_what_is_no_reference_of_ours_is_refused(text: str) -> None:
    with pytest.raises(BadMedia):
        MediaRef.parse(text)
