"""The tokens in force: who is asking, and whether that still counts."""

from __future__ import annotations

import asyncio
import hmac
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from clawd.errors import NotFound, NotPossible
from clawd.gateway import token_rows as rows
from clawd.gateway.problems import RequestRefused
from clawd.gateway.token import Token, app_token, configured, digest_of
from clawd.gateway.token_file import TOKEN_FILE, new_token, read_or_make, unusable
from clawd.gateway.token_use import TokenUse
from clawd.ids import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from multidict import MultiMapping

    from clawd.config.schema import AppConfig, TokenConfig, TokenScope
    from clawd.ids import Clock
    from clawd.store.sqlite import Store

log = logging.getLogger(__name__)

GENERATED_NAME: Final = "default"
APP_HEADER: Final = "X-App-Id"
MAX_CREATED: Final = 1000  # each is compared at every request
_CHALLENGE: Final = 'Bearer realm="clawd"'


class TokenStore:
    """The tokens in force: configured ones and created ones, and a generated one while none is configured.

    Args:
        state_dir: Where the generated one is kept.
        clock: Tells what is expired.
        store: Keeps the created ones; without it there are none.
    """

    def __init__(self, state_dir: Path, *, clock: Clock | None = None, store: Store | None = None) -> None:
        self.path = state_dir / TOKEN_FILE
        self.use = TokenUse(clock or SystemClock(), store)
        self._clock = clock or SystemClock()
        self._store = store
        self._given: tuple[Token, ...] = ()  # by the configuration, or generated
        self._created: dict[str, Token] | None = None  # None: not read yet
        self._in_force: tuple[Token, ...] = ()
        self._apps: dict[str, Token] = {}  # by id
        self._new_apps = self._apps  # of the configuration that is being put in force
        self._watchers: dict[bytes, set[Callable[[], None]]] = {}
        self._changing = asyncio.Lock()  # two creations must not take one name

    async def configure(
        self, tokens: Sequence[TokenConfig], apps: Sequence[AppConfig] = (), *, generate: bool = True
    ) -> None:
        """Use these tokens from now on; without any, the generated one, which is made if it is missing.

        Where nothing is served nobody needs it: without `generate` there is none. An app counts as a token of its
        own, which is only valid beside the app's id.

        Raises:
            ConfigError: no token is configured and the file of the generated one can't be used.
            JournalUnavailable: the created ones can't be read.
        """
        if self._created is None:
            self._created = {} if self._store is None else await rows.load(self._store)
            await self.use.load()
        self._new_apps = {app.app_id: app_token(app) for app in apps}
        if tokens or not generate:
            self._given = tuple(configured(token) for token in tokens)
        else:
            try:
                value = await asyncio.to_thread(read_or_make, self.path)
            except (OSError, UnicodeDecodeError) as error:
                raise unusable(self.path, error) from error
            self._given = (
                Token(
                    name=GENERATED_NAME,
                    scopes=frozenset({"chat", "admin"}),
                    digest=digest_of(value),
                    source="generated",
                ),
            )
        self._apply()

    def find(self, value: str) -> Token | None:
        """Return the token of this value; takes the same time whichever it is, and when it is none."""
        found = self._match(value)
        return None if found is None or found.is_expired(self._clock.now()) else found

    def app(self, app_id: str, value: str) -> Token | None:
        """Return the app of this id, if this is its token; takes the same time whether there is one."""
        app = self._apps.get(app_id)
        good = hmac.compare_digest(app.digest if app is not None else bytes(32), digest_of(value))
        return app if good else None

    def named(self, name: str) -> Token | None:
        """Return the token or the app of this name that counts, None when there is none."""
        in_force = (*self._in_force, *self._apps.values())
        return next((token for token in in_force if token.name == name), None)

    def of(self, headers: MultiMapping[str]) -> Token | None:
        """Return the token that a request's headers carry, None without a valid one."""
        value = _bearer(headers)
        if value is None:
            return None
        return self._of_app(headers, value) if APP_HEADER in headers else self.find(value)

    def _of_app(self, headers: MultiMapping[str], value: str) -> Token | None:
        names = headers.getall(APP_HEADER)
        return self.app(names[0], value) if len(names) == 1 else None

    def _presented(self, headers: MultiMapping[str]) -> Token:
        """Return the token that headers carry, expired or not; raises RequestRefused (401) without one."""
        value = _bearer(headers)
        if APP_HEADER in headers:
            token = None if value is None else self._of_app(headers, value)
            if token is None:
                raise _unauthorized(
                    "this is not the id and the token of an app",
                    f"send {APP_HEADER}: APP and Authorization: Bearer TOKEN",
                )
            return token
        token = None if value is None else self._match(value)
        if token is None:
            raise _unauthorized("a valid token is needed", "send the header Authorization: Bearer TOKEN")
        return token

    def require(
        self, headers: MultiMapping[str], scope: TokenScope, *others: TokenScope, found: Token | None = None
    ) -> Token:
        """Return the token that a request's headers carry, if it has one of the scopes; `admin` has them all.

        Args:
            headers: Of the request.
            scope: Which is needed.
            others: Which do as well.
            found: What `of` returned for these headers, where that was just asked.

        Raises:
            RequestRefused: 401 without a valid token, 403 when it lacks the scope.
        """
        token = found or self._presented(headers)
        if token.is_expired(self._clock.now()):
            raise _unauthorized(f"the token {token.name} has expired", "clawd tokens create makes a new one")
        if token.scopes.isdisjoint((scope, *others, "admin")):
            raise RequestRefused(403, f"the token {token.name} lacks the scope {scope}")
        self.use.note(token.name)
        return token

    @contextmanager
    def revoked(self, token: Token, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback`, once, when the token stops to count while the block runs.

        So it does when it is revoked, when it expires and when a reload drops it or changes what it may do.
        """
        watchers = self._watchers.setdefault(token.digest, set())
        watchers.add(callback)
        timer = None
        if token.expires_at is not None:
            left_s = (token.expires_at - self._clock.now()).total_seconds()
            # Longer than a loop's timer takes (some years) is as good as never.
            timer = asyncio.get_running_loop().call_later(min(left_s, 1e7), callback)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            watchers.discard(callback)
            if not watchers and self._watchers.get(token.digest) is watchers:
                del self._watchers[token.digest]

    # --- what an operator does --------------------------------------------------------------------------

    def all(self) -> Sequence[Token]:
        """Return every token, the expired too: given ones first, then the created ones by name."""
        created = sorted((self._created or {}).values(), key=lambda token: token.name)
        return (*self._given, *created)

    async def create(
        self,
        name: str,
        *,
        scopes: Iterable[TokenScope],
        conversations: str = "",
        expires_at: datetime | None = None,
        rate: str | None = None,
        day: int | None = None,
    ) -> str:
        """Return the value of a new token, committed; it is told this once.

        A name goes on with the conversations of an earlier token of that name.

        Raises:
            NotPossible: the name is taken, or there are `MAX_CREATED` tokens.
        """
        if self._store is None or self._created is None:
            raise NotPossible(
                "tokens can't be made here", why="the gateway is off", remedy="set gateway.port"
            )
        async with self._changing:
            if name in self._apps:
                raise NotPossible(
                    f"the name {name} is the id of an app",
                    why="their conversations would be the same",
                    where="gateway.apps",
                    remedy="use another name",
                )
            if name == GENERATED_NAME or any(token.name == name for token in self.all()):
                raise NotPossible(f"the name {name} is taken by another token", remedy="clawd tokens list")
            if len(self._created) >= MAX_CREATED:
                raise NotPossible(f"there are {MAX_CREATED} tokens", remedy="clawd tokens revoke NAME")
            value = new_token()
            token = Token(
                name=name,
                scopes=frozenset(scopes),
                digest=digest_of(value),
                conversations=conversations,
                expires_at=expires_at,
                rate=rate,
                day=day,
                source="created",
                created_at=self._clock.now(),
            )

            def remember(_: None) -> None:
                assert self._created is not None  # noqa: S101 - checked above
                self._created[name] = token
                self._apply()

            await self._store.write(lambda db: rows.insert(db, token), after=remember)
        log.info("gateway_token_created", extra={"token": name, "scopes": sorted(token.scopes)})
        return value

    async def revoke(self, name: str) -> None:
        """Let a created token count no more, also for what it has open.

        Raises:
            NotFound: there is none of that name.
            NotPossible: it was not created but configured, or generated.
        """
        if self._store is None or name not in (self._created or {}):
            given = next((token for token in self._given if token.name == name), None)
            if given is None:
                raise NotFound(f"there is no token {name!r:.80}", remedy="clawd tokens list")
            raise NotPossible(
                f"the token {name} was not made by `clawd tokens create`",
                why="the configuration names it" if given.source == "config" else "it was generated",
                remedy="remove it from gateway.tokens"
                if given.source == "config"
                else f"delete {self.path} and restart, or set gateway.tokens",
            )

        def forget(_: None) -> None:
            if self._created is not None:
                self._created.pop(name, None)
            self._apply()

        await self._store.write(lambda db: rows.delete(db, name), after=forget)
        self.use.forget(name)
        log.info("gateway_token_revoked", extra={"token": name})

    async def close(self) -> None:
        """Write down what was used since the last time."""
        await self.use.flush()

    # --- inside -----------------------------------------------------------------------------------------

    def _match(self, value: str) -> Token | None:
        given = digest_of(value)
        found = None
        for token in self._in_force:
            if hmac.compare_digest(token.digest, given):
                found = token
        return found

    def _apply(self) -> None:
        """Put what is given and created in force, and tell those who hold what no longer counts."""
        names = {*(token.name for token in self._given), *self._new_apps}
        hidden = [token for token in (self._created or {}).values() if token.name in names]
        for token in hidden:  # one name is one owner of conversations
            log.warning("gateway_token_hidden", extra={"token": token.name, "by": "the configuration"})
        created = (token for token in (self._created or {}).values() if token.name not in names)
        before = (*self._in_force, *self._apps.values())
        self._in_force, self._apps = (*self._given, *created), self._new_apps
        now = {token.digest: token for token in (*self._in_force, *self._apps.values())}
        for token in before:
            if now.get(token.digest) != token:
                for callback in tuple(self._watchers.pop(token.digest, ())):
                    callback()


def _bearer(headers: MultiMapping[str]) -> str | None:
    given = headers.getall("Authorization", [])
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return value.strip() if scheme.lower() == "bearer" else None


def _unauthorized(what: str, remedy: str) -> RequestRefused:
    return RequestRefused(401, what, remedy=remedy, headers={"WWW-Authenticate": _CHALLENGE})
