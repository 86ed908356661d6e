"""A strict fake of WeChat's API on loopback: tokens, customer-service messages with quotas, media, menus.

It refuses what WeChat refuses, by the same numbers, and keeps every call in order.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

APP_ID = "wx0123456789abcdef"
APP_SECRET = "0123456789abcdef0123456789abcdef"
SENDS_PER_MESSAGE = 5
MAX_CONTENT = 2048

FaultKind = Literal["code", "status", "html", "reset", "hang"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the next call of `path` meets instead of an answer."""

    path: str  # behind /cgi-bin/
    kind: FaultKind = "code"
    code: int = -1
    status: int = 502


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One request as it arrived."""

    path: str  # behind /cgi-bin/
    query: dict[str, str]
    body: bytes
    code: int | None  # what it was answered, 0 for success; None where a fault was in between

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The text of a customer-service message."""
        text: str = self.json["text"]["content"]
        return text


@dataclass(slots=True)
class _Follower:
    sends_left: int = 0
    open: bool = False  # wrote within 48 hours


@dataclass(slots=True)
class WeChatApiFake:
    """The API of one account; `verified` False: it may get a token and nothing else."""

    verified: bool = True
    calls: list[ApiCall] = field(default_factory=list)
    media: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # content type and content by id
    menu: Any = None
    life_s: float = 7200
    secret: str = APP_SECRET
    down: bool = False  # every request meets a page of HTML
    on_call: Callable[[ApiCall], None] | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)  # lets hanging answers go
    _followers: dict[str, _Follower] = field(default_factory=dict)
    _faults: deque[Fault] = field(default_factory=deque)
    _tokens: list[str] = field(default_factory=list)  # good ones, the newest last
    _made: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None
    _port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # --- what a test does -------------------------------------------------------------------------------

    def wrote(self, openid: str) -> None:
        """This follower wrote: five sends are allowed from now on."""
        self._followers[openid] = _Follower(SENDS_PER_MESSAGE, open=True)

    def close_window(self, openid: str) -> None:
        """48 hours without a word have passed."""
        self._followers[openid] = _Follower()

    def fault(self, *faults: Fault) -> None:
        """Let the next calls meet these, in order, each the next one of its path."""
        self._faults.extend(faults)

    def drop_tokens(self) -> None:
        """Make all tokens bad, as a reset of the secret's owner does."""
        self._tokens.clear()

    def of(self, path: str) -> list[ApiCall]:
        """Return the calls of one path."""
        return [call for call in self.calls if call.path == path]

    @property
    def sent(self) -> list[ApiCall]:
        """The customer-service messages that were taken."""
        return [call for call in self.of("message/custom/send") if call.code == 0]

    @property
    def texts(self) -> list[str]:
        return [call.text for call in self.sent if call.json["msgtype"] == "text"]

    def counts(self) -> Counter[str]:
        return Counter(call.path for call in self.calls)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Return once the condition holds; it is asked after each call."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                changed = self._changed
                await changed.wait()

    # --- life -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.route("*", "/cgi-bin/{path:.*}", self._take),
                web.get("/pictures/{name}", _picture),
                web.get("/videos/{name}", self._video),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what the platform does -------------------------------------------------------------------------

    async def _take(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        body = b"" if path == "media/upload" else await request.read()
        fault = next((f for f in self._faults if f.path == path), None)
        if fault is None and self.down:
            return await self._misbehave(request, Fault(path=path, kind="html"))
        if fault is not None:
            self._faults.remove(fault)
            self._note(request, body, fault.code if fault.kind == "code" else None)
            return await self._misbehave(request, fault)
        answer = await self._answer(path, request, body)
        if isinstance(answer, web.Response):
            self._note(request, body, 0)
            return answer
        self._note(request, body, answer.get("errcode", 0))
        return web.json_response(answer)

    def _note(self, request: web.Request, body: bytes, code: int | None) -> None:
        call = ApiCall(path=request.match_info["path"], query=dict(request.query), body=body, code=code)
        self.calls.append(call)
        if self.on_call is not None:
            self.on_call(call)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _misbehave(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind == "code":
            return web.json_response(_error(fault.code))
        if fault.kind == "status":
            return web.Response(status=fault.status)
        if fault.kind == "html":
            return web.Response(status=fault.status, text="<html>bad</html>", content_type="text/html")
        if fault.kind == "hang":
            await self.released.wait()
            return web.Response()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _answer(self, path: str, request: web.Request, body: bytes) -> dict[str, Any] | web.Response:
        if path == "stable_token":
            return self._token(json.loads(body))
        if request.query.get("access_token") not in self._tokens:
            return _error(
                40001, f"invalid credential, access_token={request.query.get('access_token')} rid: 1"
            )
        match request.method, path:
            case "POST", "message/custom/typing":
                return self._typing(json.loads(body))
            case _ if not self.verified:
                return _error(48001, "api unauthorized")
            case "POST", "message/custom/send":
                return self._send(body)
            case "POST", "media/upload":
                return await self._upload(request)
            case "GET", "media/get":
                return self._get(request.query.get("media_id", ""))
            case "POST", "menu/create":
                return self._create_menu(body)
            case "POST", "menu/delete":
                self.menu = None
                return _error(0)
            case _:
                return _error(43002, "wrong method or path")

    def _token(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert set(wish) == {"grant_type", "appid", "secret", "force_refresh"}, wish
        if wish["appid"] != APP_ID:
            return _error(40013, "invalid appid")
        if wish["secret"] != self.secret:
            return _error(40125, "invalid appsecret")
        if not self._tokens or wish["force_refresh"]:
            self._made += 1
            self._tokens = [f"TOKEN-{self._made}-" + "t" * 60]
        return {"access_token": self._tokens[-1], "expires_in": self.life_s}

    def _typing(self, wish: dict[str, Any]) -> dict[str, Any]:
        if not self.verified:
            return _error(48001, "api unauthorized")
        assert wish["command"] in ("Typing", "CancelTyping")
        return _error(0 if wish["touser"] in self._followers else 45080)

    def _send(self, body: bytes) -> dict[str, Any]:
        assert b"\\u" not in body, "escapes are shown to people as they stand"
        wish = json.loads(body.decode("utf-8"))
        follower = self._followers.get(wish["touser"])
        if follower is None:
            return _error(40003, "invalid openid")
        kind = wish["msgtype"]
        if kind == "text":
            if len(wish["text"]["content"].encode()) > MAX_CONTENT:
                return _error(45002, "content size out of limit")
            assert wish["text"]["content"].strip()
        elif wish[kind]["media_id"] not in self.media or self.media[wish[kind]["media_id"]][0] != kind:
            return _error(40007, "invalid media_id")
        if not follower.open:
            return _error(45015, "response out of time limit")
        if not follower.sends_left:
            return _error(45047, "out of response count limit")
        follower.sends_left -= 1
        return _error(0)

    async def _upload(self, request: web.Request) -> dict[str, Any]:
        kind = request.query.get("type", "")
        form = await request.post()
        file = form["media"]
        assert isinstance(file, web.FileField)
        assert file.filename
        content = file.file.read()
        limits = {"image": 10_000_000, "voice": 2_000_000}
        if kind not in limits:
            return _error(40004, "invalid media type")
        if len(content) > limits[kind]:
            return _error(40006, "invalid media size")
        media_id = f"MEDIA-{len(self.media) + 1}"
        self.media[media_id] = (kind, content)
        return {"type": kind, "media_id": media_id, "created_at": 1_700_000_000}

    def _get(self, media_id: str) -> dict[str, Any] | web.Response:
        if media_id not in self.media:
            return _error(40007, "invalid media_id")
        kind, content = self.media[media_id]
        if kind == "video":
            return {"video_url": f"{self.url}/videos/{media_id}"}
        types = {"image": "image/jpeg", "voice": "audio/amr"}
        return web.Response(body=content, content_type=types.get(kind, kind))

    async def _video(self, request: web.Request) -> web.Response:
        return web.Response(body=self.media[request.match_info["name"]][1], content_type="video/mp4")

    def _create_menu(self, body: bytes) -> dict[str, Any]:
        menu = json.loads(body)
        for button in menu["button"]:
            if len(button["name"].encode()) > 16:
                return _error(40018, "invalid button name size")
        self.menu = menu
        return _error(0)


async def _picture(request: web.Request) -> web.Response:
    return web.Response(body=b"picture " + request.match_info["name"].encode(), content_type="image/jpeg")


def _error(code: int, words: str = "") -> dict[str, Any]:
    return {"errcode": code, "errmsg": words or ("ok" if code == 0 else f"error {code}")}
