"""The HTTP server: its life, and the checks that hold for every request."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from multidict import CIMultiDict

from clawd.errors import ClawdError, ConfigError
from clawd.gateway.actions import Actions
from clawd.gateway.approvals import Approvals
from clawd.gateway.apps import Callers
from clawd.gateway.bodies import BODY_TIMEOUT_S
from clawd.gateway.bridges import BridgeMounts
from clawd.gateway.connections import HEADER_TIMEOUT_S, WRITE_TIMEOUT_S, Connections
from clawd.gateway.cors import Cors
from clawd.gateway.events import PATH as EVENTS_PATH
from clawd.gateway.events import EventStreams
from clawd.gateway.health import Health, Readiness
from clawd.gateway.held_inbox import HeldInbox
from clawd.gateway.limits import Limits, headers_of
from clawd.gateway.metrics import MetricsPage
from clawd.gateway.openai import OpenAIDoor
from clawd.gateway.openai_agent import AgentDoor
from clawd.gateway.openai_errors import openai_problems
from clawd.gateway.openai_streams import KEEPALIVE_S
from clawd.gateway.origins import Origins
from clawd.gateway.places import Places, StreamTimes
from clawd.gateway.problems import RequestRefused, ServerLog, problems, try_later
from clawd.gateway.proxies import CALLER, Proxies
from clawd.gateway.remote import TOKEN, RemoteDoor
from clawd.gateway.rest import Messages
from clawd.gateway.session import Streaming
from clawd.gateway.tls import Tls
from clawd.gateway.waits import Waits
from clawd.gateway.websocket import PATH as SOCKET_PATH
from clawd.gateway.websocket import WebSockets

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from types import TracebackType

    from clawd.bridge import HttpBridge, Inbox
    from clawd.config.schema import GatewayConfig
    from clawd.fanout import Fanout
    from clawd.gateway.auth import Token, TokenStore
    from clawd.gateway.metrics import ReadMetrics
    from clawd.gateway.openai_models import Offered
    from clawd.gateway.remote import Mounted
    from clawd.ids import Clock
    from clawd.journal.reading import Views

log = logging.getLogger(__name__)

_KEEPALIVE_S: Final = 75.0  # longer than the usual 60 s of a reverse proxy, which must be the one to close
_LINGER_S: Final = 2.0  # how long the rest of a refused body is read, so that the answer arrives
# Where messages come in, with the statuses that say that one was taken.
_MESSAGES: Final = {"/v1/messages": {202}, "/v1/chat/completions": {200}, "/v1/responses": {200}}
_MAX_HEADERS: Final = 100
_MAX_HEADER_BYTES: Final = 32 * 1024
_BACKLOG: Final = 1024
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
        offered: The models in force, for OpenAI's clients; None: those endpoints are not there.
        header_timeout_s: How long a new connection may take for its first request's headers.
        body_timeout_s: How long a body may take.
        write_timeout_s: How long a client may take nothing of what waits for it.
        keepalive_s: The longest silence of an answer that streams to OpenAI's clients.
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
        offered: Callable[[], Offered] | None = None,
        header_timeout_s: float = HEADER_TIMEOUT_S,
        body_timeout_s: float = BODY_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        keepalive_s: float = KEEPALIVE_S,
        stream_times: StreamTimes = _STREAM_TIMES,
    ) -> None:
        inbox = HeldInbox(inbox, tokens)  # for every door below
        self._write_timeout_s = write_timeout_s
        self._config = config
        self._cors, self._origins, self._proxies = _doors(config.host, config)
        self._tls = Tls(config.tls, clock) if config.tls is not None else None
        self._readiness = readiness
        self._tokens = tokens
        self._limits = Limits(clock, tokens.use)
        self._header_timeout_s = header_timeout_s
        self._body_timeout_s = body_timeout_s
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
        self._remote: RemoteDoor | None = None
        self._openai: OpenAIDoor | None = None
        if offered is not None:
            self._openai = OpenAIDoor(
                AgentDoor(inbox, views, fanout, clock),
                offered,
                tokens,
                clock,
                max_body_bytes=lambda: self._config.max_body_bytes,
                body_timeout_s=body_timeout_s,
                keepalive_s=keepalive_s,
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
                limits=self._limits,
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
        return f"{'https' if self._tls is not None else 'http'}://{host}:{port}"

    def mount(self, control: Mounted) -> None:
        """Serve the control protocol too, to tokens that may; before `start`."""
        self._remote = RemoteDoor(control, self._tokens, body_timeout_s=self._body_timeout_s)

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks that models answer clients in."""
        return self._openai.tasks() if self._openai is not None else frozenset()

    async def configure(self, config: GatewayConfig) -> None:
        """Use these tokens, names and limits from now on; a new host or port needs a new `Gateway`.

        So does TLS where there was none, and the other way round; new files do not.

        Raises:
            ConfigError: files can't be used; then nothing is changed.
        """
        if self._tls is not None and config.tls is not None:
            await self._tls.load(config.tls)
        await self._tokens.configure(config.tokens)
        self._cors, self._origins, self._proxies = _doors(self._config.host, config)
        self._config = config.model_copy(update={"host": self._config.host, "port": self._config.port})
        self._callers.configure(config.apps)
        self._places.recheck()

    async def start(self) -> None:
        """Return once requests are taken; with `port: false` nothing is opened.

        Raises:
            CannotListen: the port is taken, not allowed, or the host is not this machine's.
            ConfigError: the file of the generated token, or those of TLS, can't be used.
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
            max_headers=_MAX_HEADERS,
        )
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - set by setup
        tls = self._tls
        connections = Connections(
            runner.server,
            most=lambda: self._config.max_connections,
            header_timeout_s=self._header_timeout_s,
            write_timeout_s=self._write_timeout_s,
            opened=tls.look if tls is not None else lambda: None,
        )
        try:
            server = await self._listen(connections, await tls.load() if tls is not None else None)
        except ConfigError:
            await runner.cleanup()
            raise
        except OSError as error:
            await runner.cleanup()
            raise _cannot_listen(self._config, error) from error
        self._runner, self._server, self._connections = runner, server, connections
        log.info("gateway_listening", extra={"url": self.url})

    async def _listen(self, connections: Connections, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Open the port; when nobody chose it and it is taken, any free one, so that a first start works."""
        create = partial(
            asyncio.get_running_loop().create_server,
            connections,
            self._config.host,
            ssl=tls,
            ssl_handshake_timeout=self._header_timeout_s if tls is not None else None,
            ssl_shutdown_timeout=_LINGER_S if tls is not None else None,
            backlog=_BACKLOG,
        )
        try:
            return await create(self._config.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or "port" in self._config.model_fields_set:
                raise
            log.warning("gateway_port_taken", extra={"port": self._config.port, "used": "any free one"})
            return await create(0)

    async def stop(self) -> None:
        """Take no more requests, let those under way finish for a moment, and close; less than a second."""
        if self._runner is None or self._server is None or self._connections is None:
            return
        runner, server, connections = self._runner, self._server, self._connections
        self._runner = self._server = self._connections = None
        server.close()
        self._waits.close()
        if self._remote is not None:
            self._remote.close()
        if self._openai is not None:
            self._openai.close()
        await self._places.close(_STOP_S)  # while the library still hears their goodbyes
        connections.close()
        await runner.cleanup()
        await self._tokens.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _app(self) -> web.Application:
        app = web.Application(
            middlewares=[problems, openai_problems, self._checks],
            # `debug` would send tracebacks to clients.
            handler_args={"debug": False, "logger": ServerLog(log)},
            # What reads its body itself has limits of its own; this one is for what is mounted.
            client_max_size=self._remote.max_body_bytes if self._remote is not None else 0,
        )
        app.add_routes(
            [
                *self._health.routes(),
                *self._metrics.routes(),
                *self._mounts.routes(),
                *self._messages.routes(),
                *self._approvals.routes(),
                *(self._openai.routes() if self._openai is not None else ()),
                *self._sockets.routes(),
                *self._events.routes(),
            ]
        )
        if self._remote is not None:
            app.add_subapp(self._remote.prefix, self._remote.app())
        app.on_response_prepare.append(self._sign)
        return app

    @web.middleware
    async def _checks(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """What holds for every request, before its handler sees it."""
        connections, protocol = self._connections, request.protocol
        if connections is None:
            return await self._checked(request, handler)
        connections.has_spoken(protocol)
        try:
            return await self._checked(request, handler)
        finally:
            connections.has_heard(protocol)

    async def _checked(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if sum(len(name) + len(value) for name, value in request.raw_headers) > _MAX_HEADER_BYTES:
            raise RequestRefused(431, f"the headers are larger than {_MAX_HEADER_BYTES:,} bytes", close=True)
        caller = request[CALLER] = self._proxies.caller(request)
        self._check_origin(request, caller.host)
        if (answer := self._cors.preflight(request)) is not None:
            return answer
        commands = self._remote is not None and self._remote.is_for(request)
        if request.method == "POST" and not commands and self._readiness().draining:
            raise try_later("clawd is stopping", 5, code="draining")
        token = self._tokens.of(request.headers)
        if token is None:
            return await handler(request)
        request[TOKEN] = token
        self._limits.request(token)
        if commands and request.method == "POST":
            return await handler(request)  # it may be the one that ends this token, and wants its answer
        if request.path in _STREAMS:
            with self._tokens.revoked(token, self._places.recheck):  # its client is told why it ends
                return await handler(request)
        with self._tokens.revoked(token, partial(_hang_up, request)):
            if request.method != "POST" or request.path not in _MESSAGES:
                return await handler(request)
            return await self._counted(request, token, handler)

    async def _counted(
        self,
        request: web.Request,
        token: Token,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Count a message against its token's day, unless nothing came of it."""
        self._limits.message(token)
        new = False
        try:
            response = await handler(request)
            new = response.status in _MESSAGES[request.path]
        finally:
            if not new:
                self._limits.give_back(token)
        return response

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "clawd"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        if (token := request.get(TOKEN)) is not None:
            response.headers.update(headers_of(self._limits.standings(token)))
        response.headers.update(self._cors.sign(request, response.headers))

    def _check_origin(self, request: web.Request, host: str | None) -> None:
        """Let a page of an app reach the streams, where who it is decides; others have to be our own."""
        headers = request.headers
        if request.path in _STREAMS and self._callers.from_a_page_of_an_app(headers):
            bare = CIMultiDict(headers)
            del bare["Origin"]
            self._origins.check(bare, host)
            return
        self._origins.check(headers, host)


def _doors(host: str, config: GatewayConfig) -> tuple[Cors, Origins, Proxies]:
    cors = Cors(config.cors)
    return cors, Origins(host, config.hosts, cors.origins), Proxies(config.trusted_proxies)


def _hang_up(request: web.Request) -> None:
    """End what a token has open: it counts no more."""
    if request.transport is not None:
        request.transport.abort()


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
