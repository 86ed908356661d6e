"""The HTTP server: its life, and the checks that hold for every request."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from multidict import CIMultiDict

from clawd.errors import ClawdError
from clawd.gateway.actions import Actions
from clawd.gateway.approvals import Approvals
from clawd.gateway.apps import Callers
from clawd.gateway.bodies import BODY_TIMEOUT_S
from clawd.gateway.bridges import BridgeMounts
from clawd.gateway.connections import HEADER_TIMEOUT_S, Connections
from clawd.gateway.events import PATH as EVENTS_PATH
from clawd.gateway.events import EventStreams
from clawd.gateway.health import Health, Readiness
from clawd.gateway.metrics import MetricsPage
from clawd.gateway.origins import Origins
from clawd.gateway.places import Places, StreamTimes
from clawd.gateway.problems import ServerLog, problems, try_later
from clawd.gateway.rest import Messages
from clawd.gateway.session import Streaming
from clawd.gateway.waits import Waits
from clawd.gateway.websocket import PATH as SOCKET_PATH
from clawd.gateway.websocket import WebSockets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from types import TracebackType

    from clawd.bridge import HttpBridge, Inbox
    from clawd.config.schema import GatewayConfig
    from clawd.fanout import Fanout
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.metrics import ReadMetrics
    from clawd.ids import Clock
    from clawd.journal.reading import Views

log = logging.getLogger(__name__)

_KEEPALIVE_S: Final = 75.0  # longer than the usual 60 s of a reverse proxy, which must be the one to close
_LINGER_S: Final = 2.0  # how long the rest of a refused body is read, so that the answer arrives
_STREAM_TIMES: Final = StreamTimes()
_STOP_S: Final = 0.3  # streams, then requests under way, may finish; thrice this is the longest stop


_STREAMS: Final = frozenset({SOCKET_PATH, EVENTS_PATH})


class CannotListen(ClawdError):
    """The gateway can't have its address and port."""

    code = "E-LISTEN"


