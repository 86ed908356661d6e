"""The operations of `/v1/files`, for `/openapi.json`. A test holds this list against the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clawd.gateway import answers, requests
from clawd.gateway.api_operations import LIMIT
from clawd.gateway.operations import Given, Operation, Parameter, named

if TYPE_CHECKING:
    from clawd.response import JsonObject

_ID: Final = "artifact:5f0c2a9e41d84b7ab6b1c3d2e9f80714"
_FILE: Final = named("id", "The file's id.", _ID)
_SHOWN: Final[JsonObject] = {
    "id": _ID,
    "name": "cat.png",
    "mime": "image/png",
    "size": 2048,
    "created_at": "2026-01-31T12:00:00.000Z",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "object": "file",
    "bytes": 2048,
    "filename": "cat.png",
    "purpose": "user_data",
}
_HEADERS: Final = ("Content-Disposition", "ETag")

ALL: Final = (
    Operation(
        method="post",
        path="/v1/files",
        id="putFile",
        tag="Files",
        summary="Put a file here, to name its id in messages",
        text="A form with the field `file`, or the file itself as the body, its name in `?name=`. The answer comes "
        "once the file is on the disk for good. One that no message names within a day is deleted.",
        parameters=(
            Parameter(
                name="name",
                place="query",
                text="What a file is called that is the whole body; a form says it itself.",
                schema={"type": "string"},
            ),
        ),
        upload=requests.Upload,
        answers=(
            Given(
                status="201",
                text="The file is kept.",
                model=answers.FileShown,
                headers=("Location",),
                example=_SHOWN,
            ),
        ),
        scopes=("chat",),
    ),
    Operation(
        method="get",
        path="/v1/files",
        id="listFiles",
        tag="Files",
        summary="List the token's files, the newest first",
        parameters=(
            Parameter(
                name="after",
                place="query",
                text="The cursor of the page before.",
                schema={"type": "string"},
            ),
            LIMIT,
        ),
        answers=(
            Given(
                status="200",
                text="A page.",
                model=answers.FileList,
                example={"files": [_SHOWN], "cursor": None},
            ),
        ),
        errors=(400,),
        scopes=("chat", "read"),
    ),
    Operation(
        method="get",
        path="/v1/files/{id}",
        id="showFile",
        tag="Files",
        summary="Show what is known of a file",
        text="A token sees its own files, one with the scope `admin` all of them; another's is 404.",
        parameters=(_FILE,),
        answers=(Given(status="200", text="The file.", model=answers.FileShown, example=_SHOWN),),
        errors=(404,),
        scopes=("chat", "read"),
    ),
    Operation(
        method="get",
        path="/v1/files/{id}/content",
        id="readFile",
        tag="Files",
        summary="Fetch a file, or a part of it",
        parameters=(
            _FILE,
            Parameter(
                name="Range",
                place="header",
                text="One range of bytes (RFC 9110, 14.2), such as `bytes=0-99`.",
                schema={"type": "string"},
            ),
        ),
        answers=(
            Given(
                status="200", text="The content, of the type the file has.", content="*/*", headers=_HEADERS
            ),
            Given(
                status="206",
                text="The part that was asked for.",
                content="*/*",
                headers=(*_HEADERS, "Content-Range"),
            ),
        ),
        errors=(404, 416),
        scopes=("chat", "read"),
    ),
    Operation(
        method="delete",
        path="/v1/files/{id}",
        id="deleteFile",
        tag="Files",
        summary="Delete a file, also from the messages that name it",
        parameters=(_FILE,),
        answers=(Given(status="204", text="It is gone.", content=""),),
        errors=(404,),
        scopes=("chat",),
    ),
)
