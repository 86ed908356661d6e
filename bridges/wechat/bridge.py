"""The WeChat bridge: its life, and the parts it consists of."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from bridges.wechat.api import WeChatApi
from bridges.wechat.callback import Door
from bridges.wechat.crypto import Crypto
from bridges.wechat.errors import ApiError, NoAnswer, bridge_error
from bridges.wechat.inbound import Account
from bridges.wechat.media import IMAGE_BYTES, MediaDesk
from bridges.wechat.menu import bring_up_to_date
from bridges.wechat.open_requests import OpenRequests
from bridges.wechat.outbound import HINT_BYTES, MAX_BYTES
from bridges.wechat.receiving import Receiving
from bridges.wechat.replies import Replies
from bridges.wechat.sending import Sending
from clawd.errors import JournalUnavailable
from clawd.messages import Address, BridgeCapabilities

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bridges.wechat.config import WeChatConfig
    from clawd.bridge import BridgeContext, HttpReply, HttpRequest, Inbox
    from clawd.messages import Media, OutboundMessage, Receipt

log = logging.getLogger(__name__)

_TYPING_TIMEOUT_S: Final = 5.0


class WeChatBridge:
    """One Official Account, called at `/bridges/NAME`."""

    def __init__(self, context: BridgeContext, config: WeChatConfig) -> None:
        self.name = context.name
        self.max_body_bytes = config.max_body_bytes
        self._config = config
        self._passive = config.passive
        clock, token = context.clock, config.token.reveal()
        account = Account(
            bridge=self.name,
            app_id=config.app_id,
            language=config.language,
            location_events=config.location_events,
        )
        crypto = None
        if config.encrypted and config.aes_key is not None:
            crypto = Crypto(config.aes_key.reveal(), config.app_id, secrets.token_bytes)
        self._api = WeChatApi(
            config.api_base,
            config.app_id,
            config.app_secret.reveal() if config.app_secret is not None else None,
            config.network or context.network,
            clock,
            timeout_s=config.request_timeout_s,
            user_agent=f"clawd/{context.version}",
        )
        self._desk = MediaDesk(self.name, self._api, context.artifacts, clock, config.picture_hosts)
        replies = Replies(token, crypto, clock, lambda: str(secrets.randbelow(10**10)))
        requests = OpenRequests(clock)
        self._sending = Sending(
            account, self._api, self._desk, replies, requests, clock, passive_only=self._passive
        )
        door = Door(token, crypto, tolerance_s=config.tolerance_s)
        self._receiving = Receiving(account, config, clock, door, replies, requests, self._sending)

    @property
    def capabilities(self) -> BridgeCapabilities:
        """What WeChat can do; files go out by the API alone."""
        return BridgeCapabilities(
            text_limit=MAX_BYTES - HINT_BYTES,
            text_unit="utf8",
            typing=not self._passive,
            files=frozenset() if self._passive else frozenset({"image", "audio"}),
            file_limit=0 if self._passive else IMAGE_BYTES,
        )

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Be connected until cancelled: WeChat calls us. What is ours to do is a token and the menu."""
        if not self._passive:
            try:
                await self._api.connect()
                ready()
                await self._make_menu(inbox)
            except (ApiError, NoAnswer) as error:
                raise bridge_error(self.name, error) from error
        ready()
        await asyncio.Event().wait()

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer one request of WeChat's; InboxFull and JournalUnavailable pass through."""
        return await self._receiving.handle(request, inbox)

    def chat_address(self, chat: str) -> Address:
        """Return the conversation of a follower."""
        return Address(bridge=self.name, account=self._config.app_id, chat=chat)

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message; raises DeliveryError."""
        return await self._sending.send(message)

    def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of a picture, voice or video that somebody sent."""
        return self._desk.fetch(part)

    async def working(self, address: Address) -> None:
        """Show "typing"; whatever goes wrong, the reply itself will tell."""
        if self._sending.passive_only or not self._config.typing:
            return
        try:
            async with asyncio.timeout(_TYPING_TIMEOUT_S):
                await self._api.typing(address.chat)
        except (ApiError, NoAnswer, TimeoutError) as error:
            log.debug("typing_not_shown", extra={"bridge": self.name, "reason": str(error)})

    async def probe(self) -> str:
        """Return one line about the account; raises BridgeError."""
        mode = "encrypted" if self._config.encrypted else "plain"
        here = f"takes {mode} callbacks of {self._config.app_id} at /bridges/{self.name}"
        if self._passive:
            return f"{here}; replies are answers to them alone"
        try:
            await self._api.connect()
        except (ApiError, NoAnswer) as error:
            raise bridge_error(self.name, error) from error
        return f"{here}; WeChat gives it a token"

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._api.close()

    async def _make_menu(self, inbox: Inbox) -> None:
        """Put the menu there if it is a new one; a menu that WeChat does not take stops nothing else."""
        try:
            if await bring_up_to_date(self._api, inbox, self._config.app_id, self._config.menu):
                log.info("wechat_menu_made", extra={"bridge": self.name})
        except ApiError as error:
            log.warning("wechat_menu_refused", extra={"bridge": self.name, "error": str(error)})
            if error.meaning == "no_right":
                self._sending.turn_passive(str(error))
        except JournalUnavailable as error:
            log.warning("wechat_menu_not_noted", extra={"bridge": self.name, "error": str(error)})
