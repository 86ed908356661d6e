"""What holds for every request before its door sees it, and for every answer before it leaves."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from aiohttp import web
from multidict import CIMultiDict

from clawd.gateway.apps import Callers
from clawd.gateway.cors import Cors
from clawd.gateway.events import PATH as EVENTS_PATH
from clawd.gateway.limits import Limits, headers_of
from clawd.gateway.origins import Origins
from clawd.gateway.problems import RequestRefused, try_later
from clawd.gateway.proxies import CALLER, Proxies
from clawd.gateway.remote import TOKEN
from clawd.gateway.request_ids import HEADER, REQUEST_ID
from clawd.gateway.websocket import PATH as SOCKET_PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.config.schema import GatewayConfig
    from clawd.gateway.places import Places
    from clawd.gateway.remote import RemoteDoor
    from clawd.gateway.surroundings import Surroundings
    from clawd.gateway.token import Token

_MAX_HEADER_BYTES: Final = 32 * 1024
# Where messages come in, with the statuses that say that one was taken.
_MESSAGES: Final = {"/v1/messages": {202}, "/v1/chat/completions": {200}, "/v1/responses": {200}}
_STREAMS: Final = frozenset({SOCKET_PATH, EVENTS_PATH})


class Checks:
    """Host, origin, size of headers, tokens and their limits; `configure` has to be called first.

    Args:
        host: Where the gateway listens, for life.
        around: Tells who may come in, and whether clawd stops.
        places: The open streams, looked at anew when a token ends.
    """

    def __init__(self, host: str, config: GatewayConfig, around: Surroundings, places: Places) -> None:
        self._host = host
        self._tokens = around.tokens
        self._readiness = around.readiness
        self._places = places
        self.limits = Limits(around.clock, around.tokens.use)
        self.callers = Callers(around.tokens, lambda headers: self._origins.check(headers))
        self._use(config)

    def configure(self, config: GatewayConfig) -> None:
        """Use these names, origins, proxies and apps from now on."""
        self._use(config)
        self.callers.configure(config.apps)
        self._places.recheck()

    def _use(self, config: GatewayConfig) -> None:
        self._cors = Cors(config.cors)
        self._origins = Origins(self._host, config.hosts, self._cors.origins)
        self._proxies = Proxies(config.trusted_proxies)

    async def let_in(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        remote: RemoteDoor | None,
    ) -> web.StreamResponse:
        """Return the handler's answer to a request that may come in; `remote` is the control protocol, if mounted.

        Raises:
            RequestRefused: it may not.
        """
        if sum(map(len, chain.from_iterable(request.raw_headers))) > _MAX_HEADER_BYTES:
            raise RequestRefused(431, f"the headers are larger than {_MAX_HEADER_BYTES:,} bytes", close=True)
        caller = request[CALLER] = self._proxies.caller(request)
        self._check_origin(request, caller.host)
        if (answer := self._cors.preflight(request)) is not None:
            return answer
        commands = remote is not None and remote.is_for(request)
        if request.method == "POST" and not commands and self._readiness().draining:
            raise try_later("clawd is stopping", 5, code="draining")
        token = self._tokens.of(request.headers)
        if token is None:
            return await handler(request)
        request[TOKEN] = token
        self.limits.request(token)
        if commands and request.method == "POST":
            return await handler(request)  # it may be the one that ends this token, and wants its answer
        if request.path in _STREAMS:
            with self._tokens.revoked(token, self._places.recheck):  # its client is told why it ends
                return await handler(request)
        with self._tokens.revoked(token, partial(_hang_up, request)):
            if request.method != "POST" or request.path not in _MESSAGES:
                return await handler(request)
            return await self._counted(request, token, handler)

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every answer carries; a signal handler of the application."""
        response.headers["Server"] = "clawd"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        if (name := request.get(REQUEST_ID)) is not None:
            response.headers[HEADER] = name
        if (token := request.get(TOKEN)) is not None:
            response.headers.update(headers_of(self.limits.standings(token)))
        response.headers.update(self._cors.sign(request, response.headers))

    async def _counted(
        self,
        request: web.Request,
        token: Token,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Count a message against its token's day, unless nothing came of it."""
        self.limits.message(token)
        new = False
        try:
            response = await handler(request)
            new = response.status in _MESSAGES[request.path]
        finally:
            if not new:
                self.limits.give_back(token)
        return response

    def _check_origin(self, request: web.Request, host: str | None) -> None:
        """Let a page of an app reach the streams, where who it is decides; others have to be our own."""
        headers = request.headers
        if request.path in _STREAMS and self.callers.from_a_page_of_an_app(headers):
            bare = CIMultiDict(headers)
            del bare["Origin"]
            self._origins.check(bare, host)
            return
        self._origins.check(headers, host)


def _hang_up(request: web.Request) -> None:
    """End what a token has open: it counts no more."""
    if request.transport is not None:
        request.transport.abort()
