"""The HTTP server: its life."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from clawd.errors import ClawdError, ConfigError
from clawd.gateway.checks import Checks
from clawd.gateway.connections import Connections
from clawd.gateway.counting import RequestCounter
from clawd.gateway.doors import Doors
from clawd.gateway.openai_errors import openai_problems
from clawd.gateway.places import Places
from clawd.gateway.problems import ServerLog, problems
from clawd.gateway.request_ids import RequestIds
from clawd.gateway.surroundings import Times
from clawd.gateway.tls import Tls
from clawd.ports import holder_of_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from clawd.config.schema import GatewayConfig
    from clawd.gateway.remote import Mounted
    from clawd.gateway.surroundings import Surroundings

log = logging.getLogger(__name__)

_KEEPALIVE_S: Final = 75.0  # longer than the usual 60 s of a reverse proxy, which must be the one to close
_LINGER_S: Final = 2.0  # how long the rest of a refused body is read, so that the answer arrives
_MAX_HEADERS: Final = 100
_BACKLOG: Final = 1024
_STOP_S: Final = 0.3  # streams, then requests under way, may finish; thrice this is the longest stop


class CannotListen(ClawdError):
    """The gateway can't have its address and port."""

    code = "E-LISTEN"


class Gateway:
    """The HTTP server of one daemon.

    Args:
        config: Host and port hold for life; `configure` changes the rest.
        around: What is behind it.
        times: How long clients may take.
    """

    def __init__(self, config: GatewayConfig, around: Surroundings, *, times: Times | None = None) -> None:
        self._config = config
        self._times = times or Times()
        self._tokens = around.tokens
        self.moved_from: int | None = (
            None  # the port that was meant, where it was taken and another one is used
        )
        self._tls = Tls(config.tls, around.clock) if config.tls is not None else None
        self._places = Places(lambda: self._config.max_sockets)
        self._checks = Checks(config.host, config, around, self._places)
        self._doors = Doors(
            around,
            lambda: self._config,
            limits=self._checks.limits,
            callers=self._checks.callers,
            places=self._places,
            times=self._times,
        )
        self._counter = RequestCounter(around.counts)
        self._request_ids = RequestIds(around.clock)
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
        self._doors.mount(control)

    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """Return the tasks that models answer clients in."""
        return self._doors.tasks()

    def routes(self) -> list[web.RouteDef]:
        """Return the paths that are answered, beside those of the control protocol."""
        return self._doors.routes()

    async def configure(self, config: GatewayConfig) -> None:
        """Use these tokens, names and limits from now on; a new host or port needs a new `Gateway`.

        So does TLS where there was none, and the other way round; new files do not.

        Raises:
            ConfigError: files can't be used; then nothing is changed.
        """
        if self._tls is not None and config.tls is not None:
            await self._tls.load(config.tls)
        await self._tokens.configure(config.tokens, config.apps)
        self._config = config.model_copy(update={"host": self._config.host, "port": self._config.port})
        self._checks.configure(config)

    async def start(self) -> None:
        """Return once requests are taken; with `port: false` nothing is opened.

        Raises:
            CannotListen: the port is taken, not allowed, or the host is not this machine's.
            ConfigError: the file of the generated token, or those of TLS, can't be used.
        """
        if self._config.port is False:
            return
        await self._tokens.configure(self._config.tokens, self._config.apps)
        self._checks.configure(self._config)
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
            header_timeout_s=self._times.header_s,
            write_timeout_s=self._times.write_s,
            opened=tls.look if tls is not None else lambda: None,
        )
        try:
            server = await self._listen(connections, await tls.load() if tls is not None else None)
        except ConfigError:
            await runner.cleanup()
            raise
        except OSError as error:
            await runner.cleanup()
            raise await asyncio.to_thread(_cannot_listen, self._config, error) from error
        self._runner, self._server, self._connections = runner, server, connections
        log.info("gateway_listening", extra={"url": self.url})

    async def _listen(self, connections: Connections, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Open the port; when nobody chose it and it is taken, any free one, so that a first start works."""
        create = partial(
            asyncio.get_running_loop().create_server,
            connections,
            self._config.host,
            ssl=tls,
            ssl_handshake_timeout=self._times.header_s if tls is not None else None,
            ssl_shutdown_timeout=_LINGER_S if tls is not None else None,
            backlog=_BACKLOG,
        )
        try:
            return await create(self._config.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or "port" in self._config.model_fields_set:
                raise
            # Told to people by who shows the URL: nobody looks for the gateway where it is.
            self.moved_from = self._config.port
            holder = await asyncio.to_thread(holder_of_port, self._config.port)
            log.warning(
                "gateway_port_taken", extra={"port": self._config.port, "by": str(holder or "unknown")}
            )
            return await create(0)

    async def stop(self) -> None:
        """Take no more requests, let those under way finish for a moment, and close; less than a second."""
        if self._runner is None or self._server is None or self._connections is None:
            return
        runner, server, connections = self._runner, self._server, self._connections
        self._runner = self._server = self._connections = None
        server.close()
        self._doors.close()
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
        remote = self._doors.remote
        app = web.Application(
            middlewares=[self._request_ids.named, problems, openai_problems, self._let_in],
            # `debug` would send tracebacks to clients.
            handler_args={"debug": False, "logger": ServerLog(log)},
            # What reads its body itself has limits of its own; this one is for what is mounted.
            client_max_size=remote.max_body_bytes if remote is not None else 0,
        )
        self._counter.expect(app.add_routes(self._doors.routes()))
        if remote is not None:
            app.add_subapp(remote.prefix, remote.app())
        app.on_response_prepare.append(self._checks.sign)
        app.on_response_prepare.append(self._counter.count)
        return app

    @web.middleware
    async def _let_in(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Watch the connection while its request is checked and answered."""
        connections, protocol, remote = self._connections, request.protocol, self._doors.remote
        if connections is None:
            return await self._checks.let_in(request, handler, remote)
        connections.has_spoken(protocol)
        try:
            return await self._checks.let_in(request, handler, remote)
        finally:
            connections.has_heard(protocol)


def _cannot_listen(config: GatewayConfig, error: OSError) -> CannotListen:
    place = f"{config.host}:{config.port}"
    if error.errno == errno.EADDRINUSE:
        holder = holder_of_port(config.port) if config.port else None
        return CannotListen(
            f"port {config.port} is in use by {holder or 'another program'}",
            where=f"gateway, {place}",
            why=os.strerror(errno.EADDRINUSE),
            remedy="end it, or set gateway.port to another one, to 0 for any free one, or to false",
        )
    return CannotListen(
        f"the gateway can't listen on {place}",
        where="gateway.host, gateway.port",
        why=error.strerror or str(error),
        remedy="set gateway.host to an address of this machine and gateway.port to 1024 or more",
    )


__all__ = ["CannotListen", "Gateway"]
