"""A receiver of signed callbacks on loopback, with faults; also a process of its own.

`python -m tests.fakes.webhook_receiver --port N --secret whsec_…` prints one line of JSON with its URL and
serves `GET /_control/calls` and `POST /_control/faults`, so that it outlives what is tested against it.
Signatures are verified with the `standardwebhooks` package.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

SECRET = "whsec_Y2FsbGJhY2stc2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXM="

FaultKind = Literal["status", "reset", "hang", "late", "huge", "slow_body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the next call meets: `status` answers it, `late` and `delay_s` take the call and answer 200 then."""

    kind: FaultKind = "status"
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    delay_s: float = 0.0
    unseen: bool = False  # the call is not recorded: it failed before it was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    verified: bool
    repeat: bool  # an id that was taken before
    taken: bool = True  # not refused

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")

    @property
    def event(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


class WebhookReceiver:
    """An endpoint that keeps every call in order."""

    def __init__(
        self, secret: str = SECRET, *, port: int = 0, on_call: Callable[[Call], None] | None = None
    ) -> None:
        self._on_call = on_call  # told of each call as it comes
        self.calls: list[Call] = []
        self.huge_mib = 0  # how much of huge answers was read, or lies in buffers
        self.released = asyncio.Event()  # lets hanging answers go
        self._port = port
        self._webhook = Webhook(secret)
        self._faults: deque[Fault] = deque()
        self._taken: set[str] = set()
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/callback"

    @property
    def delivered(self) -> list[Call]:
        """Verified calls without repeats and refused ones: what a receiver acts on."""
        return [call for call in self.calls if call.verified and call.taken and not call.repeat]

    def fault(self, *faults: Fault) -> None:
        """Let the next calls meet these, one each."""
        self._faults.extend(faults)

    async def wait_for(self, count: int, timeout_s: float = 30) -> list[Call]:
        """Return all calls once there are `count`; raises TimeoutError."""
        return await self.wait_until(lambda: len(self.calls) >= count, timeout_s)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30) -> list[Call]:
        """Return all calls once the condition holds; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                changed = self._changed
                await changed.wait()
        return list(self.calls)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.get("/_control/calls", self._show_calls),
                web.post("/_control/faults", self._plan_faults),
                web.route("*", "/{tail:.*}", self._receive),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = self._faults.popleft() if self._faults else None
        if fault is None or not fault.unseen:
            self._record(request, body, taken=fault is None or fault.kind != "status")
        if fault is None:
            return web.json_response({"ok": True})
        if fault.kind == "status":
            return web.Response(status=fault.status, headers=fault.headers, text=fault.body)
        return await self._misbehave(request, fault)

    async def _misbehave(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind == "reset":
            transport = request.transport
            assert transport is not None
            # Zero linger: the connection ends with a reset and not with a polite end.
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
            transport.abort()
            return web.Response()
        if fault.kind == "hang":
            await self.released.wait()
            return web.Response()
        if fault.kind == "late":
            await asyncio.sleep(fault.delay_s)
            return web.Response()
        response = web.StreamResponse(status=fault.status)
        await response.prepare(request)
        if fault.kind == "slow_body":
            await self.released.wait()
            return response
        for _ in range(1024):  # 1 GiB, unless the other side has had enough
            await response.write(b"x" * 1024 * 1024)
            self.huge_mib += 1
        return response

    def _record(self, request: web.Request, body: bytes, *, taken: bool) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            self._webhook.verify(body, headers, json_parse=False)
            verified = True
        except (WebhookVerificationError, UnicodeDecodeError):
            verified = False
        name = headers.get("webhook-id", "")
        repeat = name in self._taken
        if taken:
            self._taken.add(name)
        call = Call(
            method=request.method,
            path=request.path_qs,
            headers=headers,
            body=body,
            verified=verified,
            repeat=repeat,
            taken=taken,
        )
        self.calls.append(call)
        if self._on_call is not None:
            self._on_call(call)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _show_calls(self, _request: web.Request) -> web.Response:
        rows = [{**asdict(call), "body": call.body.decode("utf-8", "replace")} for call in self.calls]
        return web.json_response({"calls": rows})

    async def _plan_faults(self, request: web.Request) -> web.Response:
        planned = await request.json()
        self.fault(*(Fault(**fault) for fault in planned["faults"]))
        return web.json_response({"planned": len(self._faults)})


async def _serve(port: int, secret: str) -> None:
    async with WebhookReceiver(secret, port=port) as receiver:
        sys.stdout.write(json.dumps({"url": receiver.url}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A receiver of signed callbacks on loopback")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", default=SECRET)
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.secret))


if __name__ == "__main__":
    main()
