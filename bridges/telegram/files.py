"""Files that people sent: looked up by getFile, then fetched piece by piece, or read where a server of one's own put them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aiohttp

from bridges.telegram.errors import bridge_error, trouble
from bridges.telegram.lean import AiogramError, GetFile, TelegramBadRequest
from clawd.errors import BridgeAuthError, BridgeError, BridgeNotReady, FileGone, FileTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from bridges.telegram.lean import Bot
    from clawd.messages import Media

DOWNLOAD_LIMIT: Final = 20 * 1024 * 1024
"""Bytes that the Bot API gives out. Source: Bot API, getFile, "up to 20MB"; `20 << 20` in the server's source."""

_CHUNK: Final = 64 * 1024
_TIMEOUT_S: Final = 300  # for a whole download
_NOT_NOW: Final = frozenset({401, 408, 425, 429})  # 401: also the token can be mended


class _FindFile(GetFile):
    """getFile, with the File object as it came."""

    __returning__: ClassVar[Any] = Any


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a file is, for an hour at least."""

    path: str
    size: int | None


class Files:
    """The files of one bot."""

    def __init__(self, bridge: str, bot: Bot, local_dir: Path | None) -> None:
        """Create it; in `local_dir` a Bot API server in local mode keeps its files, which know no limit."""
        self._bridge = bridge
        self._bot = bot
        self._local_dir = local_dir
        self._limit = DOWNLOAD_LIMIT if local_dir is None else None

    async def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Yield a part's content; raises as `clawd.bridge.MediaBridge` says.

        No error names the address of a file, because the token is in it.
        """
        self._check_size(part.size)
        found = await self._find(part.ref)
        self._check_size(found.size)
        pieces = self._read(found.path) if found.path.startswith("/") else self._download(found.path)
        size = 0
        async with aclosing(pieces):
            async for piece in pieces:
                size += len(piece)
                self._check_size(size)
                yield piece
        if found.size is not None and size != found.size:
            raise BridgeNotReady(
                self._bridge, "the file came incomplete", why=f"{size:,} of {found.size:,} bytes"
            )

    def _check_size(self, size: int | None) -> None:
        if self._limit is not None and size is not None and size > self._limit:
            raise self._too_large()

    def _too_large(self) -> FileTooLarge:
        return FileTooLarge(
            self._limit or DOWNLOAD_LIMIT,
            where=f"bridge {self._bridge}",
            remedy="send a smaller one; only a Bot API server of one's own in local mode gives out larger ones",
        )

    async def _find(self, ref: str) -> _Found:
        answer: Any
        try:
            answer = await self._bot(_FindFile(file_id=ref))
        except AiogramError as error:
            if trouble(error) == "file_too_big":
                raise self._too_large() from None
            if isinstance(error, TelegramBadRequest):
                raise FileGone(self._bridge, "Telegram does not have this file", why=error.message) from None
            problem = bridge_error(self._bridge, error)
            raise _for_now(problem) from None
        path = answer.get("file_path") if isinstance(answer, dict) else None
        if not isinstance(path, str) or not path:
            raise FileGone(self._bridge, "Telegram does not say where this file is")
        size = answer.get("file_size")
        return _Found(path, size if isinstance(size, int) else None)

    async def _download(self, path: str) -> AsyncGenerator[bytes]:
        url = self._bot.session.api.file_url(self._bot.token, path)
        pieces = self._bot.session.stream_content(url, timeout=_TIMEOUT_S, chunk_size=_CHUNK)
        problem: BridgeError
        # As in the session: aiohttp's errors name the URL, so ours are made outside of `except`.
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except aiohttp.ClientResponseError as error:
            why = f"HTTP {error.status}"
            if error.status >= 500 or error.status in _NOT_NOW:
                problem = BridgeNotReady(self._bridge, "the file can't be had now", why=why)
            else:
                problem = FileGone(self._bridge, "the file can't be had any more", why=why)
        except (aiohttp.ClientError, OSError) as error:
            problem = BridgeNotReady(self._bridge, "the file can't be had now", why=type(error).__name__)
        else:
            return
        raise problem

    async def _read(self, path: str) -> AsyncGenerator[bytes]:
        """Yield a file on this machine, which has to lie in `local_dir` whatever the server says."""
        place = await asyncio.to_thread(_inside, self._local_dir, path)
        if place is None:
            raise FileGone(
                self._bridge,
                "the Bot API server names a file on its own disk",
                why=path if self._local_dir is not None else "it runs in local mode",
                remedy=f"set bridges.{self._bridge}.local_dir to the folder where it keeps files, as seen from here",
            )
        try:
            file = await asyncio.to_thread(place.open, "rb")
            with file:
                while piece := await asyncio.to_thread(file.read, _CHUNK):
                    yield piece
        except OSError as error:
            raise FileGone(
                self._bridge, "the file can't be read", where=str(place), why=error.strerror or str(error)
            ) from error


def _inside(folder: Path | None, path: str) -> Path | None:
    """Return the file if it lies in the folder, by whatever links."""
    if folder is None:
        return None
    place = Path(path).resolve()
    return place if place.is_relative_to(folder.resolve()) else None


def _for_now(problem: BridgeError) -> BridgeError:
    """Return what is asked again: the bridge itself finds out, and tells, that a token is refused."""
    if isinstance(problem, BridgeAuthError):
        return BridgeNotReady(problem.bridge, problem.what, why=problem.why)
    return problem
