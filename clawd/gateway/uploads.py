"""The body of an upload, read in pieces: a form with one file, or the file itself. Nothing is held in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from clawd.errors import FileTooLarge
from clawd.gateway.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import MultipartReader

    from clawd.media import StoredFile

LEAST_RATE: Final = 16 * 1024
"""Bytes a second that an upload has to keep up, beyond the time that any body may take."""

_MAX_FIELDS: Final = 8
_MAX_FIELD_BYTES: Final = 1024
_FORM_BYTES: Final = 16 * 1024  # of a form around its file
_PIECE: Final = 64 * 1024
_PLAIN: Final = frozenset({"", "binary", "8bit", "7bit", "identity"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A file as it arrives."""

    content: AsyncIterator[bytes]
    name: str | None
    mime: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that is stored, and what a form said it is for."""

    file: StoredFile
    purpose: str | None = None


Keep = "Callable[[Incoming], Awaitable[StoredFile]]"
"""Stores what comes in; raises FileTooLarge and JournalUnavailable."""


async def read_upload(
    request: web.Request,
    keep: Callable[[Incoming], Awaitable[StoredFile]],
    *,
    max_bytes: int,
    timeout_s: float,
) -> Uploaded:
    """Return the file of a request's body, stored by `keep`.

    Args:
        request: `multipart/form-data` with a field `file`, or anything else as the file itself, its name
            in `?name=`.
        keep: Stores it.
        max_bytes: Of the file.
        timeout_s: How long a body may take beyond what `LEAST_RATE` gives it.

    Raises:
        RequestRefused: 413 over `max_bytes` (told before more was read), 408 for one that is too slow, 415
            for a compressed one, 400 for a broken or empty one and for a form of another shape.
        JournalUnavailable: it can't be kept.
    """
    if request.headers.get("Content-Encoding", "").strip().lower() not in _PLAIN:
        raise RequestRefused(
            415, "a compressed body is not read", remedy="send the file as it is", close=True
        )
    is_form = request.content_type.startswith("multipart/")
    if (request.content_length or 0) > max_bytes + (_FORM_BYTES if is_form else 0):
        raise _too_large(max_bytes)
    pace = _Pace(timeout_s)
    try:
        if is_form:
            return await _of_form(request, keep, pace, max_bytes)
        name = request.query.get("name")
        mime = request.content_type if "Content-Type" in request.headers else None
        content = _not_empty(pace.through(lambda: request.content.read(_PIECE)), "the body")
        return Uploaded(file=await keep(Incoming(content=content, name=name, mime=mime)))
    except FileTooLarge as error:
        raise _too_large(error.limit) from error
    except TimeoutError as error:
        if not pace.over:
            raise
        raise RequestRefused(
            408, "the body comes too slowly", remedy=f"at least {LEAST_RATE // 1024} kB a second", close=True
        ) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestRefused(400, "the body broke off", close=True) from error


async def _of_form(
    request: web.Request,
    keep: Callable[[Incoming], Awaitable[StoredFile]],
    pace: _Pace,
    max_bytes: int,
) -> Uploaded:
    """Return the one file of a form. The form may say more about it, before the file or behind it."""
    if request.content_type != "multipart/form-data":
        raise RequestRefused(415, "the body has to be multipart/form-data, or the file itself", close=True)
    stored: StoredFile | None = None
    purpose: str | None = None
    try:
        form = await request.multipart()
        for _ in range(_MAX_FIELDS):
            field = await pace.wait(form.next())
            if field is None:
                break
            if not isinstance(field, BodyPartReader):
                raise _bad("a form within the form is not read")
            if field.name == "file" and stored is None:
                stored = await keep(_file_in(field, pace))
            elif field.name == "purpose":
                purpose = await _short(field, pace)
            else:
                twice = field.name == "file"
                raise _bad(
                    "one file at a time" if twice else f"unknown field {str(field.name)[:40]}",
                    "the fields are file and purpose",
                )
        else:
            raise _bad(f"more than {_MAX_FIELDS - 1} fields")
    except (ValueError, HttpProcessingError) as error:  # what the form's reader says of one that is broken
        raise _bad("the form can't be read", f"multipart/form-data, RFC 7578: {error}"[:200]) from error
    if stored is None:
        raise _bad("the form has no field file", 'curl -F "file=@PATH" …')
    return Uploaded(file=stored, purpose=purpose)


def _file_in(field: BodyPartReader, pace: _Pace) -> Incoming:
    for header in ("Content-Encoding", "Content-Transfer-Encoding"):
        if field.headers.get(header, "").strip().lower() not in _PLAIN:
            raise RequestRefused(
                415, f"{header} of a field is not undone", remedy="send it as it is", close=True
            )
    return Incoming(
        content=_not_empty(pace.through(lambda: field.read_chunk(_PIECE)), "the file"),
        name=unquote(field.filename) if field.filename else None,
        mime=field.headers.get("Content-Type"),
    )


async def _not_empty(content: AsyncIterator[bytes], what: str) -> AsyncIterator[bytes]:
    """Yield the pieces of a file; a client that forgot to send one is told so."""
    size = 0
    async for piece in content:
        size += len(piece)
        yield piece
    if size == 0:
        raise _bad(f"{what} is empty", 'curl -F "file=@PATH" … or --data-binary @PATH')


async def _short(field: BodyPartReader, pace: _Pace) -> str:
    content = bytearray()
    async for piece in pace.through(lambda: field.read_chunk(_MAX_FIELD_BYTES)):
        content += piece
        if len(content) > _MAX_FIELD_BYTES:
            raise _bad(f"the field {field.name} is larger than {_MAX_FIELD_BYTES} bytes")
    return content.decode(errors="replace")


class _Pace:
    """Lets a body take its time, and more of it the more has come."""

    def __init__(self, timeout_s: float) -> None:
        self._until = asyncio.get_running_loop().time() + timeout_s
        self.over = False

    async def wait(self, reading: Awaitable[MultipartReader | BodyPartReader | bytes | None]) -> object:
        """Return what was read; raises TimeoutError, and then it is `over`."""
        limit = asyncio.timeout_at(self._until)
        try:
            async with limit:
                return await reading
        except TimeoutError:
            self.over = limit.expired()
            raise

    async def through(self, read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
        """Yield what `read` returns until that is nothing."""
        while True:
            piece = await self.wait(read())
            if not isinstance(piece, bytes) or not piece:
                return
            self._until += len(piece) / LEAST_RATE
            yield piece


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(
        413, f"the file is larger than {limit:,} bytes", remedy="journal.max_file_bytes says how large one may be",
        close=True,
    )  # fmt: skip


def _bad(what: str, remedy: str = "") -> RequestRefused:
    return RequestRefused(400, what, remedy=remedy, close=True)
