"""Who opens a stream: the holder of a token, or an app, from the pages that may speak for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from clawd.gateway.auth import APP_HEADER
from clawd.gateway.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from multidict import MultiMapping

    from clawd.config.schema import AppConfig
    from clawd.gateway.auth import TokenStore
    from clawd.gateway.token import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client shows."""

    app_id: str | None
    authorization: str  # a header's value


class Callers:
    """Tells who a client is; an app is a token whose name is its id, with the scope `chat`.

    Args:
        tokens: The tokens in force.
        check_origin: Raises RequestRefused unless the page that a request comes from is the gateway's own.
    """

    def __init__(self, tokens: TokenStore, check_origin: Callable[[MultiMapping[str]], None]) -> None:
        self._tokens = tokens
        self._check_origin = check_origin
        self._origins: dict[str, frozenset[str]] = {}  # by the app's id

    def configure(self, apps: Sequence[AppConfig]) -> None:
        """Let the pages of these apps in from now on."""
        self._origins = {app.app_id: frozenset(app.origins) for app in apps}

    def from_a_page_of_an_app(self, headers: MultiMapping[str]) -> bool:
        """Whether a browser sends this for a page that some app may come from."""
        origins = headers.getall("Origin", [])
        return len(origins) == 1 and any(origins[0].lower() in known for known in self._origins.values())

    def watching(self, token: Token, callback: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `callback`, once, when the token stops to count while the block runs; see `TokenStore.revoked`."""
        return self._tokens.revoked(token, callback)

    def identify(self, headers: MultiMapping[str], credentials: Credentials) -> Token:
        """Return who a request with these headers speaks for.

        Raises:
            RequestRefused: 401 for credentials that are not valid, 403 without the scope `chat`, and for a
                page that may not speak for this app, or with this token.
        """
        if credentials.app_id is None:
            given = CIMultiDict({"Authorization": credentials.authorization})
            token = self._tokens.require(given, "chat")
            self._check_origin(headers)
            return token
        scheme, _, value = credentials.authorization.partition(" ")
        app = self._tokens.app(credentials.app_id, value.strip())
        if app is None or scheme.lower() != "bearer":
            raise RequestRefused(401, "this is not the id and the token of an app")
        if headers.get("Origin", "").lower() not in self._origins.get(app.name, ()):
            self._check_origin(headers)
        return app


def credentials_in(headers: MultiMapping[str]) -> Credentials | None:
    """Return what a request's headers show, None when they show nothing; raises RequestRefused (401)."""
    given, apps = headers.getall("Authorization", []), headers.getall(APP_HEADER, [])
    if not given and not apps:
        return None
    if len(given) != 1 or len(apps) > 1:
        raise RequestRefused(401, f"one header Authorization is needed, and at most one {APP_HEADER}")
    return Credentials(app_id=apps[0] if apps else None, authorization=given[0])
