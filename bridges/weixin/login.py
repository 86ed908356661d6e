"""A login: a QR code that a person scans and confirms, and the credentials that come of it.

No terminal here: each step is data, and whoever shows it may hand back the number that a phone shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridges.weixin.api import QrStatus
from bridges.weixin.credentials import BadCredentials, Credentials
from bridges.weixin.errors import HttpFailure, IlinkError, NoAnswer, NotSent, Refused
from clawd.bridge import CodeExpired, CodeScanned, CodeToScan, LoggedIn, NumberNeeded
from clawd.config.base import Secret
from clawd.errors import BridgeAuthError, BridgeNotReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bridges.weixin.api import IlinkApi, QrCode
    from bridges.weixin.credentials import CredentialStore
    from clawd.bridge import LoginStep
    from clawd.ids import Clock

MAX_CODES: Final = 3
PAUSE_S: Final = 1.0
LIMIT_S: Final = 480.0


class Login:
    """One run of the login."""

    def __init__(
        self,
        name: str,
        api: IlinkApi,
        api_base: str,
        store: CredentialStore,
        clock: Clock,
        ask: Callable[[NumberNeeded], Awaitable[str]],
    ) -> None:
        self._name = name
        self._api = api
        self._api_base = api_base
        self._base = api_base
        self._store = store
        self._clock = clock
        self._ask = ask
        self._verify_code: str | None = None

    async def steps(self) -> AsyncIterator[LoginStep]:
        """Yield what is to be shown; the last step is `LoggedIn`, and by then the credentials are kept.

        Raises:
            BridgeNotReady: WeChat is out of reach.
            BridgeAuthError: nobody scanned one of three codes, or nobody confirmed in time.
            OSError: the credentials can't be written.
        """
        known = await self._known()
        began = self._clock.monotonic()
        for number in range(1, MAX_CODES + 1):
            self._base, self._verify_code = self._api_base, None
            code = await self._code(known)
            yield CodeToScan(link=code.link, number=number, of=MAX_CODES)
            scanned = False
            while (status := await self._status(code.key)).status not in ("expired", "verify_code_blocked"):
                if self._clock.monotonic() - began > LIMIT_S:
                    raise self._given_up(f"nobody confirmed within {LIMIT_S / 60:g} minutes")
                match status.status:
                    case "confirmed":
                        yield await self._confirmed(status)
                        return
                    case "binded_redirect":
                        yield self._kept(known)
                        return
                    case "scaned":
                        self._verify_code = None
                        if not scanned:
                            scanned = True
                            yield CodeScanned()
                    case "need_verifycode":
                        await self._ask_number()
                        continue
                    case "scaned_but_redirect":
                        self._base = self._redirected(status.redirect_host)
                    case _:
                        pass  # `wait`, and whatever a later version says
                await self._clock.sleep(PAUSE_S)
            yield CodeExpired(number=number, of=MAX_CODES)
        raise self._given_up(f"{MAX_CODES} codes expired")

    async def _known(self) -> Credentials | None:
        try:
            return await self._store.load()
        except BadCredentials:
            return None  # about to be replaced

    async def _code(self, known: Credentials | None) -> QrCode:
        try:
            return await self._api.qr_code([known.token.reveal()] if known is not None else [])
        except IlinkError as error:
            raise BridgeNotReady(self._name, "WeChat gives out no code", why=str(error)) from error

    async def _status(self, key: str) -> QrStatus:
        """Return the state of the code; what fails on the way is asked again, as if nothing had happened."""
        try:
            return await self._api.qr_status(self._base, key, self._verify_code)
        except (NoAnswer, NotSent, HttpFailure):
            return QrStatus(status="wait")
        except Refused as error:
            raise BridgeNotReady(self._name, "WeChat refuses to log in", why=str(error)) from error

    async def _ask_number(self) -> None:
        needed = NumberNeeded(wrong=self._verify_code is not None)
        self._verify_code = "".join(c for c in await self._ask(needed) if c.isascii() and c.isdigit())[:16]

    def _redirected(self, host: str) -> str:
        base = self._api.trusted_base(host)
        if base is None:
            raise self._given_up(f"it was sent on to {host[:100]!r}, which is not WeChat's")
        return base

    async def _confirmed(self, status: QrStatus) -> LoggedIn:
        base = self._api.trusted_base(status.base_url) if status.base_url else self._api_base
        if base is None:
            raise self._given_up(f"the account is served at {status.base_url[:100]!r}, which is not WeChat's")
        if not status.token or not status.bot_id:
            raise self._given_up("WeChat confirmed without a token")
        credentials = Credentials(
            bot_id=status.bot_id,
            token=Secret(status.token, f"file {self._store.path}"),
            base_url=base,
            user_id=status.user_id,
        )
        await self._store.save(credentials)
        return LoggedIn(account=status.bot_id, user=status.user_id)

    def _kept(self, known: Credentials | None) -> LoggedIn:
        if known is None:
            raise self._given_up("WeChat says that this bot is bound here, and no login is kept here")
        return LoggedIn(account=known.bot_id, user=known.user_id, kept=True)

    def _given_up(self, why: str) -> BridgeAuthError:
        return BridgeAuthError(
            self._name, "the login did not come about", why=why, remedy=f"clawd bridges login {self._name}"
        )
