"""Callbacks in: checked, committed, and answered within the time that WeChat gives."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bridges.wechat.callback import Refused
from bridges.wechat.inbound import Unusable, read_arrival
from bridges.wechat.outbound import SUCCESS
from clawd import messages
from clawd.bridge import HttpReply
from clawd.ids import to_ms
from clawd.messages import Duplicate, MessageId, Replied, Unreadable
from clawd.texts import say

if TYPE_CHECKING:
    from bridges.wechat.callback import Callback, Door
    from bridges.wechat.config import WeChatConfig
    from bridges.wechat.inbound import Account, Arrival
    from bridges.wechat.open_requests import OpenRequest, OpenRequests
    from bridges.wechat.replies import Replies
    from bridges.wechat.sending import Sending
    from clawd.bridge import HttpRequest, Inbox
    from clawd.ids import Clock
    from clawd.messages import AcceptResult

log = logging.getLogger(__name__)

TRIES: Final = 3  # with `use_retries`: so often WeChat is let ask before it is told to wait
_HANG_UP_S: Final = 6.0  # longer than WeChat waits
_TEXT: Final = "text/plain; charset=utf-8"
_XML: Final = "text/xml; charset=utf-8"


class Receiving:
    """Answers the platform's requests."""

    def __init__(
        self,
        account: Account,
        config: WeChatConfig,
        clock: Clock,
        door: Door,
        replies: Replies,
        requests: OpenRequests,
        sending: Sending,
    ) -> None:
        self._account = account
        self._config = config
        self._clock = clock
        self._door = door
        self._replies = replies
        self._requests = requests
        self._sending = sending

    async def handle(self, request: HttpRequest, inbox: Inbox) -> HttpReply:
        """Answer one request: 403 or 400 with nothing in it, an echo, a reply, or `success`.

        Raises:
            InboxFull, JournalUnavailable: nothing was kept; WeChat asks again after the 503 they become.
        """
        began, now = self._clock.monotonic(), self._clock.now().timestamp()
        try:
            if request.method == "GET":
                return _reply(self._door.echo(request, now))
            callback = self._door.read(request, now)
        except Refused as refused:
            details = {"bridge": self._account.bridge, "why": refused.why, "from": request.remote}
            log.info("wechat_refused", extra=details)
            return HttpReply(status=refused.status, content_type=_TEXT)
        try:
            arrival = read_arrival(self._account, callback.fields)
        except Unusable as error:
            await inbox.accept([self._unreadable(callback, error)])
            return _reply(SUCCESS)
        if arrival.kind == "ignored":
            kind = callback.fields.get("MsgType", "")[:40]
            log.debug("wechat_ignored", extra={"bridge": self._account.bridge, "kind": kind})
            return _reply(SUCCESS)
        with self._requests.opened(arrival.id, arrival.address, arrival.to) as open_request:
            return _reply(await self._answer(arrival, open_request, inbox, began))

    async def _answer(self, arrival: Arrival, request: OpenRequest, inbox: Inbox, began: float) -> bytes:
        """Commit what came and return what WeChat is told: the reply, if it is ready in time."""
        if request.reply is not None:
            return request.reply  # it did not hear the first time
        if arrival.kind == "subscribe" and self._config.welcome is not None:
            request.reply = self._text(arrival, self._config.welcome)
            return request.reply
        result = await self._accept(arrival, inbox)
        self._sending.heard(arrival.address)
        if isinstance(result, messages.Refused) and not result.text:
            return SUCCESS
        passive = self._sending.passive_only
        holds = passive and self._config.use_retries and request.tries < TRIES
        wait_s = _HANG_UP_S if holds else self._config.reply_wait_s
        reply = await request.wait(self._clock, wait_s - (self._clock.monotonic() - began))
        if reply is not None:
            return reply
        if passive and not holds:
            return self._text(arrival, say("wechat_working", self._account.language))
        return SUCCESS

    async def _accept(self, arrival: Arrival, inbox: Inbox) -> AcceptResult:
        """Commit it: as the wish to fetch what is kept where it says that, and something is."""
        if arrival.fetches and self._sending.offers_fetch(arrival.address):
            (result,) = await inbox.accept([arrival.fetch()])
            if isinstance(result, Duplicate) or (isinstance(result, Replied) and not result.nothing):
                return result
        (result,) = await inbox.accept([arrival.message()])
        if isinstance(result, Duplicate):
            # It was not heard, or clawd has started anew: what was kept since may be the answer to it.
            again = f"{arrival.id}:again:{to_ms(self._clock.now())}"
            await inbox.accept([replace(arrival.fetch(), id=MessageId(again))])
        return result

    def _text(self, arrival: Arrival, text: str) -> bytes:
        return self._replies.text(text, to=arrival.sender.id, sender=arrival.to)

    def _unreadable(self, callback: Callback, error: Unusable) -> Unreadable:
        digest = hashlib.sha256(callback.raw).hexdigest()
        return Unreadable(
            id=MessageId(f"wx:{self._account.app_id}:sha256:{digest}"),
            bridge=self._account.bridge,
            raw=callback.raw.decode("utf-8", "replace"),
            why=str(error),
        )


def _reply(body: bytes) -> HttpReply:
    content_type = _XML if body.startswith(b"<xml>") else _TEXT
    # What is given back here was sent by somebody else: no browser may take it for a page.
    return HttpReply(
        status=200,
        body=body,
        content_type=content_type,
        headers=(("X-Content-Type-Options", "nosniff"),),
    )
