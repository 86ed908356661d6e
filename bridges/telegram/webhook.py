"""Receiving by webhook: an update is stored before its call is answered, so that Telegram repeats what was not.

Source: Bot API, setWebhook: the header X-Telegram-Bot-Api-Secret-Token carries the secret of each call; a call
that is not answered 2xx is repeated; with one connection updates come in their order.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any, Final

from bridges.telegram.errors import bridge_error
from bridges.telegram.inbound import ALLOWED_UPDATES
from bridges.telegram.lean import AiogramError, GetWebhookInfo, SetWebhook
from clawd.bridge import HttpReply
from clawd.errors import BridgeNotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridges.telegram.account import Account
    from bridges.telegram.config import TelegramConfig
    from bridges.telegram.intake import Intake
    from bridges.telegram.lean import Bot
    from bridges.telegram.signin import SignIn
    from clawd.bridge import HttpRequest, Inbox
    from clawd.ids import Clock

log = logging.getLogger(__name__)

SECRET_HEADER: Final = "x-telegram-bot-api-secret-token"  # noqa: S105 - a name
CHECK_S: Final = 60
"""How often Telegram is asked whether its calls arrive."""

_NOT_YET_S: Final = 2


def secret_of(config: TelegramConfig) -> str:
    """Return the secret that calls carry.

    One that is made of the token needs no place to be kept, changes with it, and does not give it away.
    """
    if config.webhook_secret is not None:
        return config.webhook_secret.reveal()
    return hmac.new(config.token.reveal().encode(), b"clawd: webhook", hashlib.sha256).hexdigest()


class Webhook:
    """The calls that Telegram makes for one bot."""

    def __init__(
        self,
        name: str,
        bot: Bot,
        clock: Clock,
        sign_in: SignIn,
        intake: Intake,
        *,
        url: str,
        secret: str,
        connections: int,
    ) -> None:
        self._name = name
        self._bot = bot
        self._clock = clock
        self._sign_in = sign_in
        self._intake = intake
        self._url = url
        self._secret = secret
        self._connections = connections
        self._account: Account | None = None
        self._heard = False  # since the last look
        self._last_error: int | None = None  # the time, as Telegram says it, of a call that failed

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Ask to be called, then look now and then whether calls arrive, until cancelled.

        Raises:
            BridgeNotReady: Telegram is out of reach, can't reach us, or was told to call somebody else.
            BridgeAuthError: the token is refused.
        """
        try:
            self._account = await self._sign_in.account(inbox)
            # What waits at Telegram is never dropped. Said at each start, as nobody knows who changed it.
            await self._bot(
                SetWebhook(
                    url=self._url,
                    secret_token=self._secret,
                    allowed_updates=list(ALLOWED_UPDATES),
                    max_connections=self._connections,
                    drop_pending_updates=False,
                )
            )
            while True:
                self._judge(await self._bot(GetWebhookInfo()))
                ready()
                await self._clock.sleep(CHECK_S)
        except AiogramError as error:
            raise bridge_error(self._name, error) from error

    def _judge(self, info: Any) -> None:
        """Raise BridgeNotReady if calls do not come to us.

        Failed calls from before our start, or before the last one that arrived, are over. Telegram's time is
        compared with nothing but itself.
        """
        if info.url != self._url:
            raise BridgeNotReady(
                self._name,
                "another program took the webhook of this bot away",
                why=f"it is {info.url or 'not set'} now",
            )
        failed = int(info.last_error_date.timestamp()) if info.last_error_date else 0
        if self._heard or self._last_error is None:
            self._heard, self._last_error = False, failed
        elif failed > self._last_error and info.pending_update_count:
            raise BridgeNotReady(
                self._name,
                "Telegram's calls to the webhook fail",
                why=f"{info.last_error_message}; {info.pending_update_count} updates wait",
            )

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer one call: 200 once its update is stored; InboxFull and JournalUnavailable pass through."""
        if request.method != "POST":
            return _refusal(405, "only POST is possible here", ("Allow", "POST"))
        shown = request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(shown.encode(errors="replace"), self._secret.encode()):
            log.info("webhook_refused", extra={"bridge": self._name, "from": request.remote})
            return _refusal(401, "the secret is missing or wrong")
        if self._account is None:  # nobody knows yet whose updates these are
            return _refusal(503, "not connected yet", ("Retry-After", str(_NOT_YET_S)))
        batch = self._intake.read([_json(request.body)], self._account)
        await self._intake.accept(batch, self._account, inbox)
        self._heard = True
        return HttpReply(status=200)


def _json(body: bytes) -> Any:
    """Return the update, or the text of what is none: it is kept as it came."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _refusal(status: int, message: str, *headers: tuple[str, str]) -> HttpReply:
    body = json.dumps({"error": {"message": message}}).encode()
    return HttpReply(status=status, body=body, headers=headers)
