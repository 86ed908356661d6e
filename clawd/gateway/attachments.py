"""Files within messages: what a client sends along is stored before the message that names it is committed."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from clawd.artifacts.rows import stored_refs
from clawd.errors import NotFound
from clawd.gateway.files import own_file, owner_of
from clawd.gateway.problems import RequestRefused
from clawd.media import is_stored
from clawd.messages import Audio, File, Image, Text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from clawd.artifacts.store import ArtifactStore
    from clawd.gateway.token import Token
    from clawd.media import StoredFile
    from clawd.messages import Media, Part

_DATA_URL: Final = re.compile(r"data:([^;,\s]{0,100})(?:;[^;,\s]{1,60}){0,3};base64,", re.IGNORECASE)
_PIECE: Final = 64 * 1024


def _named(index: int, _part: Part) -> str:
    return f"parts[{index}]"


class Attachments:
    """Turns what clients send along into files that are kept here.

    `ref` of a part that comes in is a data URL (the content itself), the id of a file that the token has put
    here, or an https address, which is handed on as it is: nothing is fetched from it.
    """

    def __init__(self, artifacts: ArtifactStore | None) -> None:
        self._artifacts = artifacts

    async def stored(
        self, parts: Sequence[Part], token: Token, name: Callable[[int, Part], str] = _named
    ) -> tuple[Part, ...]:
        """Return the parts as the journal keeps them; `name` says where each stands in the request.

        Raises:
            RequestRefused: 400 for an address that is not https, for a content that is broken or of another
                kind, and for a file that is not the token's.
            FileTooLarge, JournalUnavailable: it can't be kept.
        """
        found = [await self._one(part, name(i, part), token) for i, part in enumerate(parts)]
        if self._artifacts is not None and (refs := stored_refs(found)):
            await self._artifacts.hold(refs)
        return tuple(found)

    async def _one(self, part: Part, where: str, token: Token) -> Part:
        if isinstance(part, Text):
            return part
        if part.ref[:8].lower() == "https://":
            return part
        if self._artifacts is None:
            raise _refused(where, "no files are kept here")
        if is_stored(part.ref):
            try:
                kept = await own_file(self._artifacts, token, part.ref)
            except NotFound as error:
                raise _refused(where, error.what, code="unknown_file") from error
            return _known(part, kept.file, where)
        head = _DATA_URL.match(part.ref)
        if head is None:
            raise _refused(
                where,
                "only https addresses are handed on, and nothing is fetched",
                remedy="send the content itself, or put it to /v1/files and name its id",
            )
        content = decoded(part.ref[head.end() :], where)
        file = await self._artifacts.put(
            _pieces(content), owner=owner_of(token), mime=part.mime or head.group(1) or None, name=part.name
        )
        return _known(part, file, where)


def decoded(data: str, where: str) -> bytes:
    """Return what base64 says; raises RequestRefused (400)."""
    try:
        content = b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(where, "data is not base64") from error
    if not content:
        raise _refused(where, "data is empty")
    return content


def _refused(where: str, what: str, *, code: str = "", remedy: str = "") -> RequestRefused:
    return RequestRefused(400, f"{where}: {what}", code=code, remedy=remedy, param=where)


def _known(part: Media, file: StoredFile, where: str) -> Media:
    """Return the part with what is known of its file; raises RequestRefused where it is of another kind."""
    mime = file.mime or ""
    name = part.name or file.name
    match part:
        case Image():
            if not mime.startswith("image/"):
                raise _refused(where, f"this is no picture that clawd knows, but {mime}")
            return replace(part, ref=file.ref, mime=mime, size=file.size, name=name)
        case Audio():
            if mime.startswith(("image/", "text/")):
                raise _refused(where, f"this is no sound, but {mime}")
            return replace(part, ref=file.ref, mime=mime, size=file.size, name=name)
        case File():
            return replace(part, ref=file.ref, mime=mime, size=file.size, name=name)
        case _:
            assert_never(part)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), _PIECE):
        yield content[at : at + _PIECE]
