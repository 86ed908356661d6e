"""Files of the fake Bot API: what people send, getFile, and the downloads behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.fakes.bot_api_rules import ApiError, bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.bot_api_world import World

LIMIT: Final = 20 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class ShelvedFile:
    """One file; change it to let things go wrong."""

    content: bytes
    path: str  # an absolute one is that of a server in local mode, which gives out no downloads
    size: int | None  # what getFile says


class FileShelf:
    """The files of one bot, by id."""

    def __init__(self, world: World, push: Callable[[Any], int]) -> None:
        self._world = world
        self._push = push
        self.files: dict[str, ShelvedFile] = {}

    def put(self, file_id: str, content: bytes, *, path: str = "", size: int | None = None) -> dict[str, Any]:
        """Keep a file; returns what an update says of it. `size` is a claimed one."""
        size = len(content) if size is None else size
        self.files[file_id] = ShelvedFile(content=content, path=path or f"files/{file_id}", size=size)
        return {"file_id": file_id, "file_unique_id": f"u-{file_id}", "file_size": size}

    def user_sends(self, chat: int, kind: str, content: bytes, *, caption: str = "", **fields: Any) -> str:
        """Queue a message with a file of this kind (`photo`, `voice`, `document` …); returns the file's id.

        `fields` are added to the file's object, as `file_name` and `mime_type`.
        """
        file_id = f"file-{len(self.files) + 1}"
        said = {**self.put(file_id, content), **_SHAPES.get(kind, {}), **fields}
        message = self._world.posted(chat, sender=None, thread=None)
        message[kind] = [said] if kind == "photo" else said
        if caption:
            message["caption"] = caption
        self._push({"message": message})
        return file_id

    def find(self, params: dict[str, Any]) -> dict[str, Any]:
        """getFile."""
        file_id = params.get("file_id", "")
        file = self.files.get(file_id)
        if file is None:
            raise bad("wrong file_id or the file is temporarily unavailable")
        if len(file.content) > LIMIT and not file.path.startswith("/"):
            raise bad("file is too big")
        size = {} if file.size is None else {"file_size": file.size}
        return {"file_id": file_id, "file_unique_id": f"u-{file_id}", "file_path": file.path, **size}

    def content(self, path: str) -> bytes:
        """Return a download; raises ApiError."""
        for file in self.files.values():
            if file.path == path:
                return file.content
        raise ApiError(404, "Not Found")


_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "photo": {"width": 1280, "height": 853},
    "voice": {"duration": 3, "mime_type": "audio/ogg"},
    "audio": {"duration": 3},
    "video": {"duration": 3, "width": 1280, "height": 720},
}


async def cut_off(request: web.Request, content: bytes) -> web.StreamResponse:
    """Answer with half of the content that was promised."""
    response = web.StreamResponse()
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
