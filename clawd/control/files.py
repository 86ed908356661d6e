"""Files that an operator sends along with a push."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from clawd.control.answers import BadRequest, answer
from clawd.control.reads import ACCOUNT
from clawd.errors import NotFound, NotPossible
from clawd.messages import Audio, File, Image

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clawd.artifacts.store import ArtifactStore
    from clawd.control.services import ControlServices
    from clawd.messages import Media
    from clawd.response import JsonObject

UPLOAD_S: Final = 300.0
MAX_FILES: Final = 10  # of one push
_PIECE: Final = 64 * 1024


class FileRoutes:
    """Takes a file as the whole body of a request."""

    def __init__(self, services: ControlServices) -> None:
        self._services = services

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """Return the table of what is done here."""
        return [web.post(f"{prefix}/files", self.put)]

    async def put(self, request: web.Request) -> web.Response:
        """Answer with the stored file once it is on the disk for good."""
        artifacts = _artifacts(self._services)
        try:
            async with asyncio.timeout(UPLOAD_S):
                file = await artifacts.put(
                    _pieces(request), owner=f"terminal:{request[ACCOUNT]}", name=request.query.get("name")
                )
        except TimeoutError:
            raise BadRequest(f"the file did not arrive within {UPLOAD_S:.0f} s") from None
        except (web.RequestPayloadError, ConnectionError) as error:
            raise BadRequest("the file broke off") from error
        return answer({"id": file.ref, "name": file.name, "mime": file.mime, "size": file.size})


async def files_in(services: ControlServices, body: JsonObject) -> tuple[Media, ...]:
    """Return the files that a request names by their ids.

    Raises:
        BadRequest: they are no list of ids, too many, or not there.
    """
    refs = body.get("files") or []
    if not isinstance(refs, list) or len(refs) > MAX_FILES:
        raise BadRequest(f"files has to be a list of at most {MAX_FILES} ids")
    found: list[Media] = []
    for ref in refs:
        if not isinstance(ref, str):
            raise BadRequest("files has to be a list of ids")
        try:
            file = await _artifacts(services).stat(ref)
        except NotFound as error:
            raise BadRequest(error.what, remedy="clawd send ADDRESS TEXT --file PATH") from error
        kind, mime = _kind(file.mime or ""), file.mime
        found.append(kind(ref=ref, mime=mime, size=file.size, name=file.name))
    if found:
        await _artifacts(services).hold([file.ref for file in found])
    return tuple(found)


def _kind(mime: str) -> type[Media]:
    return Image if mime.startswith("image/") else Audio if mime.startswith("audio/") else File


def _artifacts(services: ControlServices) -> ArtifactStore:
    if services.artifacts is None:
        raise NotPossible("no files are kept here")
    return services.artifacts


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    while piece := await request.content.read(_PIECE):
        yield piece