class Gateway:
    """The HTTP server of one daemon.

    Args:
        config: Host and port hold for life; `configure` changes the rest.
        inbox: Where messages go.
        views: Where turns are read.
        fanout: Tells when turns end.
        readiness: The daemon's own view, asked for each `/readyz` and each message.
        metrics: What `/metrics` shows.
        bridges: The bridges to mount, by name, as they are now.
        tokens: Who may come in; `start` configures it.
        clock: Time of messages.
        models: The names of models and routes that a message may ask for.
        header_timeout_s: How long a new connection may take for its first request's headers.
        body_timeout_s: How long a body may take.
        stream_times: How long the clients of streams may take.
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        inbox: Inbox,
        views: Views,
        fanout: Fanout,
        readiness: Callable[[], Readiness],
        metrics: ReadMetrics,
        bridges: Callable[[], Mapping[str, HttpBridge]],
        tokens: TokenStore,
        clock: Clock,
        models: Callable[[], Collection[str]],
        header_timeout_s: float = HEADER_TIMEOUT_S,
        body_timeout_s: float = BODY_TIMEOUT_S,
        stream_times: StreamTimes = _STREAM_TIMES,
    ) -> None:
        self._config = config
        self._origins = Origins(config.host, config.hosts)
        self._readiness = readiness
        self._tokens = tokens
        self._header_timeout_s = header_timeout_s
        self._waits = Waits(views, fanout)
        self._health = Health(readiness)
        self._metrics = MetricsPage(metrics, tokens, config.host)
        self._mounts = BridgeMounts(bridges, inbox, body_timeout_s=body_timeout_s)
        self._messages = Messages(
            inbox,
            views,
            self._waits,
            tokens,
            clock,
            models=models,
            max_body_bytes=lambda: self._config.max_body_bytes,
            body_timeout_s=body_timeout_s,
        )
        self._approvals = Approvals(
            inbox,
            views,
            tokens,
            clock,
            max_body_bytes=lambda: self._config.max_body_bytes,
            body_timeout_s=body_timeout_s,
        )
        self._callers = Callers(tokens, lambda headers: self._origins.check(headers))
        self._places = Places(lambda: self._config.max_sockets)
        streaming = Streaming(
            views=views,
            fanout=fanout,
            callers=self._callers,
            actions=Actions(
                inbox,
                views,
                self._approvals,
                clock,
                models=models,
                draining=lambda: self._readiness().draining,
            ),
            max_subscriptions=lambda: self._config.max_subscriptions,
            times=stream_times,
        )
        self._sockets = WebSockets(
            streaming,
            self._places,
            max_frame_bytes=lambda: self._config.max_body_bytes,
        )
        self._events = EventStreams(streaming, self._places)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._connections: Connections | None = None

    @property
    def url(self) -> str | None:
        """Where the gateway listens, with the real port; None when it is off or not started."""
        if self._server is None:
            return None
        port = self._server.sockets[0].getsockname()[1]
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"http://{host}:{port}"

    async def configure(self, config: GatewayConfig) -> None:
        """Use these tokens, names and limits from now on; a new host or port needs a new `Gateway`."""
        await self._tokens.configure(config.tokens)
        self._origins = Origins(self._config.host, config.hosts)
        self._config = config.model_copy(update={"host": self._config.host, "port": self._config.port})
        self._callers.configure(config.apps)
        self._places.recheck()

    async def start(self) -> None:
        """Return once requests are taken; with `port: false` nothing is opened.

        Raises:
            CannotListen: the port is taken, not allowed, or the host is not this machine's.
            ConfigError: the file of the generated token can't be used.
        """
        if self._config.port is False:
            return
        await self._tokens.configure(self._config.tokens)
        self._callers.configure(self._config.apps)
        runner = web.AppRunner(
            self._app(),
            access_log=None,
            shutdown_timeout=_STOP_S,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            auto_decompress=False,
        )
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - set by setup
        connections = Connections(runner.server, self._header_timeout_s)
        try:
            server = await self._listen(connections)
        except OSError as error:
            await runner.cleanup()
            raise _cannot_listen(self._config, error) from error
        self._runner, self._server, self._connections = runner, server, connections
        log.info("gateway_listening", extra={"url": self.url})

    async def _listen(self, connections: Connections) -> asyncio.Server:
        """Open the port; when nobody chose it and it is taken, any free one, so that a first start works."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(connections, self._config.host, self._config.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or "port" in self._config.model_fields_set:
                raise
            log.warning("gateway_port_taken", extra={"port": self._config.port, "used": "any free one"})
            return await loop.create_server(connections, self._config.host, 0)

    async def stop(self) -> None:
        """Take no more requests, let those under way finish for a moment, and close; less than a second."""
        if self._runner is None or self._server is None or self._connections is None:
            return
        runner, server, connections = self._runner, self._server, self._connections
        self._runner = self._server = self._connections = None
        server.close()
        self._waits.close()
        await self._places.close(_STOP_S)  # while the library still hears their goodbyes
        connections.close()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[problems, self._checks],
            # `debug` would send tracebacks to clients.
            handler_args={"debug": False, "logger": ServerLog(log)},
        )
        app.add_routes(
            [
                *self._health.routes(),
                *self._metrics.routes(),
                *self._mounts.routes(),
                *self._messages.routes(),
                *self._approvals.routes(),
                *self._sockets.routes(),
                *self._events.routes(),
            ]
        )
        app.on_response_prepare.append(_sign)
        return app

    @web.middleware
    async def _checks(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """What holds for every request, before its handler sees it."""
        if self._connections is not None:
            self._connections.has_spoken(request.protocol)
        self._check_origin(request)
        if request.method == "POST" and self._readiness().draining:
            raise try_later("clawd is stopping", 5, code="draining")
        return await handler(request)

    def _check_origin(self, request: web.Request) -> None:
        """Let a page of an app reach the streams, where who it is decides; others have to be our own."""
        headers = request.headers
        if request.path in _STREAMS and self._callers.from_a_page_of_an_app(headers):
            bare = CIMultiDict(headers)
            del bare["Origin"]
            self._origins.check(bare)
            return
        self._origins.check(headers)


async def _sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "clawd"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")


def _cannot_listen(config: GatewayConfig, error: OSError) -> CannotListen:
    place = f"{config.host}:{config.port}"
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            f"port {config.port} is in use by another program",
            where=f"gateway, {place}",
            why=os.strerror(errno.EADDRINUSE),
            remedy="set gateway.port to another one, to 0 for any free one, or to false",
        )
    return CannotListen(
        f"the gateway can't listen on {place}",
        where="gateway.host, gateway.port",
        why=error.strerror or str(error),
        remedy="set gateway.host to an address of this machine and gateway.port to 1024 or more",
    )


__all__ = ["CannotListen", "Gateway", "Readiness"]
