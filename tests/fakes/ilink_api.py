"""A strict iLink bot API on loopback, with its CDN: it refuses what the real one refuses, and fails on request.

async with FakeIlink() as ilink:
    ilink.user_says("hello")
    await ilink.wait_for_sent(1)
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tests.fakes.ilink_calls import Call, Chat, Sent
from tests.fakes.ilink_rules import (
    Wrong,
    check_content,
    check_get,
    check_message,
    check_post,
    check_upload,
    openssl,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

USER = "u1@im.wechat"
QUOTA = 10
FIRST_ID = 2**63 + 17  # more than SQLite's integers hold


class FakeIlink:
    """The server and its script."""

    def __init__(self, *, hold_s: float = 35.0, now_ms: int | None = None) -> None:
        own = secrets.token_hex(6)  # unlike any other test's: one receiver an account on a host
        self.bot_id = f"{own}@im.bot"
        self.token = f"tok-{own}-{secrets.token_hex(12)}"
        self.hold_s = hold_s
        self.now_ms = int(time.time() * 1000) if now_ms is None else now_ms
        self.port = 0
        self.log: list[Call] = []
        self.sent: list[Sent] = []
        self.typing: list[str] = []
        self.stale: set[str] = set()
        self.qr_states: list[dict[str, Any]] = []  # what the next status polls answer; the last one repeats
        self.qr_codes: list[str] = []
        self.wrong: list[str] = []
        self.files: dict[str, bytes] = {}  # ciphertexts by download parameter
        self.retry_after_s = 7
        self.fresh_token = ""  # what getconfig gives as context_token
        self.on_sent: Callable[[Sent], None] | None = None
        self._plain: dict[str, bytes] = {}
        self._announced: dict[str, dict[str, Any]] = {}
        self._updates: list[Any] = []
        self._chats: dict[str, Chat] = {}
        self._faults: list[tuple[str, Any]] = []
        self._ids = 0
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    # --- life -------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def section(self) -> dict[str, Any]:
        """The keys of a bridge's section that lead here."""
        return {"api_base": self.url, "cdn_base": f"{self.url}/c2c", "send_interval_s": 0}

    async def start(self) -> None:
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_route("*", "/ilink/bot/{name:.+}", self._api)
        app.router.add_post("/c2c/upload", self._upload)
        app.router.add_get("/c2c/download", self._download)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._closing.set()
        self._wake()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if kind is None:
            assert self.wrong == [], self.wrong

    # --- script -----------------------------------------------------------------------------------------

    def user_says(self, text: str, *, user: str = USER, **fields: Any) -> dict[str, Any]:
        """Let a person write; a new context token comes with it."""
        return self.user_sends({"type": 1, "text_item": {"text": text}}, user=user, **fields)

    def user_sends(self, *items: dict[str, Any], user: str = USER, **fields: Any) -> dict[str, Any]:
        """Let a person send these items in one message; return it."""
        self._ids += 1
        chat = self._chats.setdefault(user, Chat())
        token = f"ctx-{user}-{self._ids}-{secrets.token_hex(8)}"
        chat.tokens.append(token)
        chat.used, chat.closed = 0, False
        message = {
            "seq": self._ids,
            "message_id": FIRST_ID + self._ids,
            "from_user_id": user,
            "to_user_id": self.bot_id,
            "client_id": f"c{self._ids}",
            "create_time_ms": self.now_ms + self._ids,
            "session_id": f"s-{user}",
            "message_type": 1,
            "message_state": 2,
            "item_list": list(items),
            "context_token": token,
            **fields,
        }
        self.push(message)
        return message

    def push(self, message: Any) -> None:
        """Queue whatever it is as one of `msgs`."""
        self._updates.append(message)
        self._wake()

    def keep_file(self, content: bytes, key: str) -> dict[str, Any]:
        """Keep a file at the CDN; return `media` of an item that names it."""
        param = f"p+/{len(self.files)}="
        self.files[param] = openssl(content, key) if key else content
        return {"encrypt_query_param": param, "encrypt_type": 1}

    def close_window(self, user: str = USER) -> None:
        """The user's last message is a day old."""
        self._chats[user].closed = True

    def fault(self, name: str, kind: Any, count: int = 1) -> None:
        """Let the next calls of this name fail.

        `kind`: a number is an HTTP status, a mapping the answer, bytes the raw answer; `reset` and
        `reset-after` break the connection before or after the effect, `hang` never answers, `hang-after` neither.
        """
        self._faults += [(name, kind)] * count

    def clear_faults(self) -> None:
        self._faults.clear()

    def revoke(self) -> None:
        """The login is stale from now on."""
        self.stale.add(self.token)

    def relogin(self) -> None:
        """The next login gives another token of the same account."""
        self.token = f"tok-{secrets.token_hex(16)}"

    def calls(self, name: str) -> list[Call]:
        return [call for call in self.log if call.name == name]

    def texts(self, user: str = USER) -> list[str]:
        return [sent.text for sent in self.sent if sent.user == user and sent.text]

    def confirmed(self) -> dict[str, Any]:
        """The state of a code that was confirmed on the phone."""
        return {
            "status": "confirmed",
            "bot_token": self.token,
            "ilink_bot_id": self.bot_id,
            "baseurl": self.url,
            "ilink_user_id": USER,
        }

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Return once it holds; it is asked after each call."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self._changed.wait()

    async def wait_for_sent(self, count: int, timeout_s: float = 10) -> list[Sent]:
        await self.wait_until(lambda: len(self.sent) >= count, timeout_s)
        return self.sent

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- calls ------------------------------------------------------------------------------------------

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        body = await request.json() if request.method == "POST" else dict(request.query)
        call = Call(name, dict(request.headers), body)
        self.log.append(call)
        self._wake()
        kind = self._take_fault(name)
        try:
            if kind is not None and kind not in ("reset-after", "hang-after"):
                call.outcome = str(kind)
                return await self._failed(request, kind)
            answer = await self._answer(name, request, body)
            call.outcome = "ok" if not answer.get("ret") else f"ret {answer['ret']}"
            if kind is not None:
                call.outcome = kind
                return await self._failed(request, kind.removesuffix("-after"))
            return web.json_response(answer)
        except (Wrong, KeyError, ValueError) as error:
            self.wrong.append(f"{name}: {error!r}")
            call.outcome = f"wrong: {error}"
            return web.json_response({"ret": -3, "errmsg": f"invalid argument: {error}"})
        finally:
            self._wake()

    def _take_fault(self, name: str) -> Any:
        for number, (wanted, kind) in enumerate(self._faults):
            if wanted in (name, "*"):
                del self._faults[number]
                return kind
        return None

    async def _failed(self, request: web.Request, kind: Any) -> web.StreamResponse:
        match kind:
            case int():
                headers = {"Retry-After": str(self.retry_after_s)} if kind == 429 else {}
                page = "<html><h1>Bad Gateway</h1></html>"
                return web.Response(status=kind, text=page, content_type="text/html", headers=headers)
            case dict():
                return web.json_response(kind)
            case bytes():
                return web.Response(body=kind, content_type="application/json")
            case "hang":
                await self._closing.wait()
            case _:
                pass
        if (transport := request.transport) is not None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response()

    async def _answer(self, name: str, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        if name == "get_qrcode_status":
            check_get(request.headers)
            return await self._qr_status(body)
        is_qr = name == "get_bot_qrcode"
        check_post(request.headers, body, token=not is_qr)
        if is_qr:
            if request.query.get("bot_type") != "3" or not isinstance(body["local_token_list"], list):
                raise Wrong("bot_type and local_token_list")
            self.qr_codes.append(f"qr-{secrets.token_hex(8)}")
            return {
                "qrcode": self.qr_codes[-1],
                "qrcode_img_content": f"https://liteapp.invalid/{self.qr_codes[-1]}",
            }
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token != self.token or token in self.stale:
            return {"ret": -14, "errmsg": "session expired"}
        match name:
            case "getupdates":
                return await self._getupdates(body["get_updates_buf"], token)
            case "sendmessage":
                return self._sendmessage(body["msg"])
            case "getconfig":
                ticket = {"typing_ticket": "dGlja2V0"}
                return {
                    "ret": 0,
                    **ticket,
                    **({"context_token": self.fresh_token} if self.fresh_token else {}),
                }
            case "sendtyping":
                if body["typing_ticket"] != "dGlja2V0" or body["status"] not in (1, 2):
                    raise Wrong("typing")
                self.typing.append(body["ilink_user_id"])
                return {"ret": 0}
            case "getuploadurl":
                check_upload(body)
                self._announced[body["filekey"]] = body
                return {"ret": 0, "upload_param": f"up+/{body['filekey']}="}
            case "msg/notifystart" | "msg/notifystop":
                return {"ret": 0}
            case _:
                raise Wrong("no such call")

    async def _qr_status(self, query: dict[str, str]) -> dict[str, Any]:
        if query["qrcode"] != self.qr_codes[-1]:
            return {"status": "expired"}
        state = self.qr_states.pop(0) if len(self.qr_states) > 1 else self.qr_states[0]
        if (number := state.get("expects")) and query.get("verify_code") != number:
            self.qr_states.insert(0, state)
            return {"status": "need_verifycode"}
        return {name: value for name, value in state.items() if name != "expects"}

    async def _getupdates(self, buffer: str, token: str) -> dict[str, Any]:
        start = int(buffer.removeprefix("buf-")) if buffer else 0
        loop = asyncio.get_running_loop()
        until = loop.time() + self.hold_s
        while len(self._updates) <= start and (left := until - loop.time()) > 0:
            if self._closing.is_set():
                break
            if token in self.stale:
                return {"ret": 0, "errcode": -14, "errmsg": "session expired"}
            changed = self._changed
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                break
        new = self._updates[start:]
        return {
            "ret": 0,
            "msgs": new,
            "get_updates_buf": f"buf-{start + len(new)}",
            "longpolling_timeout_ms": int(self.hold_s * 1000),
        }

    def _sendmessage(self, message: dict[str, Any]) -> dict[str, Any]:
        item = check_message(message)
        user, token = message["to_user_id"], message["context_token"]
        chat = self._chats.get(user, Chat())
        fresh = bool(self.fresh_token) and token == self.fresh_token
        if chat.closed or not (fresh or token in chat.tokens[-1:]) or (chat.used >= QUOTA and not fresh):
            return {"ret": -2, "errmsg": "prepare failed"}
        chat.used += 1
        file = None
        for body in (value for value in item.values() if isinstance(value, dict) and "media" in value):
            file = self._plain[body["media"]["encrypt_query_param"]]
        self.sent.append(Sent(user, message["client_id"], item, token, file))
        if self.on_sent is not None:
            self.on_sent(self.sent[-1])
        return {"ret": 0, "message_id": FIRST_ID * 2 - len(self.sent) - 100}

    # --- the CDN ----------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        key, content = request.query["filekey"], await request.read()
        self.log.append(Call("upload", dict(request.headers), dict(request.query)))
        kind = self._take_fault("upload")
        self._wake()
        if kind == "bad":
            return web.Response(status=400, headers={"x-error-message": "file type not allowed"})
        if kind == "no-header":
            return web.Response()
        if kind is not None:
            return await self._failed(request, kind)
        try:
            plain = await self._uploaded(request, key, content)
        except (Wrong, KeyError) as error:
            self.wrong.append(f"upload: {error!r}")
            return web.Response(status=400, headers={"x-error-message": str(error)})
        param = f"down+/{key}="
        self._plain[param], self.files[param] = plain, content
        return web.Response(headers={"x-encrypted-param": param})

    async def _uploaded(self, request: web.Request, key: str, content: bytes) -> bytes:
        if request.query["encrypted_query_param"] != f"up+/{key}=":
            raise Wrong("encrypted_query_param")
        if request.headers.get("Content-Type") != "application/octet-stream":
            raise Wrong("Content-Type")
        return await asyncio.to_thread(check_content, self._announced[key], content)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        self.log.append(Call("download", dict(request.headers), dict(request.query)))
        kind = self._take_fault("download")
        self._wake()
        if kind is not None:
            return await self._failed(request, kind)
        content = self.files.get(request.query["encrypted_query_param"])
        return web.Response(status=404) if content is None else web.Response(body=content)
