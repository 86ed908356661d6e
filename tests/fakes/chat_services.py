"""Slack's, Feishu's and DingTalk's APIs for sending on one loopback port, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

SLACK_TOKEN = "xoxb-token-of-the-bot"
APP_SECRET = "secret-of-the-app"
ROBOT_SECRET = "SECrobot0123456789"

Fault = Literal["reset", "html", "hang"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the next call of a message meets; `taken`: it was shown all the same."""

    status: int = 200
    answer: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message as a chat shows it."""

    chat: str
    text: str
    thread: str | None = None
    reply_to: str | None = None
    key: str | None = None


class ChatServices:
    """All three; messages come in order, and those with a known key are shown once."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused = False  # credentials
        self.down = False  # answers HTML with 502
        self.released = asyncio.Event()
        self.token_life_s = 7200
        self.token_asked = asyncio.Event()  # set when somebody asks for a token
        self.token_may_go: asyncio.Event | None = None  # answers wait for it
        self._plans: deque[Plan] = deque()
        self._token = 0
        self._keys: set[str] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def tokens(self) -> int:
        """How many tokens were given out."""
        return self._token

    def plan(self, *plans: Plan) -> None:
        """Let the next messages meet these, one each."""
        self._plans.extend(plans)

    def expire_token(self) -> None:
        """Let Feishu's token be over before its time."""
        self._token += 1

    async def wait_for(self, count: int, chat: str | None = None, timeout_s: float = 20) -> list[Sent]:
        """Return the messages (of a chat) once there are `count`; raises TimeoutError."""

        def here() -> list[Sent]:
            return [sent for sent in self.sent if chat in (None, sent.chat)]

        async with asyncio.timeout(timeout_s):
            while len(here()) < count:
                await self._changed.wait()
                self._changed.clear()
        return here()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.post("/slack/auth.test", self._slack_auth),
                web.post("/slack/chat.postMessage", self._slack_post),
                web.post("/slack/hook", self._slack_hook),
                web.post("/open-apis/auth/v3/tenant_access_token/internal", self._feishu_token),
                web.post("/open-apis/im/v1/messages", self._feishu_send),
                web.post("/open-apis/im/v1/messages/{id}/reply", self._feishu_send),
                web.post("/open-apis/bot/v2/hook/{key}", self._feishu_robot),
                web.post("/robot/sendBySession", self._dingtalk_session),
                web.post("/robot/send", self._dingtalk_robot),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- Slack --------------------------------------------------------------------------------------------

    async def _slack_auth(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return _html()
        if (problem := self._slack_problem(request)) is not None:
            return problem
        return web.json_response({"ok": True, "user": "clawd", "team": "Team"})

    def _slack_problem(self, request: web.Request) -> web.Response | None:
        if self.refused or request.headers.get("Authorization") != f"Bearer {SLACK_TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        return None

    async def _slack_post(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        if (problem := self._slack_problem(request)) is not None:
            return problem
        if len(content["markdown_text"]) > 12_000:
            return web.json_response({"ok": False, "error": "msg_too_long"})
        sent = Sent(chat=content["channel"], text=content["markdown_text"], thread=content.get("thread_ts"))
        return await self._take(request, sent, {"ok": True, "ts": "1.5"})

    async def _slack_hook(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        await self._take(request, Sent(chat="hook", text=content["text"]), {})
        return web.Response(text="ok")

    # --- Feishu -------------------------------------------------------------------------------------------

    async def _feishu_token(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        self.token_asked.set()
        if self.token_may_go is not None:
            await self.token_may_go.wait()
        if self.down:
            return _html()
        if self.refused or content["app_secret"] != APP_SECRET:
            return web.json_response({"code": 10014, "msg": "app secret invalid"})
        self._token += 1
        return web.json_response(
            {"code": 0, "tenant_access_token": f"t-{self._token}", "expire": self.token_life_s}
        )

    async def _feishu_send(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        if self.refused or request.headers.get("Authorization") != f"Bearer t-{self._token}":
            return web.json_response({"code": 99991663, "msg": "token invalid"}, status=400)
        reply_to = request.match_info.get("id")
        if reply_to is None and request.query.get("receive_id_type") != "chat_id":
            return web.json_response({"code": 99992402, "msg": "field validation failed"}, status=400)
        assert len(content["uuid"]) <= 50
        assert content["msg_type"] == "post"
        ((element,),) = json.loads(content["content"])["zh_cn"]["content"]
        sent = Sent(
            chat=content.get("receive_id", ""),
            text=element["text"],
            thread="thread" if content.get("reply_in_thread") else None,
            reply_to=reply_to,
            key=content["uuid"],
        )
        return await self._take(request, sent, {"code": 0, "data": {"message_id": "om_9"}})

    async def _feishu_robot(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        key = f"{content.get('timestamp')}\n{ROBOT_SECRET}".encode()
        sign = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
        if content.get("sign") != sign:
            return web.json_response({"code": 19021, "msg": "sign match fail"})
        return await self._take(request, Sent(chat="robot", text=content["content"]["text"]), {"code": 0})

    # --- DingTalk -----------------------------------------------------------------------------------------

    async def _dingtalk_session(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        sent = Sent(chat=request.query["session"], text=content["markdown"]["text"])
        return await self._take(request, sent, {"errcode": 0, "errmsg": "ok"})

    async def _dingtalk_robot(self, request: web.Request) -> web.StreamResponse:
        content = await self._content(request)
        query = parse_qs(request.query_string)
        (at,), (sign,) = query["timestamp"], query["sign"]
        mac = hmac.new(ROBOT_SECRET.encode(), f"{at}\n{ROBOT_SECRET}".encode(), hashlib.sha256).digest()
        if sign != base64.b64encode(mac).decode() or query["access_token"] != ["t"]:
            return web.json_response({"errcode": 310000, "errmsg": "sign not match"})
        return await self._take(request, Sent(chat="robot", text=content["markdown"]["text"]), {"errcode": 0})

    # --- all ----------------------------------------------------------------------------------------------

    async def _content(self, request: web.Request) -> dict[str, Any]:
        content: dict[str, Any] = await request.json()
        self.calls.append((request.path, content))
        return content

    async def _take(self, request: web.Request, sent: Sent, answer: Mapping[str, Any]) -> web.StreamResponse:
        if self.down:
            return _html()
        plan = self._plans.popleft() if self._plans else Plan(taken=True)
        if plan.taken and (sent.key is None or sent.key not in self._keys):
            self.sent.append(sent)
            self._changed.set()
            if sent.key is not None:
                self._keys.add(sent.key)
        match plan.fault:
            case "reset":
                transport = request.transport
                assert transport is not None
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                )
                transport.abort()
                return web.Response()
            case "html":
                return _html()
            case "hang":
                await self.released.wait()
                return web.Response()
            case None:
                told = answer if plan.answer is None else plan.answer
                return web.json_response(told, status=plan.status, headers=plan.headers)


def _html() -> web.Response:
    return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
