"""Files to and from WeChat's CDN: encrypted on the way out, decrypted on the way in, never whole in memory."""

from __future__ import annotations

import hashlib
import os
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import aiohttp

from bridges.weixin.api import words_of
from bridges.weixin.errors import HttpFailure, IlinkError, NoAnswer
from bridges.weixin.media import INSTALL, BadMedia, MediaRef, available, decrypted, encrypted, padded_size
from bridges.weixin.outbound import MEDIA_TYPES, Uploaded, kind_of
from clawd.errors import BridgeNotReady, FileGone, FileTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from bridges.weixin.api import IlinkApi, UploadTarget
    from bridges.weixin.config import WeixinConfig
    from bridges.weixin.credentials import Credentials
    from clawd.media import Artifacts
    from clawd.messages import Media
    from clawd.response import JsonObject

_TRIES: Final = 3
_CONNECT_S: Final = 10.0
_TRANSFER_S: Final = 300.0  # idle time is limited to a tenth of it
_PIECE: Final = 65536


class UploadRefused(Exception):
    """The CDN's final no; the text is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What has to be known of a file before it may be uploaded."""

    size: int
    md5: str


class Cdn:
    """Uploads and downloads of one bridge."""

    def __init__(
        self,
        name: str,
        api: IlinkApi,
        config: WeixinConfig,
        artifacts: Artifacts,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._name = name
        self._api = api
        self._config = config
        self._artifacts = artifacts
        self._random = random_bytes

    # --- in ---------------------------------------------------------------------------------------------

    async def download(self, ref: str, size: int | None) -> AsyncIterator[bytes]:
        """Yield the plain content of a received file; see `MediaBridge.fetch` for what it raises."""
        limit = self._config.max_file_bytes
        if size is not None and size > limit:
            raise FileTooLarge(limit)
        try:
            media = MediaRef.parse(ref)
        except BadMedia as error:
            raise FileGone(self._name, str(error)) from error
        if media.key and not available():
            raise FileGone(
                self._name, "files of WeChat need the extra `wechat`", remedy=f"install it: {INSTALL}"
            )
        pieces = self._pieces(self._url_of(media))
        count = 0
        try:
            async with aclosing(pieces), aclosing(decrypted(pieces, media.key)) as plain:
                async for piece in plain if media.key else pieces:
                    count += len(piece)
                    if count > limit:
                        raise FileTooLarge(limit)
                    yield piece
        except BadMedia as error:
            raise FileGone(self._name, "the file can't be decrypted", why=str(error)) from error

    def _url_of(self, media: MediaRef) -> str:
        """Return where a file is. An address elsewhere than at the platform is not asked."""
        if media.url and self._trusted(media.url):
            return media.url
        if media.param:
            return f"{self._config.cdn_base}/download?encrypted_query_param={quote(media.param, safe='')}"
        raise FileGone(self._name, "the file is not at WeChat", why="its address leads elsewhere")

    def _trusted(self, url: str) -> bool:
        """Whether an address that the platform names is its own, and not without the TLS of ours."""
        own, parts = urlsplit(self._config.cdn_base), urlsplit(url)
        if parts.scheme not in ("https", own.scheme):
            return False
        return parts.netloc == own.netloc or self._api.trusted_base(url.partition("?")[0]) is not None

    async def _pieces(self, url: str) -> AsyncGenerator[bytes, None]:
        problem: BridgeNotReady
        try:
            async with self._api.client().get(url, timeout=_timeout(), allow_redirects=False) as response:
                if response.status != 200:
                    raise _download_error(self._name, response.status)
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = BridgeNotReady(self._name, "WeChat's CDN is out of reach", why=words_of(error))
        else:
            return
        raise problem

    # --- out --------------------------------------------------------------------------------------------

    async def upload(self, login: Credentials, user: str, part: Media) -> Uploaded:
        """Return a stored file as it is at the CDN now.

        Raises:
            IlinkError: the API or the CDN failed; nothing was shown to anybody.
            UploadRefused: the CDN will never take it.
            NotFound: it is not stored here any more.
        """
        stored = await self._artifacts.stat(part.ref)
        content = await self._measure(part.ref)
        if content.size > self._config.max_file_bytes:
            raise UploadRefused(f"{content.size} bytes; at most {self._config.max_file_bytes} can be sent")
        key, file_key = self._random(16), self._random(16).hex()
        kind = kind_of(part, part.mime or stored.mime)
        fields: JsonObject = {
            "filekey": file_key,
            "media_type": MEDIA_TYPES[kind],
            "to_user_id": user,
            "rawsize": content.size,
            "rawfilemd5": content.md5,
            "filesize": padded_size(content.size),
            "no_need_thumb": True,
            "aeskey": key.hex(),
        }
        target = await self._api.upload_target(login, fields)
        param = await self._put(self._upload_url(target, file_key), part.ref, key, padded_size(content.size))
        name = part.name or stored.name or "file"
        return Uploaded(kind=kind, param=param, key=key, size=content.size, name=name)

    async def _measure(self, ref: str) -> _Content:
        size, digest = 0, hashlib.md5(usedforsecurity=False)
        async for piece in self._artifacts.read(ref):
            size += len(piece)
            digest.update(piece)
        return _Content(size=size, md5=digest.hexdigest())

    def _upload_url(self, target: UploadTarget, file_key: str) -> str:
        if target.url:
            if self._trusted(target.url):
                return target.url
            if not target.param:
                raise NoAnswer("an address to upload to that is not WeChat's")
        param = quote(target.param, safe="")
        return f"{self._config.cdn_base}/upload?encrypted_query_param={param}&filekey={file_key}"

    async def _put(self, url: str, ref: str, key: bytes, size: int) -> str:
        """Send the ciphertext, up to three times; return what names it from now on."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._put_once(url, ref, key, size)
            except IlinkError:
                if tries == _TRIES:
                    raise

    async def _put_once(self, url: str, ref: str, key: bytes, size: int) -> str:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        body = encrypted(self._artifacts.read(ref), key)
        problem: NoAnswer
        try:
            async with self._api.client().post(
                url, data=body, headers=headers, timeout=_timeout(), allow_redirects=False
            ) as response:
                if 400 <= response.status < 500:
                    words = response.headers.get("x-error-message", "")[:200]
                    raise UploadRefused(f"HTTP {response.status}" + (f": {words}" if words else ""))
                if response.status != 200:
                    raise HttpFailure(response.status)
                if not (param := response.headers.get("x-encrypted-param")):
                    raise NoAnswer("an upload without x-encrypted-param")
                return param
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = NoAnswer(words_of(error))
        raise problem


def _download_error(bridge: str, status: int) -> BridgeNotReady | FileGone:
    if 400 <= status < 500 and status != 429:
        return FileGone(bridge, "WeChat has this file no more", why=f"HTTP {status}")
    return BridgeNotReady(bridge, "WeChat's CDN is out of reach", why=f"HTTP {status}")


def _timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=_TRANSFER_S, sock_connect=_CONNECT_S, sock_read=_TRANSFER_S / 10)
