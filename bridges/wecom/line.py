"""The line to the platform: opens connections, subscribes, and says how long to wait between two."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from typing import TYPE_CHECKING, Final

import aiohttp

from bridges.wecom.connection import CLOSE_S, MAX_FRAME_BYTES, Connection, Socket
from bridges.wecom.errors import (
    NOT_SUBSCRIBED,
    ApiError,
    NoAnswer,
    NotSent,
    handshake_error,
    subscribe_error,
)
from clawd.errors import BridgeError, BridgeNotReady
from clawd.network import client_session, without_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridges.wecom.config import WecomConfig
    from bridges.wecom.frames import Frame
    from clawd.bridge import BridgeContext
    from clawd.response import JsonObject

_CONNECT_S: Final = 10.0
_FIRST_WAIT_S: Final = 1.0
_MAX_WAIT_S: Final = 30.0


class Line:
    """At most one connection at a time. A frame goes to the one that is open now, or to none."""

    def __init__(self, context: BridgeContext, config: WecomConfig, random: Callable[[], float]) -> None:
        self._name = context.name
        self._config = config
        self._network = without_proxy(config.network or context.network, config.ws_url)
        self._user_agent = f"clawd/{context.version}"
        self._random = random
        self._session: aiohttp.ClientSession | None = None
        self._connection: Connection | None = None
        self._failures = 0
        self._numbers = itertools.count(1)
        self._nonce = secrets.token_hex(4)

    async def open(
        self,
        *,
        on_callback: Callable[[Frame], None],
        on_bad: Callable[[str, str], None],
        room: Callable[[], Awaitable[None]],
        on_pong: Callable[[], None],
    ) -> Connection:
        """Return a subscribed connection, the old one closed.

        Raises:
            BridgeNotReady: out of reach, or not wanted now.
            BridgeAuthError: bot id or secret is refused.
        """
        await self.hang_up()
        secret = self._config.secret.reveal()

        def pong() -> None:
            self._failures = 0  # it holds: a server that closes at once is not asked every second
            on_pong()

        connection = Connection(
            await self._connect(),
            secret=secret,
            ack_timeout_s=self._config.ack_timeout_s,
            on_callback=on_callback,
            on_bad=on_bad,
            room=room,
            on_pong=pong,
        )
        body: JsonObject = {"bot_id": self._config.bot_id, "secret": secret}
        try:
            await connection.request("aibot_subscribe", self.new_id("aibot_subscribe"), body)
            self._connection = connection
        except (ApiError, NotSent, NoAnswer) as error:
            raise self._waiting(subscribe_error(self._name, error)) from None
        finally:
            if self._connection is None:
                await connection.end("not subscribed")
        return connection

    def lost(self, why: str) -> BridgeError:
        """Return what it means that the connection ended, with the time to wait before the next."""
        return self._waiting(BridgeNotReady(self._name, "the connection to WeCom was lost", why=why))

    @property
    def http(self) -> aiohttp.ClientSession:
        """The session of all requests; call it inside the event loop."""
        if self._session is None:
            self._session = client_session(
                self._network, headers={"User-Agent": self._user_agent}, ws_response_class=Socket
            )
        return self._session

    def new_id(self, prefix: str) -> str:
        """Return a `req_id` that no other frame of this process has, nor of another one."""
        return f"{prefix}_{self._nonce}_{next(self._numbers)}"

    async def request(
        self, cmd: str, body: JsonObject, *, req_id: str | None = None, reused: bool = False
    ) -> Frame:
        """Send a frame over the open connection; raises as `Connection.request`, NotSent without one.

        A connection that turns out to be not subscribed is closed, so that the next one is.
        """
        connection = self._connection
        if connection is None:
            raise NotSent("not connected")
        try:
            return await connection.request(cmd, req_id or self.new_id(cmd), body, reused=reused)
        except ApiError as error:
            if error.errcode == NOT_SUBSCRIBED:
                await connection.end("not subscribed")
            raise

    async def read_buffered(self, patience_s: float) -> None:
        """Take in what has come and nobody has read; for the end, when nobody follows any more."""
        if self._connection is not None:
            try:
                async with asyncio.timeout(patience_s):
                    await self._connection.follow()
            except TimeoutError:
                pass

    async def hang_up(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            await self._connection.end("closed by us")
            self._connection = None

    async def close(self) -> None:
        """Close everything."""
        await self.hang_up()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self.http.ws_connect(
                    self._config.ws_url,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                    max_msg_size=MAX_FRAME_BYTES,
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._waiting(handshake_error(self._name, error)) from None

    def _waiting(self, error: BridgeError) -> BridgeError:
        """Give an error the time that is to pass before the next attempt, where it names none itself."""
        if isinstance(error, BridgeNotReady) and error.retry_after_s is None:
            self._failures = min(self._failures + 1, 20)
            ceiling_s = min(_FIRST_WAIT_S * 2.0 ** (self._failures - 1), _MAX_WAIT_S)
            error.retry_after_s = ceiling_s * (0.5 + 0.5 * self._random())
        return error
