"""The bridge to personal WeChat: its life between logins, and sending within the platform's quotas."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.weixin.account_lock import sole_receiver
from bridges.weixin.activity import Typing
from bridges.weixin.api import IlinkApi
from bridges.weixin.cdn import Cdn
from bridges.weixin.credentials import BadCredentials, Credentials, CredentialStore
from bridges.weixin.errors import IlinkError, Refused, bridge_error, is_stale, login_needed
from bridges.weixin.login import Login
from bridges.weixin.media import INSTALL, available
from bridges.weixin.polling import Polling
from bridges.weixin.sending import Sending
from clawd.errors import BridgeNotReady, DeliveryUnauthorized
from clawd.messages import BridgeCapabilities
from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from bridges.weixin.config import WeixinConfig
    from clawd.bridge import BridgeContext, Inbox, LoginStep, NumberNeeded
    from clawd.messages import Address, Media, OutboundMessage, Receipt

log = logging.getLogger(__name__)

_STALE_PAUSE_S: Final = 3600.0  # a login that is stale stays so, as a rule
_FAREWELL_S: Final = 2.0
_STALE: Final = "WeChat no longer knows this login"


@dataclass(frozen=True, slots=True)
class _Account:
    """A login at work."""

    login: Credentials
    polling: Polling


class WeixinBridge:
    """One account; which one, a login says, and a later login may say otherwise."""

    def __init__(self, context: BridgeContext, config: WeixinConfig) -> None:
        self.name = context.name
        self._config = config
        self._clock = context.clock
        self._api = IlinkApi(config, config.network or context.network, version=context.version)
        self._store = CredentialStore(context.state_dir)
        self._cdn = Cdn(self.name, self._api, config, context.artifacts)
        self._typing = Typing(self.name, self._api, context.clock)
        self._sending = Sending(self.name, self._api, self._cdn, config, context.clock)
        self._account: _Account | None = None
        self._refused: Credentials | None = None  # the login that the server knows no more
        self._told_of_files = False
        self._told: tuple[Credentials | None, str] | None = None  # why we are not connected, said once

    @property
    def capabilities(self) -> BridgeCapabilities:
        files = frozenset({"image", "audio", "file"} if available() else ())
        return BridgeCapabilities(
            text_limit=self._config.text_limit,
            typing=True,
            files=files,  # type: ignore[arg-type] # mypy sees words, not the literals
            file_limit=self._config.max_file_bytes if files else 0,
        )

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive until cancelled; without a good login wait for one, having said so once."""
        self._tell_of_files()
        login = await self._login()
        with sole_receiver(self.name, login.bot_id):
            polling = Polling(self.name, self._api, login, self._clock)
            await polling.load(inbox)
            self._account = _Account(login, polling)
            try:
                await self._unless_replaced(login, polling.run(inbox, ready))
            except Interrupted as error:
                raise BridgeNotReady(self.name, "another login took its place", retry_after_s=0) from error
            except IlinkError as error:
                if is_stale(error):
                    self._refused = login
                    self._told = None
                    await self._raise_unless_replaced(error)
                raise bridge_error(self.name, error) from error

    def _tell_of_files(self) -> None:
        if not available() and not self._told_of_files:
            self._told_of_files = True
            log.warning("files_left_out", extra={"bridge": self.name, "remedy": INSTALL})

    async def close(self) -> None:
        """Say goodbye, if that is quick, and close all connections."""
        if self._account is not None and self._refused != self._account.login:
            try:
                await self._api.notify(self._account.login, "stop", _FAREWELL_S)
            except IlinkError as error:
                log.debug("farewell_not_said", extra={"bridge": self.name, "reason": str(error)})
        await self._api.close()

    async def probe(self) -> str:
        login, what, why = await self._look()
        if login is None:
            raise login_needed(self.name, what, why=why)
        note = "" if available() else f"; no files: {INSTALL}"
        try:
            await self._api.chat_config(login, login.user_id, self._context_token(login.user_id))
        except Refused as error:
            if is_stale(error):
                raise bridge_error(self.name, error) from error
            note += f" ({error})"  # it knows the login, or it would have said -14
        except IlinkError as error:
            raise bridge_error(self.name, error) from error
        return f"{login.bot_id}, logged in by {login.user_id}{note}"

    async def login(self, ask: Callable[[NumberNeeded], Awaitable[str]]) -> AsyncIterator[LoginStep]:
        """Log in; see `LoginBridge`."""
        login = Login(self.name, self._api, self._config.api_base, self._store, self._clock, ask)
        try:
            async for step in login.steps():
                yield step
        except OSError as error:
            raise login_needed(
                self.name,
                "the login can't be kept",
                why=f"{self._store.path}: {error.strerror}; log in as the user that the daemon runs as",
            ) from error

    # --- which login ------------------------------------------------------------------------------------

    async def _login(self) -> Credentials:
        """Return a login that may work: at once, or when one appears.

        Raises:
            BridgeAuthError: there is none; the first time only, so that it is shown and logged once.
        """
        while True:
            login, what, why = await self._look()
            if login is not None and not what:
                self._told = self._refused = None
                return login
            if self._told != (login, what):
                self._told = (login, what)
                raise login_needed(self.name, what, why=why)
            await self._replaced(login)

    async def _unless_replaced(self, login: Credentials, work: Coroutine[None, None, None]) -> None:
        """Do the work; raises Interrupted once the file holds another login."""
        replaced = asyncio.Event()

        async def watch() -> None:
            await self._store.replaced(login, self._clock)
            replaced.set()

        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(), name="weixin:login")
                try:
                    await until(replaced, work)
                finally:
                    watching.cancel()
        except ExceptionGroup as group:  # the watch raises nothing, so it is the work's own
            raise group.exceptions[0] from group.exceptions[0].__cause__

    async def _look(self) -> tuple[Credentials | None, str, str]:
        """Return the login that is kept, and what is wrong with it, and why."""
        try:
            login = await self._store.load()
        except BadCredentials as error:
            return None, "the login that is kept can't be used", str(error)
        if login is None:
            return None, "nobody has logged in", ""
        return login, _STALE if login == self._refused else "", ""

    async def _replaced(self, login: Credentials | None) -> None:
        """Return once there is another login, or this one deserves another try."""
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._store.replaced(login, self._clock), name="weixin:login")
            pause = tasks.create_task(self._clock.sleep(_STALE_PAUSE_S), name="weixin:pause")
            await asyncio.wait({watch, pause}, return_when=asyncio.FIRST_COMPLETED)
            if not watch.done():
                self._refused = None
            watch.cancel()
            pause.cancel()

    async def _raise_unless_replaced(self, error: IlinkError) -> None:
        """Another process may have logged in again: then that is good, and nobody is alarmed."""
        login, what, _ = await self._look()
        if login is not None and not what:
            raise BridgeNotReady(
                self.name, "WeChat has a newer login", why=str(error), retry_after_s=0
            ) from error
        self._told = (self._refused, _STALE)

    def _context_token(self, user: str) -> str:
        return (self._account.polling.contexts.token(user) if self._account else None) or ""

    # --- sending ----------------------------------------------------------------------------------------

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message, one request for its text and one for each file."""
        account = self._account
        if account is None:
            raise DeliveryUnauthorized(self.name, "nobody has logged in")
        try:
            return await self._sending.send(message, account.login, account.polling.contexts)
        except DeliveryUnauthorized:
            if self._account is account:
                self._refused, self._told = account.login, None
            raise

    async def working(self, address: Address) -> None:
        """Show "typing"; whatever goes wrong, the reply itself will tell."""
        account = self._account
        if account is None or account.login == self._refused:
            return
        if token := account.polling.contexts.token(address.chat):
            await self._typing.show(account.login, address.chat, token)

    # --- files ------------------------------------------------------------------------------------------

    def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of a received file."""
        return self._cdn.download(part.ref, part.size)
