"""Files at WeChat: AES-128 in ECB mode with PKCS #7, keys in their three spellings, references. No I/O.

Source: iLink protocol document of the npm package @tencent-weixin/openclaw-weixin 2.4.9.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qs, urlencode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

BLOCK: Final = 16
INSTALL: Final = 'pip install "clawd-agent[wechat]"'
_PREFIX: Final = "weixin:"
_MAX_REF: Final = 8192


class BadMedia(ValueError):
    """A key or a content is not what it should be; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRef:
    """Where a received file is and how it is read: what a part's `ref` carries."""

    param: str = ""  # `encrypted_query_param` of the CDN's download
    url: str = ""  # the whole address, where the platform gave one
    key: bytes = b""  # 16 bytes, or none for content that is not encrypted

    def __str__(self) -> str:
        """The form that is kept in the journal."""
        fields = {"p": self.param, "u": self.url, "k": self.key.hex()}
        return _PREFIX + urlencode({name: value for name, value in fields.items() if value})

    def __repr__(self) -> str:
        """Without the key, for whatever prints it."""
        return "MediaRef(…)"

    @classmethod
    def parse(cls, text: str) -> MediaRef:
        """Read what `str` wrote; raises BadMedia."""
        if not text.startswith(_PREFIX) or len(text) > _MAX_REF:
            raise BadMedia("not a file of this bridge")
        fields = {name: values[0] for name, values in parse_qs(text.removeprefix(_PREFIX)).items()}
        key = _hex(fields.get("k", ""))
        if key is None or len(key) not in (0, BLOCK) or not (fields.get("p") or fields.get("u")):
            raise BadMedia("not a file of this bridge")
        return cls(param=fields.get("p", ""), url=fields.get("u", ""), key=key)


def available() -> bool:
    """Whether files can be read and sent: the cipher comes with the extra `wechat`."""
    return find_spec("cryptography") is not None


def padded_size(size: int) -> int:
    """Return the size of the ciphertext: there is always padding."""
    return (size // BLOCK + 1) * BLOCK


def read_key(text: str) -> bytes:
    """Return the 16 bytes behind a key: hexadecimal, or base64 of the bytes or of their hexadecimal form.

    Raises:
        BadMedia: it is none of these.
    """
    if len(text) == 2 * BLOCK and (key := _hex(text)) is not None:
        return key
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadMedia("a key that is neither hexadecimal nor base64") from error
    if len(raw) == BLOCK:
        return raw
    if len(raw) == 2 * BLOCK and (key := _hex(raw.decode("ascii", "replace"))) is not None:
        return key
    raise BadMedia(f"a key of {len(raw)} bytes")


def key_to_send(key: bytes) -> str:
    """Return a key as `aes_key` of a sent file: base64 of the hexadecimal form, not of the bytes."""
    return base64.b64encode(key.hex().encode()).decode()


async def encrypted(content: AsyncIterable[bytes], key: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the ciphertext of a content, piece by piece."""
    cipher, padding = _cipher(key), _padding()
    encryptor, padder = cipher.encryptor(), padding.padder()
    async for piece in content:
        if block := encryptor.update(padder.update(piece)):
            yield block
    yield encryptor.update(padder.finalize())


async def decrypted(content: AsyncIterable[bytes], key: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the plain content; raises BadMedia when key or content are wrong, perhaps only at the end."""
    cipher, padding = _cipher(key), _padding()
    decryptor, unpadder = cipher.decryptor(), padding.unpadder()
    async for piece in content:
        if block := unpadder.update(decryptor.update(piece)):
            yield block
    try:
        last = unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise BadMedia("the content does not fit its key") from error
    if last:
        yield last


def _hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if text.isascii() and " " not in text else None
    except ValueError:
        return None


class _Context(Protocol):
    def update(self, data: bytes, /) -> bytes: ...
    def finalize(self) -> bytes: ...


class _Cipher(Protocol):
    def encryptor(self) -> _Context: ...
    def decryptor(self) -> _Context: ...


class _Padding(Protocol):
    def padder(self) -> _Context: ...
    def unpadder(self) -> _Context: ...


def _cipher(key: bytes) -> _Cipher:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the platform's choice


def _padding() -> _Padding:
    from cryptography.hazmat.primitives.padding import PKCS7

    return PKCS7(BLOCK * 8)
