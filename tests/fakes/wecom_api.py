"""A strict WeCom on loopback: the long connection of one AI bot, its limits, its files, and faults on request.

    async with FakeWecom() as wecom:
        wecom.user_says("zhangsan", "hello")
        await wecom.wait_until(lambda: wecom.finished("zhangsan"))

What nobody receives is lost, as there: the platform sends a callback once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from typing import TYPE_CHECKING, Any, Self

from aiohttp import WSMsgType, web

from tests.fakes.wecom_files import Files
from tests.fakes.wecom_rules import Refused, check
from tests.fakes.wecom_world import Callback, Fault, FaultKind, Seen, Shown, Socket, abort, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

BOT_ID = "aibFakeBotFakeBot"
SECRET = "FakeSecretFakeSecretFakeSecret42"
STREAM_S = 360.0


class FakeWecom:
    """The server and its script."""

    def __init__(self, *, bot_id: str = BOT_ID, secret: str = SECRET, port: int = 0) -> None:
        self.bot_id = bot_id
        self.secret = secret
        self.port = port
        self.pongs = True  # heartbeats are answered
        self.reuse = True  # a callback can be answered over another connection than it came by
        self.age_s: float = 0.0  # added to the age of streams: time that passes for the platform alone
        self.handshake_status = 0  # refuse connections with this
        self.close_after_subscribe = False
        self.seen: list[Seen] = []
        self.shown: list[Shown] = []
        self.lost: list[dict[str, Any]] = []  # callbacks that nobody received
        self.files = Files()
        self.subscriptions = 0
        self.pings = 0
        self._refused_secret = ""  # said back in the error, as a careless server does
        self._faults: list[Fault] = []
        self._callbacks: dict[str, Callback] = {}
        self._streams: dict[str, Shown] = {}
        self._known: set[str] = set()
        self._tasks: set[str] = set()
        self._sockets: list[Socket] = []
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # --- life ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port that it had before."""
        app = web.Application()
        app.router.add_get("/", self._connect)
        app.router.add_get("/files/{name}", self.files.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.files.base = f"http://127.0.0.1:{self.port}/files"

    async def stop(self) -> None:
        """Cut every connection and refuse new ones."""
        await self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def cut(self) -> None:
        """Break every connection without a farewell."""
        for socket in list(self._sockets):
            abort(socket.ws)
            socket.subscribed = False
        while self._sockets:
            await asyncio.sleep(0)

    # --- people -------------------------------------------------------------------------------------------

    def user_says(self, user: str, text: str, *, group: str | None = None, **body: Any) -> str:
        """Let somebody write; return the req_id of the callback."""
        return self.user_sends(user, {"msgtype": "text", "text": {"content": text}, **body}, group=group)

    def user_sends(self, user: str, content: dict[str, Any], *, group: str | None = None) -> str:
        """Let somebody send anything; `content` has msgtype and what belongs to it."""
        return self.callback("aibot_msg_callback", self.body_of(user, content, group=group))

    def event(self, user: str, event: dict[str, Any], *, group: str | None = None) -> str:
        """Let an event happen."""
        return self.callback(
            "aibot_event_callback", self.body_of(user, {"msgtype": "event", "event": event}, group=group)
        )

    def press(self, user: str, card: dict[str, Any], label: str, *, group: str | None = None) -> str:
        """Let somebody press the button of a card that has this text."""
        (key,) = [button["key"] for button in card["button_list"] if button["text"] == label]
        pressed = {
            "card_type": card["card_type"],
            "event_key": key,
            "task_id": card["task_id"],
            "selected_items": {},
        }
        event = {"eventtype": "template_card_event", "template_card_event": pressed}
        return self.event(user, event, group=group)

    def body_of(self, user: str, content: dict[str, Any], *, group: str | None = None) -> dict[str, Any]:
        """Return a callback's body."""
        chat = {"chattype": "group", "chatid": group} if group else {"chattype": "single"}
        return {
            "msgid": f"CAIQ{next(self._numbers)}",
            "aibotid": self.bot_id,
            "create_time": int(time.time()),
            "from": {"userid": user},
            **chat,
            **content,
        }

    def callback(self, cmd: str, body: dict[str, Any]) -> str:
        """Send a callback to whoever is subscribed; return its req_id."""
        req_id = f"req-{next(self._numbers)}"
        chat = body.get("chatid") or body.get("from", {}).get("userid", "")
        self._known.add(chat)
        self._callbacks[req_id] = Callback(chat=chat, at=time.monotonic())
        frame = {"cmd": cmd, "headers": {"req_id": req_id}, "body": body}
        if not self.push(json.dumps(frame, ensure_ascii=False)):
            self.lost.append(body)
        return req_id

    def push(self, *texts: str) -> bool:
        """Send raw texts, in one write, to whoever is subscribed; False when nobody is."""
        for socket in self._sockets:
            if socket.subscribed and not socket.ws.closed:
                asyncio.get_running_loop().call_soon(write, socket.ws, *texts)
                return True
        return False

    # --- what was seen --------------------------------------------------------------------------------------

    def fault(self, cmd: str, kind: FaultKind, **more: Any) -> None:
        """Let the next frame of this command fail."""
        self._faults.append(Fault(cmd=cmd, kind=kind, **more))

    def clear_faults(self) -> None:
        """Let everything succeed again."""
        self._faults.clear()

    def frames(self, cmd: str) -> list[Seen]:
        """Return the frames of a command, in order."""
        return [seen for seen in self.seen if seen.cmd == cmd]

    def messages(self, chat: str) -> list[Shown]:
        """Return what a chat shows, in order."""
        return [shown for shown in self.shown if shown.chat == chat]

    def finished(self, chat: str) -> list[str]:
        """Return the texts of a chat that are finished, in order."""
        return [s.text for s in self.messages(chat) if s.finished and s.kind in ("stream", "markdown")]

    @property
    def connected(self) -> bool:
        """Whether somebody is subscribed now."""
        return any(socket.subscribed for socket in self._sockets)

    async def wait_until(self, condition: Callable[[], Any], timeout_s: float = 10) -> None:
        """Return once the condition holds; it is asked after everything that happens here."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- the connection -------------------------------------------------------------------------------------

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if self.handshake_status:
            return web.Response(status=self.handshake_status)
        ws = web.WebSocketResponse(max_msg_size=4 * 1024 * 1024)
        await ws.prepare(request)
        socket = Socket(next(self._numbers), ws)
        self._sockets.append(socket)
        try:
            async with asyncio.TaskGroup() as acks:
                async for message in ws:
                    if message.type is WSMsgType.TEXT:
                        await self._frame(socket, json.loads(message.data), acks)
        finally:
            self._sockets.remove(socket)
            self._note()
        return ws

    async def _frame(self, socket: Socket, frame: dict[str, Any], acks: asyncio.TaskGroup) -> None:
        cmd, req_id, body = frame["cmd"], frame["headers"]["req_id"], frame.get("body")
        assert isinstance(req_id, str)
        assert req_id
        if cmd == "ping":
            self.pings += 1
            if self.pongs:
                await self._answer(socket, req_id)
            self._note()
            return
        assert isinstance(body, dict), cmd
        fault = self._fault_for(cmd, body)
        code, result = await self._do(socket, cmd, req_id, body, fault)
        outcome = fault.kind if fault is not None and not code else str(code or "ok")
        self.seen.append(
            Seen(cmd=cmd, req_id=req_id, body=body, outcome=outcome, at=time.time(), connection=socket.number)
        )
        self._note()
        match fault.kind if fault is not None else "":
            case "no_ack":
                pass
            case "cut_before" | "cut_after":
                abort(socket.ws)
                socket.subscribed = False
            case "late_ack":
                assert fault is not None
                socket.busy.add(req_id)
                acks.create_task(self._answer_late(socket, req_id, result, fault.delay_s))
            case "wrong_req_id":
                await self._answer(socket, f"not-{req_id}", code, result)
            case "garbage":
                await socket.ws.send_str("<html>busy</html>")
                await self._answer(socket, req_id, code, result)
            case _:
                await self._answer(socket, req_id, code, result)
        if cmd == "aibot_subscribe" and not code and self.close_after_subscribe:
            await socket.ws.close()

    async def _answer(
        self, socket: Socket, req_id: str, code: int = 0, body: dict[str, Any] | None = None
    ) -> None:
        words = {0: "ok", 853000: f"signature is incorrect, secret {self._refused_secret}"}.get(
            code, "refused"
        )
        frame: dict[str, Any] = {"headers": {"req_id": req_id}, "errcode": code, "errmsg": words}
        if body is not None:
            frame["body"] = body
        if not socket.ws.closed:
            await socket.ws.send_str(json.dumps(frame))

    async def _answer_late(
        self, socket: Socket, req_id: str, body: dict[str, Any] | None, delay_s: float
    ) -> None:
        await asyncio.sleep(delay_s)
        socket.busy.discard(req_id)
        with contextlib.suppress(ConnectionError):
            await self._answer(socket, req_id, 0, body)

    def _fault_for(self, cmd: str, body: dict[str, Any]) -> Fault | None:
        for fault in self._faults:
            if fault.cmd != cmd or not fault.where(body):
                continue
            if fault.nth > 1:
                fault.nth -= 1
                continue
            fault.count -= 1
            if not fault.count:
                self._faults.remove(fault)
            return fault
        return None

    # --- what commands do -----------------------------------------------------------------------------------

    async def _do(
        self, socket: Socket, cmd: str, req_id: str, body: dict[str, Any], fault: Fault | None
    ) -> tuple[int, dict[str, Any] | None]:
        if fault is not None and fault.kind == "errcode":
            return fault.errcode, None
        if fault is not None and fault.kind == "cut_before":
            return 0, None
        try:
            check(cmd, body)
            if cmd == "aibot_subscribe":
                return await self._subscribe(socket, body), None
            if not socket.subscribed:
                return 846609, None
            return 0, self._act(socket, cmd, req_id, body)
        except Refused as refused:
            return refused.errcode, None

    async def _subscribe(self, socket: Socket, body: dict[str, Any]) -> int:
        if body != {"bot_id": self.bot_id, "secret": self.secret}:
            self._refused_secret = body["secret"]
            return 853000
        for other in self._sockets:
            if other is not socket and other.subscribed:
                other.subscribed = False
                gone = {"msgtype": "event", "event": {"eventtype": "disconnected_event"}}
                frame = {"cmd": "aibot_event_callback", "headers": {"req_id": "kick"}, "body": gone}
                await other.ws.send_str(json.dumps(frame))
                await other.ws.close()
        socket.subscribed = True
        self.subscriptions += 1
        return 0

    def _act(self, socket: Socket, cmd: str, req_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if req_id in socket.busy:
            raise Refused(6000)
        match cmd:
            case "aibot_respond_msg":
                self._respond(req_id, body)
            case "aibot_send_msg":
                self._send(body)
            case "aibot_respond_welcome_msg" | "aibot_respond_update_msg":
                self._respond_event(cmd, req_id, body)
            case _:
                return self.files.upload(cmd, body)
        return None

    def _respond(self, req_id: str, body: dict[str, Any]) -> None:
        callback = self._callbacks.get(req_id)
        if callback is None or callback.over or not self.reuse:
            raise Refused(846605)
        stream = body["stream"]
        if callback.stream is None:
            callback.stream, callback.began = stream["id"], time.monotonic()
            shown = Shown(chat=callback.chat, kind="stream", history=[], finished=False, at=time.time())
            self._streams[stream["id"]] = shown
            self.shown.append(shown)
        if callback.stream != stream["id"]:
            raise Refused(40058)
        if time.monotonic() - callback.began + self.age_s > STREAM_S:
            raise Refused(846608)
        shown = self._streams[stream["id"]]
        shown.history.append(stream["content"])
        shown.finished = callback.over = stream["finish"]

    def _send(self, body: dict[str, Any]) -> None:
        chat, kind = body["chatid"], body["msgtype"]
        if chat not in self._known:
            raise Refused(93006)
        shown = Shown(chat=chat, kind=kind, history=[""], at=time.time())
        if kind == "markdown":
            shown.history = [body["markdown"]["content"]]
        elif kind == "template_card":
            shown.card = body["template_card"]
            if shown.card["task_id"] in self._tasks:
                raise Refused(40058)
            self._tasks.add(shown.card["task_id"])
        else:
            shown.name, shown.media = self.files.uploaded(kind, body[kind]["media_id"])
        self.shown.append(shown)

    def _respond_event(self, cmd: str, req_id: str, body: dict[str, Any]) -> None:
        callback = self._callbacks.get(req_id)
        if callback is None or callback.over or time.monotonic() - callback.at > 5:
            raise Refused(846605)
        callback.over = True
        if cmd == "aibot_respond_welcome_msg":
            text = body["text"]["content"]
            self.shown.append(Shown(chat=callback.chat, kind="welcome", history=[text], at=time.time()))
            return
        card = body["template_card"]
        for shown in self.shown:
            if shown.card is not None and shown.card["task_id"] == card["task_id"]:
                shown.card = card
                return
        raise Refused(40058)
