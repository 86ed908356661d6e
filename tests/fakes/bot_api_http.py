"""HTTP of the fake Bot API: requests read in every form that clients use, answers and broken answers."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.bot_api_media import ShownDraft, Uploaded
from tests.fakes.bot_api_rules import METHODS, ApiError, bad
from tests.fakes.bot_api_world import SentMessage

if TYPE_CHECKING:
    from tests.fakes.bot_api_faults import Fault


@dataclass(slots=True, kw_only=True)
class Call:
    """One request as it came, and how it ended: "ok", "400 …", "reset" …; "open" while it waits."""

    method: str
    params: dict[str, Any]
    at: float  # wall time
    outcome: str = "open"
    effect: bool = False  # whether it did what it asked for, whatever was answered
    ended_at: float | None = None

    @property
    def chat(self) -> int | None:
        """The chat it names, if it does."""
        chat = self.params.get("chat_id")
        return chat if isinstance(chat, int) else None


async def raw_params(request: web.Request) -> dict[str, Any]:
    """Return query, form and JSON body in one; raises ApiError when the body is none of these."""
    params: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            raise bad("can't parse JSON object") from None
        if not isinstance(body, dict):
            raise bad("object expected as JSON")
        return params | body
    form = await request.post()
    fields = {
        name: Uploaded(value.filename, value.file.read()) if isinstance(value, web.FileField) else value
        for name, value in form.items()
    }
    return params | _attached(fields)


def _attached(fields: dict[str, Any]) -> dict[str, Any]:
    """Put each file that a field names as `attach://FIELD` into its place."""
    names = {
        name: value.removeprefix("attach://")
        for name, value in fields.items()
        if isinstance(value, str) and value.startswith("attach://")
    }
    placed = {name: fields.get(where) for name, where in names.items()}
    return {name: value for name, value in fields.items() if name not in names.values()} | placed


def known_case(method: str) -> str:
    """Return the method's own spelling: the real server ignores case."""
    return next((name for name in METHODS if name.lower() == method.lower()), method)


def error_answer(error: ApiError) -> web.Response:
    """Return an answer with `ok: false`."""
    body: dict[str, Any] = {"ok": False, "error_code": error.status, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return web.json_response(body, status=error.status)


def answer_of(fault: Fault, request: web.Request) -> web.Response:
    """Return what a fault answers; for "reset" and "hang" the connection is broken instead."""
    match fault.kind:
        case "429":
            after = fault.retry_after
            return error_answer(
                ApiError(429, f"Too Many Requests: retry after {after}", {"retry_after": after})
            )
        case "429-bare":
            return error_answer(ApiError(429, "Too Many Requests"))
        case "500":
            return error_answer(ApiError(500, "Internal Server Error"))
        case "401":
            return error_answer(ApiError(401, "Unauthorized"))
        case "403":
            return error_answer(
                ApiError(403, f"Forbidden: {fault.description or 'bot was blocked by the user'}")
            )
        case "400":
            return error_answer(bad(fault.description or "wrong"))
        case "404":
            return error_answer(ApiError(404, "Not Found"))
        case "garbage":
            return web.Response(text="<html>it works</html>", content_type="text/html")
        case "502":
            page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
            return web.Response(status=502, text=page, content_type="text/html")
        case _:
            return broken(request)


def broken(request: web.Request) -> web.Response:
    """Break the connection with a TCP reset instead of an answer."""
    if (transport := request.transport) is not None:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


def plain(value: Any) -> Any:
    """Return a script's result as JSON."""
    if isinstance(value, Call | SentMessage | ShownDraft):
        return plain(asdict(value))
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
