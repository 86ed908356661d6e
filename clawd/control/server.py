"""The control socket's server: HTTP/1.1 on a Unix socket, for people and commands on this host."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from aiohttp import web

from clawd.control.answers import NotAllowed, error_answer
from clawd.control.application import control_app
from clawd.control.listening import gid_of, group_of, listen, unlink_own
from clawd.control.peers import peer_of
from clawd.control.protocol import PREFIX
from clawd.control.reads import ACCOUNT
from clawd.control.waiting import OpenRequests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from clawd.control.services import ControlServices

log = logging.getLogger(__name__)

_DRAIN_S = 1.0
"""How long answers under way may take once the server closes; waits and streams end at once."""


class ControlServer:
    """Answers on one socket from `start` to `stop`, or inside `async with`.

    Args:
        path: Where to listen.
        services: What the handlers work with.
        group: Its members may connect too, mode 0660; by default `clawd` below /run/clawd, else nobody.
    """

    def __init__(self, path: Path, services: ControlServices, *, group: str | None = None) -> None:
        self.path = path
        self._services = services
        self._group = group or group_of(path)
        self._gid: int | None = None
        self._requests = OpenRequests()
        self._runner: web.AppRunner | None = None
        self._inode = 0

    async def start(self) -> None:
        """Return once clients can connect; raises SocketInUse or ControlError."""
        sock = await asyncio.to_thread(listen, self.path, self._group)
        self._inode = self.path.lstat().st_ino
        self._gid = gid_of(self._group) if self._group else None
        app = control_app(self._services, self._requests, self._let_in, prefix=PREFIX)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_DRAIN_S, keepalive_timeout=15
        )
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()
        log.info("control_listening", extra={"socket": str(self.path)})

    async def stop(self) -> None:
        """End streams and waits, let short answers finish, and remove the socket; doing it twice is fine."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        unlink_own(self.path, self._inode)
        self._requests.close()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @web.middleware
    async def _let_in(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            peer = peer_of(request.get_extra_info("socket"))
        except OSError:
            return web.Response(status=400)  # the client left before it was looked at; nobody reads this
        if not peer.may_enter(self._gid):
            log.warning("control_stranger", extra={"uid": peer.uid, "pid": peer.pid})
            return error_answer(
                NotAllowed(
                    "you may not talk to this daemon",
                    where=str(self.path),
                    why=f"user {peer.uid} is neither its own nor root nor of its group",
                )
            )
        request[ACCOUNT] = str(peer.uid)
        return await handler(request)
