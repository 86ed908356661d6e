"""The control protocol's handlers as one application: for the socket, and for who comes from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from clawd.control.alerts import AlertRoutes
from clawd.control.answers import MAX_BODY_BYTES, errors_in_four_fields, stamp
from clawd.control.changes import Changes
from clawd.control.files import FileRoutes
from clawd.control.keeping import KeepingRoutes
from clawd.control.protocol import PREFIX
from clawd.control.questions import Questions
from clawd.control.reads import ACCOUNT, Reads
from clawd.control.tokens import Tokens
from clawd.control.waiting import OpenRequests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from clawd.control.services import ControlServices


def control_app(
    services: ControlServices, requests: OpenRequests, let_in: Middleware, *, prefix: str
) -> web.Application:
    """Return the application; `let_in` says who asks (`ACCOUNT`) or refuses."""
    app = web.Application(middlewares=[let_in, errors_in_four_fields], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(stamp)
    app.add_routes(Reads(services, requests).routes(prefix))
    app.add_routes(Changes(services).routes(prefix))
    app.add_routes(KeepingRoutes(services, requests).routes(prefix))
    app.add_routes(FileRoutes(services).routes(prefix))
    app.add_routes(Questions(services).routes(prefix))
    app.add_routes(Tokens(services).routes(prefix))
    app.add_routes(AlertRoutes(services).routes(prefix))
    return app


class RemoteControl:
    """The same handlers below another server, which knows who asks and has let them in.

    Args:
        services: What the handlers work with.
        account_of: Returns who asks; never a plain number, as those are the uids of this host.
    """

    prefix = PREFIX
    max_body_bytes = MAX_BODY_BYTES

    def __init__(self, services: ControlServices, account_of: Callable[[web.Request], str]) -> None:
        self._services = services
        self._account_of = account_of
        self._requests = OpenRequests()

    def app(self) -> web.Application:
        """Return an application to be mounted at `prefix`."""
        return control_app(self._services, self._requests, self._let_in, prefix="")

    def close(self) -> None:
        """End streams and waits."""
        self._requests.close()

    @web.middleware
    async def _let_in(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        request[ACCOUNT] = self._account_of(request)
        return await handler(request)
