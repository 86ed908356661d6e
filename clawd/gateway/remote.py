"""`/control/v1`: what the control socket answers, for programs on other hosts that hold a token.

Commands use it, no web page does: a request that a browser sent is refused whatever its token.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from clawd.gateway.problems import RequestRefused
from clawd.gateway.token import Token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clawd.gateway.auth import TokenStore

TOKEN = web.RequestKey("token", Token)
"""The token of a request, where it carries a valid one; set before any handler runs."""

_BROWSERS: Final = ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode")


class Mounted(Protocol):
    """An application that another part of the daemon brings; whoever reaches it has passed `RemoteDoor`."""

    prefix: str
    max_body_bytes: int

    def app(self) -> web.Application: ...
    def close(self) -> None:
        """End what is open."""
        ...


class RemoteDoor:
    """Lets in who may use the control protocol from afar."""

    def __init__(self, mounted: Mounted, tokens: TokenStore, *, body_timeout_s: float) -> None:
        self.prefix = mounted.prefix
        self.max_body_bytes = mounted.max_body_bytes
        self._mounted = mounted
        self._tokens = tokens
        self._body_timeout_s = body_timeout_s

    def is_for(self, request: web.Request) -> bool:
        """Whether the request goes to the control protocol."""
        return request.path.startswith(f"{self.prefix}/")

    def app(self) -> web.Application:
        """Return the application with the check in front of it, however a request got there."""
        app = self._mounted.app()
        app.middlewares.insert(0, self._checked)
        return app

    def close(self) -> None:
        """End what is open."""
        self._mounted.close()

    @web.middleware
    async def _checked(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await self._check(request)
        return await handler(request)

    async def _check(self, request: web.Request) -> None:
        """Let a request pass that reads with the scope `read`, or does anything with `admin`.

        Raises:
            RequestRefused: 401 and 403 as for any token, 403 for a browser and for a token that is held to
                some conversations, 408 and 413 for a body that comes too slowly or is too large.
        """
        if any(name in request.headers for name in _BROWSERS):
            raise RequestRefused(403, "the control protocol is not for web pages", code="foreign_origin")
        if request.method in ("GET", "HEAD"):
            token = self._tokens.require(request.headers, "read")
        else:
            token = self._tokens.require(request.headers, "admin")
        if token.conversations:
            raise RequestRefused(
                403, f"the token {token.name} is for conversations that begin with {token.conversations}"
            )
        if request.path == f"{self.prefix}/files":
            return  # its handler reads the body in pieces, with limits of its own
        if (request.content_length or 0) > self.max_body_bytes:
            raise RequestRefused(413, f"the body is larger than {self.max_body_bytes:,} bytes", close=True)
        try:
            async with asyncio.timeout(self._body_timeout_s):
                await request.read()  # kept by the request for its handler
        except TimeoutError as error:
            raise RequestRefused(408, "the body did not arrive in time", close=True) from error
        except web.HTTPRequestEntityTooLarge as error:
            raise RequestRefused(
                413, f"the body is larger than {self.max_body_bytes:,} bytes", close=True
            ) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise RequestRefused(400, "the body broke off", close=True) from error
