"""Sending within what one message of a user allows: paced, counted, parked rather than refused."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from bridges.weixin.cdn import UploadRefused
from bridges.weixin.contexts import SENDS_AT_MOST
from bridges.weixin.errors import IlinkError, delivery_error, is_restricted, upload_error
from bridges.weixin.outbound import client_id, file_item, format_text, message_of, text_item
from clawd.errors import (
    DeliveryError,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnknown,
    NotFound,
)
from clawd.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from bridges.weixin.api import IlinkApi
    from bridges.weixin.cdn import Cdn
    from bridges.weixin.config import WeixinConfig
    from bridges.weixin.contexts import Contexts
    from bridges.weixin.credentials import Credentials
    from bridges.weixin.outbound import Uploaded
    from clawd.ids import Clock
    from clawd.messages import Media, OutboundMessage
    from clawd.response import JsonObject

log = logging.getLogger(__name__)

_MOST: Final = 8  # messages that wait or are sent; the others leave room for those of other bridges
# Both end well before `delivery.send_timeout_s`: what that ends counts as perhaps sent, and is held.
_PATIENCE_S: Final = 10.0  # with those in front
_UPLOADS_S: Final = 40.0  # of all files of a message
_LEAST_S: Final = 1.0
_LONGEST_S: Final = 30.0


class Sending:
    """The way out of one bridge: one message at a time."""

    def __init__(
        self,
        name: str,
        api: IlinkApi,
        cdn: Cdn,
        config: WeixinConfig,
        clock: Clock,
        *,
        patience_s: float = _PATIENCE_S,
        uploads_s: float = _UPLOADS_S,
    ) -> None:
        self._name = name
        self._api = api
        self._cdn = cdn
        self._config = config
        self._clock = clock
        self._patience_s = patience_s
        self._uploads_s = uploads_s
        self._under_way = 0
        self._sent_away = 0  # since a message last found room
        self._turn = asyncio.Lock()
        self._next_at = 0.0  # when the platform may be bothered again, monotonic

    async def send(self, message: OutboundMessage, login: Credentials, contexts: Contexts) -> Receipt:
        """Deliver one message; raises DeliveryError."""
        if message.address.account != login.bot_id:
            raise DeliveryRejected(
                self._name, "this chat belongs to another login", why=f"the account is {login.bot_id} now"
            )
        text = format_text(message.text)
        if not text and not message.files:
            raise DeliveryRejected(self._name, "a message without text")
        user = message.address.chat
        # What a budget keeps back is for what can't wait.
        urgent = message.kind in ("failed", "question")
        budget = (
            max(self._config.sends_per_message, SENDS_AT_MOST) if urgent else self._config.sends_per_message
        )

        def permit() -> None:
            contexts.permit(
                self._name,
                user,
                self._clock.now(),
                sends=bool(text) + len(message.files),
                budget=budget,
                window_s=self._config.window_s,
            )

        permit()
        with self._room():
            # Nobody else waits for an upload.
            uploaded, refused = await self._upload(message, login, user)
            items = [text_item(text)] if text else []
            items += [file_item(file) for file in uploaded]
            async with self._in_turn():
                permit()
                remote_id = await self._send_items(message, login, contexts, items)
        if refused:
            raise DeliveryRejected(self._name, "the text went out, a file did not", why="; ".join(refused))
        return Receipt(remote_id=remote_id or None)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Count a message; raises DeliveryRetryLater where there are too many, with when its turn may come."""
        if self._under_way >= _MOST:
            self._sent_away += 1
            raise self._others(self._sent_away * self._config.send_interval_s)
        self._sent_away = 0
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Let nothing else be sent within the block; raises DeliveryRetryLater where others take too long."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._turn.acquire()
        except TimeoutError:
            raise self._others(_LEAST_S) from None
        try:
            yield
        finally:
            self._turn.release()

    def _others(self, wait_s: float) -> DeliveryRetryLater:
        return DeliveryRetryLater(
            self._name,
            "others are being sent",
            why="WeChat takes one message at a time",
            retry_after_s=min(max(wait_s, _LEAST_S), _LONGEST_S),
            tried=False,
        )

    async def _upload(
        self, message: OutboundMessage, login: Credentials, user: str
    ) -> tuple[list[Uploaded], list[str]]:
        """Bring all files to the CDN before anything is shown; return them, and what was refused and why."""
        uploaded: list[Uploaded] = []
        refused: list[str] = []
        limit = asyncio.timeout(self._uploads_s)
        try:
            async with limit:
                for part in message.files:
                    await self._upload_one(part, login, user, uploaded, refused)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeliveryRetryLater(
                self._name, "the files could not be uploaded", why=f"not within {self._uploads_s:g} s"
            ) from error
        return uploaded, refused

    async def _upload_one(
        self, part: Media, login: Credentials, user: str, uploaded: list[Uploaded], refused: list[str]
    ) -> None:
        try:
            uploaded.append(await self._cdn.upload(login, user, part))
        except (UploadRefused, NotFound) as error:
            refused.append(f"{part.name or part.ref}: {error}")
        except IlinkError as error:
            problem = upload_error(self._name, error)
            if not isinstance(problem, DeliveryRejected):
                raise problem from error
            refused.append(f"{part.name or part.ref}: {error}")

    async def _send_items(
        self, message: OutboundMessage, login: Credentials, contexts: Contexts, items: list[JsonObject]
    ) -> str | None:
        remote_id: str | None = None
        for number, item in enumerate(items):
            try:
                sent = await self._send_item(message, login, contexts, number, item)
            except DeliveryError as error:
                if number == 0:
                    raise
                # Part of it is there: no longer "surely not sent".
                why = f"{number} of {len(items)} went out; {error.why or error.what}"
                raise DeliveryUnknown(self._name, "only a part went out", why=why) from error
            remote_id = remote_id or sent
        return remote_id

    async def _send_item(
        self, message: OutboundMessage, login: Credentials, contexts: Contexts, number: int, item: JsonObject
    ) -> str:
        """Send one item; a context that the server ended is asked for anew, once."""
        user, own_id = message.address.chat, client_id(message.id, number)
        renewed = False
        while True:
            token = contexts.token(user)
            if token is None:  # forgotten for newer users while this one waited
                raise DeliveryParked(self._name, "this user has to write first")
            try:
                return await self._post(login, contexts, user, token, own_id, item)
            except IlinkError as error:
                if not is_restricted(error):
                    raise delivery_error(self._name, error) from error
                if not renewed and await self._renewed(login, contexts, user, token):
                    renewed = True
                    continue
                contexts.end(user, token)
                if contexts.token(user) not in (token, None) and not renewed:
                    renewed = True  # the user wrote while this was under way
                    continue
                raise delivery_error(self._name, error) from error

    async def _renewed(self, login: Credentials, contexts: Contexts, user: str, token: str) -> bool:
        """Ask for a fresh token; return whether there is one."""
        if contexts.token(user) != token:
            return True
        try:
            fresh = (await self._api.chat_config(login, user, token)).context_token
        except IlinkError as error:
            log.debug("context_not_renewed", extra={"bridge": self._name, "reason": str(error)})
            return False
        return contexts.token(user) != token or contexts.renew(user, fresh)

    async def _post(
        self, login: Credentials, contexts: Contexts, user: str, token: str, own_id: str, item: JsonObject
    ) -> str:
        await self._clock.sleep(max(0.0, self._next_at - self._clock.monotonic()))
        try:
            remote_id = await self._api.send(login, message_of(user, token, own_id, item))
        finally:
            self._next_at = self._clock.monotonic() + self._config.send_interval_s
        contexts.count(user, token)
        if remote_id is None:
            raise DeliveryUnknown(self._name, "WeChat gave an empty answer")
        return remote_id
