"""The WeCom bridge: its life, and which way a reply takes."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from typing import TYPE_CHECKING, Final

from bridges.wecom import outbound
from bridges.wecom.account import Account, ReplyTo
from bridges.wecom.cards import card_of
from bridges.wecom.errors import ApiError, NoAnswer, NotSent, delivery_error
from bridges.wecom.line import Line
from bridges.wecom.media import fetch
from bridges.wecom.receiving import Receiving
from bridges.wecom.streams import StreamOver, Streams
from bridges.wecom.uploads import FILE_LIMIT, Uploads
from clawd.errors import DeliveryError, DeliveryRejected, DeliveryRetryLater, DeliveryUnknown
from clawd.messages import BridgeCapabilities, Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bridges.wecom.config import WecomConfig
    from bridges.wecom.uploads import Uploaded
    from clawd.bridge import BridgeContext, Inbox
    from clawd.messages import Address, Mark, Media, OutboundMessage, Preview
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

_PREVIEW_RETRY_S: Final = 2.0  # while the connection is being opened again
_UPLOADS_S: Final = 40.0  # ends before `delivery.send_timeout_s`, which counts as perhaps sent

_CAPABILITIES: Final = BridgeCapabilities(
    text_limit=outbound.TEXT_LIMIT,
    text_unit="utf8",
    edits=True,
    files=frozenset({"image", "audio", "file"}),
    file_limit=FILE_LIMIT,
    # 30 messages a minute and chat are what the platform is said to take.
    preview_interval_s=1.5,
    group_preview_interval_s=3.0,
)


class WecomBridge:
    """One bot."""

    def __init__(
        self,
        context: BridgeContext,
        config: WecomConfig,
        *,
        random: Callable[[], float] = random.random,
        uploads_s: float = _UPLOADS_S,
    ) -> None:
        self.name = context.name
        self._config = config
        self._uploads_s = uploads_s
        self._account = Account(
            bridge=context.name,
            bot_id=config.bot_id,
            bot_name=config.bot_name,
            language=config.language,
        )
        self._line = Line(context, config, random)
        self._streams = Streams(self._line, context.clock)
        self._receiving = Receiving(self._account, config, self._line, self._streams, context.clock)
        self._uploads = Uploads(context.name, self._line, context.artifacts, context.clock)

    @property
    def capabilities(self) -> BridgeCapabilities:
        return _CAPABILITIES

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        await self._receiving.run(inbox, ready)

    async def close(self) -> None:
        """Commit what came in the meantime, then close: the platform would not send it again."""
        await self._receiving.settle()
        await self._line.close()

    def fetch(self, part: Media) -> AsyncIterator[bytes]:
        """Return the content of an inbound part; as `MediaBridge.fetch`."""
        plain = self._config.ws_url.startswith("ws://")
        return fetch(
            self.name, self._line.http, part, max_bytes=self._config.max_file_bytes, plain_http=plain
        )

    # --- while a reply is made ----------------------------------------------------------------------------

    def previews(self, address: Address) -> bool:
        """Whether previews are wanted at this address."""
        return self._config.stream

    async def preview(self, preview: Preview) -> Receipt:
        """Show a snapshot of the stream that answers a message; its id is the receipt's.

        A snapshot that may not have arrived does no harm: the next one holds all of it.
        """
        reply = ReplyTo.parse(preview.reference)
        if reply is None:
            raise DeliveryRejected(self.name, "this answers no message of WeCom's")
        begun = preview.remote_id is not None
        try:
            stream_id = await self._streams.show(reply, preview.address, preview.text, begun=begun)
        except NoAnswer as error:
            if not begun:
                return Receipt(remote_id=reply.stream_id)  # known beforehand, so an edit finds it either way
            raise DeliveryRetryLater(
                self.name, "a snapshot got no answer", why=str(error), retry_after_s=_PREVIEW_RETRY_S
            ) from error
        except NotSent as error:
            raise DeliveryRetryLater(
                self.name, "no connection to WeCom", why=str(error), retry_after_s=_PREVIEW_RETRY_S
            ) from error
        except StreamOver as over:
            raise DeliveryRejected(self.name, "nothing can be streamed here", why=str(over)) from over
        except ApiError as error:
            raise delivery_error(self.name, error) from error
        return Receipt(remote_id=stream_id)

    def marks(self, address: Address) -> bool:
        """Whether people are shown that their message is being worked on."""
        return self._config.stream

    async def mark(self, address: Address, reference: str, mark: Mark) -> None:
        """Show a thinking bubble under the message; whatever goes wrong, the reply itself will tell.

        The reply takes the bubble's place, so it is the only sign.
        """
        reply = ReplyTo.parse(reference)
        if mark != "working" or reply is None:
            return
        try:
            await self._streams.think(reply)
        except (StreamOver, ApiError, NotSent, NoAnswer) as error:
            log.debug("thinking_not_shown", extra={"bridge": self.name, "reason": type(error).__name__})

    # --- sending ------------------------------------------------------------------------------------------

    def chat_address(self, chat: str) -> Address:
        """Return the conversation of a person or a group."""
        return self._account.address_of(chat)

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message: its files are uploaded first, so that what is refused leaves no half of it."""
        if message.address.account != self._account.bot_id:
            raise DeliveryRejected(self.name, "this is an address of another bot")
        if not message.text.strip() and not message.files:
            raise DeliveryRejected(self.name, "a message without text")
        uploads = await self._upload(message.files)
        receipt = Receipt()
        if message.text.strip():
            receipt = await self._send_text(message)
        if uploads:
            await self._send_files(message, uploads)
        return receipt

    async def _upload(self, files: tuple[Media, ...]) -> list[Uploaded]:
        """Bring files to the platform; raises DeliveryError, and nothing of the message is out then."""
        limit = asyncio.timeout(self._uploads_s)
        try:
            async with limit:
                return [await self._uploads.upload(part) for part in files]
        except NoAnswer as error:
            # Nobody sees an upload, so this is no doubt about the message.
            raise DeliveryRetryLater(self.name, "an upload got no answer", why=str(error)) from error
        except (ApiError, NotSent) as error:
            raise delivery_error(self.name, error) from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeliveryRetryLater(
                self.name, "the uploads take too long", why=f"not done within {self._uploads_s:g} s"
            ) from error

    async def _send_text(self, message: OutboundMessage) -> Receipt:
        try:
            remote_id = await self._answer(message)
            if remote_id is None:
                text = self._as_new(message)
                await self._line.request("aibot_send_msg", outbound.markdown(message.address.chat, text))
        except (ApiError, NotSent, NoAnswer) as error:
            raise delivery_error(self.name, error) from error
        if (card := card_of(message, secrets.token_hex(4))) is not None:
            await self._send_card(message.address, card)
        return Receipt(remote_id=remote_id)

    async def _answer(self, message: OutboundMessage) -> str | None:
        """Finish the stream of the answered message; None where it takes none any more.

        Only by the first part: a later one would take the place of the first.
        """
        reply = ReplyTo.parse(message.reference)
        if reply is None or not (message.edit_of is not None or message.part == 0):
            return None
        begun = message.edit_of is not None
        try:
            await self._streams.finish(reply, message.address, message.text, begun=begun)
        except StreamOver as over:
            log.info("reply_sent_anew", extra={"bridge": self.name, "reason": str(over)})
            return None
        return reply.stream_id

    @staticmethod
    def _as_new(message: OutboundMessage) -> str:
        """Return the text as a message of its own, marked where the stream may have shown it already."""
        return f"{message.repeat_mark}\n{message.text}" if message.repeat_mark else message.text

    async def _send_card(self, address: Address, card: JsonObject) -> None:
        """Offer buttons; without them the question is answered in words."""
        try:
            await self._line.request("aibot_send_msg", outbound.template_card(address.chat, card))
        except (ApiError, NotSent, NoAnswer) as error:
            log.info("buttons_not_shown", extra={"bridge": self.name, "reason": str(error)})

    async def _send_files(self, message: OutboundMessage, uploads: list[Uploaded]) -> None:
        sent = bool(message.text.strip())
        for upload in uploads:
            body = outbound.media(message.address.chat, upload.kind, upload.media_id)
            try:
                await self._line.request("aibot_send_msg", body)
            except (ApiError, NotSent, NoAnswer) as error:
                failure: DeliveryError = delivery_error(self.name, error)
                if sent:  # a part of it is there: no longer "surely not sent"
                    failure = DeliveryUnknown(self.name, "only a part went out", why=str(error))
                raise failure from error
            sent = True
