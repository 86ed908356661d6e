"""Files that people sent: fetched from the platform's store and decrypted, piece by piece.

Source: developer.work.weixin.qq.com, document 101463: AES-256-CBC with the file's own key, the key's first 16 bytes
as initialisation vector, padding as in PKCS#7 with blocks of 32 bytes. The URL is valid for 5 minutes.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from bridges.wecom.reference import read_ref
from clawd.errors import BridgeNotReady, FileGone, FileTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridges.wecom.reference import Place
    from clawd.messages import Media

_CHUNK: Final = 64 * 1024
_BLOCK: Final = 16
_MAX_PADDING: Final = 32
_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=10, sock_read=30)
_NOT_NOW: Final = frozenset({408, 425, 429})


class BadFile(ValueError):
    """It does not decrypt: another key, or cut off."""


class Decryption:
    """AES-256-CBC over a stream; the end is held back until the padding can be taken off.

    Make it in a thread: the library takes a moment to import.
    """

    def __init__(self, key: bytes) -> None:
        ciphers: Any = import_module("cryptography.hazmat.primitives.ciphers")
        cipher = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CBC(key[:_BLOCK]))
        self._aes = cipher.decryptor()
        self._size = 0
        self._held = b""

    def update(self, data: bytes) -> bytes:
        """Return what is plain for certain by now."""
        self._size += len(data)
        plain = self._held + self._aes.update(data)
        self._held = plain[-_MAX_PADDING:]
        return plain[: -len(self._held)] if self._held else b""

    def finish(self) -> bytes:
        """Return the rest; raises BadFile."""
        if self._size == 0 or self._size % _BLOCK:
            raise BadFile("it is cut off")
        count = self._held[-1]
        if (
            not 1 <= count <= min(_MAX_PADDING, len(self._held))
            or self._held[-count:] != bytes([count]) * count
        ):
            raise BadFile("its key does not fit")
        return self._held[:-count]


async def fetch(
    bridge: str, http: aiohttp.ClientSession, part: Media, *, max_bytes: int, plain_http: bool
) -> AsyncIterator[bytes]:
    """Yield the content of a part.

    Args:
        bridge: Its name.
        http: The session to ask with.
        part: Of an inbound message.
        max_bytes: Greatest content.
        plain_http: Take `http://` too: the platform itself is spoken to without TLS, in one's own network.

    Raises:
        BridgeNotReady: out of reach.
        FileGone: the URL is over, or what it gives can't be read.
        FileTooLarge: more than `max_bytes`.
    """
    place = read_ref(part.ref)
    if place is None or not (plain_http or urlsplit(place.url).scheme == "https"):
        raise FileGone(bridge, "this is no file of WeCom's")
    decryption = await asyncio.to_thread(Decryption, place.key)
    try:
        async for piece in _download(bridge, http, place, max_bytes=max_bytes):
            if plain := decryption.update(piece):
                yield plain
        if rest := decryption.finish():
            yield rest
    except BadFile as bad:
        raise FileGone(bridge, "the file can't be decrypted", why=str(bad)) from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        # Its text would print the URL, which opens the file.
        raise BridgeNotReady(bridge, "the file can't be had now", why=type(error).__name__) from None


async def _download(
    bridge: str, http: aiohttp.ClientSession, place: Place, *, max_bytes: int
) -> AsyncIterator[bytes]:
    async with http.get(place.url, timeout=_TIMEOUT, allow_redirects=False) as response:
        if response.status >= 500 or response.status in _NOT_NOW:
            raise BridgeNotReady(bridge, "the file can't be had now", why=f"HTTP {response.status}")
        if response.status != 200:
            raise FileGone(bridge, "the file can't be had any more", why=f"HTTP {response.status}")
        limit = max_bytes + _MAX_PADDING
        if (response.content_length or 0) > limit:
            raise FileTooLarge(max_bytes)
        size = 0
        async for piece in response.content.iter_chunked(_CHUNK):
            size += len(piece)
            if size > limit:
                raise FileTooLarge(max_bytes)
            yield piece
