"""Replies out: as the answer to a request that is open, else by the customer-service API, else kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bridges.wechat.errors import ApiError, NoAnswer, delivery_error
from bridges.wechat.outbound import HINT_BYTES, MAX_BYTES, cut, media_payload, plain_text, text_payload
from clawd.errors import DeliveryParked, DeliveryRejected
from clawd.messages import Receipt
from clawd.texts import say

if TYPE_CHECKING:
    from bridges.wechat.api import WeChatApi
    from bridges.wechat.inbound import Account
    from bridges.wechat.media import MediaDesk
    from bridges.wechat.open_requests import OpenRequests
    from bridges.wechat.replies import Replies
    from clawd.ids import Clock, DeliveryId
    from clawd.messages import Address, Media, OutboundMessage
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

SENDS: Final = 5  # that one message of a person's allows, within 48 hours
_LEAD_S: Final = 0.5  # of an answer to a request over what follows by the API: it takes the longer way
_LEAST_BYTES: Final = 256  # of a text that was called too long
_MAX_KEPT: Final = 10_000


@dataclass(slots=True)
class _Rest:
    """What is still to be sent of a delivery."""

    text: str
    files: tuple[Media, ...]


@dataclass(slots=True)
class _Person:
    """What is known of one person since they last wrote."""

    sends: int = 0  # by the API
    answered_at: float | None = None  # when a request of theirs was answered
    told_to_fetch: bool = False


class Sending:
    """Sends for one account.

    Args:
        account: Which.
        api: Its API.
        desk: Uploads files.
        replies: Makes passive replies.
        requests: Those that are open.
        clock: For pauses and quotas.
        passive_only: Whether the API is never to be used for replies.
    """

    def __init__(
        self,
        account: Account,
        api: WeChatApi,
        desk: MediaDesk,
        replies: Replies,
        requests: OpenRequests,
        clock: Clock,
        *,
        passive_only: bool,
    ) -> None:
        self._account = account
        self._api = api
        self._desk = desk
        self._replies = replies
        self._requests = requests
        self._clock = clock
        self.passive_only = passive_only
        # What a delivery of several messages has left, should one of them fail. Lost in a crash, it begins anew.
        self._rests: dict[DeliveryId, _Rest] = {}
        self._people: dict[Address, _Person] = {}

    def heard(self, address: Address) -> None:
        """Somebody wrote: their quota begins anew."""
        told = self._people.pop(address, _Person()).told_to_fetch
        if told:
            self._person(address).told_to_fetch = True

    def offers_fetch(self, address: Address) -> bool:
        """Whether this person may have been told to fetch what is kept for them."""
        return self.passive_only or self._person(address).told_to_fetch

    def turn_passive(self, why: str) -> None:
        """The account may not use the API: from now on requests are answered, and nothing else."""
        if not self.passive_only:
            self.passive_only = True
            log.warning("wechat_passive_only", extra={"bridge": self._account.bridge, "why": why})

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message, or what an earlier attempt left of it; raises DeliveryError."""
        bridge = self._account.bridge
        if message.address.account != self._account.app_id:
            raise DeliveryRejected(bridge, "this address belongs to another account")
        kept = self._rests.pop(message.id, None)
        rest = _Rest(plain_text(message), message.files) if kept is None else _marked(kept, message)
        if not rest.text and not rest.files:
            raise DeliveryRejected(bridge, "a message without text")
        whole = (rest.text, rest.files)
        try:
            await self._send_rest(message, rest)
        except (ApiError, NoAnswer) as error:
            raise delivery_error(bridge, error, self._clock.now()) from error
        finally:
            if (rest.text or rest.files) and (kept is not None or (rest.text, rest.files) != whole):
                self._keep(message.id, rest)
        return Receipt()

    async def _send_rest(self, message: OutboundMessage, rest: _Rest) -> None:
        while rest.text:
            if not await self._answer(message, rest):
                await self._send_text(message, rest)
        while rest.files:
            await self._send_file(message.address, rest.files[0])
            rest.files = rest.files[1:]

    async def _answer(self, message: OutboundMessage, rest: _Rest) -> bool:
        """Answer an open request with the beginning; return whether that was done."""
        while request := self._requests.find(message.address, message.in_reply_to):
            head, tail = cut(rest.text)
            if self.passive_only and self._more_than(tail, message, rest):
                head, tail = cut(rest.text, MAX_BYTES - HINT_BYTES)
                head = self._hinted(message.address, head)
            reply = self._replies.text(head, to=message.address.chat, sender=request.to)
            if await request.give(reply):
                self._person(message.address).answered_at = self._clock.monotonic()
                rest.text = tail
                return True
        return False

    async def _send_text(self, message: OutboundMessage, rest: _Rest) -> None:
        """Send the beginning by the API."""
        self._may_send()
        person, limit = self._person(message.address), MAX_BYTES
        if person.answered_at is not None:
            lead_s = person.answered_at + _LEAD_S - self._clock.monotonic()
            person.answered_at = None
            await self._clock.sleep(max(lead_s, 0))
        while True:
            head, tail = cut(rest.text, limit)
            if person.sends == SENDS - 1 and self._more_than(tail, message, rest):
                head, tail = cut(rest.text, limit - HINT_BYTES)
                head = self._hinted(message.address, head)
            try:
                await self._call(message.address, text_payload(message.address.chat, head))
            except ApiError as error:
                if error.meaning != "too_long" or limit // 2 < _LEAST_BYTES:
                    raise
                limit //= 2
            else:
                rest.text = tail
                return

    async def _send_file(self, address: Address, part: Media) -> None:
        self._may_send()
        for anew in (False, True):
            kind, media_id = await self._desk.upload(part, anew=anew)
            try:
                await self._call(address, media_payload(address.chat, kind, media_id))
            except ApiError as error:
                if error.meaning != "media_gone" or anew:
                    raise
            else:
                return

    async def _call(self, address: Address, payload: JsonObject) -> None:
        try:
            await self._api.send(payload)
        except ApiError as error:
            if error.meaning == "no_right":
                self.turn_passive(str(error))
            elif error.meaning == "parked":
                self._person(address).told_to_fetch = True
            if error.meaning != "duplicate":
                raise
        self._person(address).sends += 1

    def _may_send(self) -> None:
        if self.passive_only:
            raise DeliveryParked(
                self._account.bridge, "kept until this person writes", why="replies are passive alone"
            )

    def _hinted(self, address: Address, text: str) -> str:
        self._person(address).told_to_fetch = True
        return f"{text}\n{say('wechat_more', self._account.language)}"

    @staticmethod
    def _more_than(tail: str, message: OutboundMessage, rest: _Rest) -> bool:
        return bool(tail or rest.files) or message.part < message.parts - 1

    def _person(self, address: Address) -> _Person:
        person = self._people.get(address)
        if person is None:
            if len(self._people) >= _MAX_KEPT:
                del self._people[next(iter(self._people))]
            person = self._people[address] = _Person()
        return person

    def _keep(self, delivery: DeliveryId, rest: _Rest) -> None:
        if len(self._rests) >= _MAX_KEPT:
            del self._rests[next(iter(self._rests))]
        self._rests[delivery] = rest


def _marked(rest: _Rest, message: OutboundMessage) -> _Rest:
    """Return a rest that begins with the mark of its delivery, if its last part may have arrived."""
    mark = message.text.partition("\n")[0]
    if message.repeated and rest.text and not rest.text.startswith(mark):
        rest.text = f"{mark}\n{rest.text}"
    return rest
