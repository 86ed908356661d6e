"""`/v1/files`: files that clients put here to name them in messages, and take back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiohttp import web

from clawd.errors import NotFound
from clawd.gateway.bodies import BODY_TIMEOUT_S
from clawd.gateway.conversations import read_limit
from clawd.gateway.messages import BRIDGE
from clawd.gateway.problems import RequestRefused
from clawd.gateway.uploads import read_upload
from clawd.jsonable import moment

if TYPE_CHECKING:
    from clawd.artifacts.rows import KeptFile
    from clawd.artifacts.store import ArtifactStore
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.token import Token
    from clawd.gateway.uploads import Incoming
    from clawd.media import StoredFile
    from clawd.response import JsonObject

# Source: the `User-Agent` of OpenAI's SDKs, as `AsyncOpenAI/Python 1.50.0` and `OpenAI/JS 4.60.0`.
_OPENAI: Final = re.compile(r"(?:Async)?(?:Azure)?OpenAI/")
_PURPOSE: Final = "user_data"  # OpenAI's word for a file of no special use


class Files:
    """The door of files. A token sees its own, one with the scope `admin` all of them."""

    def __init__(
        self, artifacts: ArtifactStore, tokens: TokenStore, *, body_timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._artifacts = artifacts
        self._tokens = tokens
        self._body_timeout_s = body_timeout_s

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            web.post("/v1/files", self.put),
            web.get("/v1/files", self.list_own),
            web.get("/v1/files/{id}", self.show),
            web.get("/v1/files/{id}/content", self.content),
            web.delete("/v1/files/{id}", self.delete),
        ]

    async def put(self, request: web.Request) -> web.Response:
        """Answer 201 once the file is on the disk for good."""
        token = self._tokens.require(request.headers, "chat")

        async def keep(incoming: Incoming) -> StoredFile:
            return await self._artifacts.put(
                incoming.content, owner=owner_of(token), mime=incoming.mime, name=incoming.name
            )

        uploaded = await read_upload(
            request, keep, max_bytes=self._artifacts.max_file_bytes, timeout_s=self._body_timeout_s
        )
        kept = await self._artifacts.find(uploaded.file.ref)
        told = _told(kept, request, purpose=uploaded.purpose)
        return web.json_response(told, status=201, headers={"Location": f"/v1/files/{kept.file.ref}"})

    async def list_own(self, request: web.Request) -> web.Response:
        """Answer with the token's own files, the newest first: `?limit=` of them, behind `?after=`."""
        token = self._tokens.require(request.headers, "chat", "read")
        limit = read_limit(request)
        try:
            found = await self._artifacts.owned(
                owner_of(token), after=request.query.get("after"), limit=limit
            )
        except ValueError as error:
            raise RequestRefused(
                400, "there is no such cursor", code="bad_cursor", remedy="leave after away to begin anew"
            ) from error
        cursor = found[-1].cursor if len(found) == limit else None
        return web.json_response({"files": [_told(kept, request) for kept in found], "cursor": cursor})

    async def show(self, request: web.Request) -> web.Response:
        """Answer with what is known of a file."""
        return web.json_response(_told(await self._find(request), request))

    async def content(self, request: web.Request) -> web.StreamResponse:
        """Answer with the file itself, or the one range of it that is asked for."""
        file = (await self._find(request)).file
        try:
            asked = request.http_range
        except ValueError:
            asked = slice(None)  # what is no range is no wish: RFC 9110, 14.2
        start, stop, _ = asked.indices(file.size)
        is_part = "Range" in request.headers and asked != slice(None) and asked != slice(0, None, 1)
        if is_part and start >= stop:
            raise RequestRefused(
                416, "the file has no such range", headers={"Content-Range": f"bytes */{file.size}"}
            )
        response = web.StreamResponse(status=206 if is_part else 200, headers=_safe_headers(file))
        if is_part:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        response.content_length = stop - start
        pieces = self._artifacts.read(file.ref, start, stop - start)
        await response.prepare(request)
        if request.method != "HEAD":
            async for piece in pieces:
                await response.write(piece)
        await response.write_eof()
        return response

    async def delete(self, request: web.Request) -> web.Response:
        """Answer 204 once it is gone, also from the messages that name it."""
        kept = await self._find(request, change=True)
        await self._artifacts.delete(kept.file.ref)
        return web.Response(status=204)

    async def _find(self, request: web.Request, *, change: bool = False) -> KeptFile:
        """Return the file that a request names; another token's is not found."""
        scopes = ("chat",) if change else ("chat", "read")
        token = self._tokens.require(request.headers, *scopes)
        return await own_file(self._artifacts, token, request.match_info["id"])


def owner_of(token: Token) -> str:
    """Return whose the files of a token are."""
    return f"{BRIDGE}:{token.name}"


async def own_file(artifacts: ArtifactStore, token: Token, ref: str) -> KeptFile:
    """Return a file that a token may use; raises NotFound, also for another's."""
    kept = await artifacts.find(ref)
    if kept.owner != owner_of(token) and "admin" not in token.scopes:
        raise NotFound(f"there is no file {ref[:80]}")
    return kept


def _told(kept: KeptFile, request: web.Request, *, purpose: str | None = None) -> JsonObject:
    """Return a file in our words and, beside them, in OpenAI's.

    `created_at` is in both, there as seconds: who OpenAI's own clients are is told by the name that they give.
    """
    file = kept.file
    is_openai = _OPENAI.match(request.headers.get("User-Agent", "")) is not None
    return {
        "id": file.ref,
        "name": file.name,
        "mime": file.mime,
        "size": file.size,
        "created_at": int(kept.created_at.timestamp()) if is_openai else moment(kept.created_at),
        "sha256": file.digest,
        "object": "file",
        "bytes": file.size,
        "filename": file.name or file.ref,
        "purpose": purpose or _PURPOSE,
    }


def _safe_headers(file: StoredFile) -> dict[str, str]:
    """Return headers under which no browser shows, runs or guesses what somebody uploaded."""
    name = quote(file.name or "file", safe="")
    return {
        "Content-Type": file.mime or "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file.digest}"',
    }
