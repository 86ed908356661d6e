"""A bridge to a message board that is asked for news over HTTP.

GET  /messages?after=ID&wait=SECONDS   {"messages": [{"id", "room", "author", "text", "at"}]}
POST /rooms/ROOM/messages              {"text"}, with an Idempotency-Key
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import aiohttp
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from clawd.bridge import BridgeContext, Inbox
from clawd.errors import (
    BridgeAuthError,
    BridgeNotReady,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
    InboxFull,
    JournalUnavailable,
)
from clawd.messages import (
    Address,
    BridgeCapabilities,
    Cursor,
    Inbound,
    InboundMessage,
    MessageId,
    OutboundMessage,
    Receipt,
    Sender,
    Text,
    Unreadable,
)
from clawd.network import client_session

if TYPE_CHECKING:
    from clawd_board import BoardConfig

_ANSWER_S = 15  # the board answers within this, beside what it was asked to wait


class Note(BaseModel):
    """A message on the board; what else it carries is of no interest."""

    id: int
    room: Annotated[str, Field(min_length=1)]
    author: Annotated[str, Field(min_length=1)]
    text: str
    at: AwareDatetime


class BoardBridge:
    """One account on one board."""

    # The board drops a second message under the same key, so a repeat needs no mark.
    capabilities = BridgeCapabilities(text_limit=10_000, marks_repeats=False)

    def __init__(self, context: BridgeContext, config: BoardConfig) -> None:
        self.name = context.name
        self._context = context
        self._config = config
        self._session: aiohttp.ClientSession | None = None

    # --- in ---------------------------------------------------------------------------------------------

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        """Receive until cancelled. What is raised tells the supervisor what to do about it."""
        key = f"board:{self.name}:last"
        last, wait_s = int(await inbox.cursor(key) or 0), 0  # the first request only looks
        while True:
            rows = await self._news(last, wait_s)
            ready()  # the board has answered: we are connected
            wait_s = self._config.poll_s
            if not rows:
                continue
            events = [self._event(row) for row in rows]
            newest = max([last, *(row["id"] for row in rows if isinstance(row.get("id"), int))])
            try:
                # Messages and cursor are committed together; only then is the next request's `after` higher.
                await inbox.accept(events, Cursor(key=key, value=str(newest)))
            except (InboxFull, JournalUnavailable) as error:
                await self._context.clock.sleep(error.retry_after_s)
                continue  # the same messages come again
            last = newest

    async def _news(self, after: int, wait_s: int) -> list[dict[str, object]]:
        query = {"after": str(after), "wait": str(wait_s)}
        limit = aiohttp.ClientTimeout(total=wait_s + _ANSWER_S)
        try:
            async with self._http().get("/messages", params=query, timeout=limit) as response:
                if response.status == 401:
                    raise BridgeAuthError(
                        self.name, "the board refuses the token", remedy=f"set bridges.{self.name}.token anew"
                    )
                if response.status != 200:
                    raise BridgeNotReady(self.name, "the board is not there", why=f"HTTP {response.status}")
                rows = (await response.json())["messages"]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            why = str(error) or type(error).__name__
            raise BridgeNotReady(self.name, "the board can't be reached", why=why) from error
        return [row if isinstance(row, dict) else {"what": row} for row in rows]

    def _event(self, row: dict[str, object]) -> Inbound:
        """Return the message, or what can't be read: that is kept too, and the cursor moves past it."""
        try:
            note = Note.model_validate(row)
        except ValidationError as error:
            identity = MessageId(f"board:{self.name}:{row.get('id')}")
            return Unreadable(id=identity, bridge=self.name, raw=str(row), why=str(error.errors()[0]["msg"]))
        return InboundMessage(
            id=MessageId(f"board:{self.name}:{note.id}"),  # the same each time the board tells of it
            address=Address(bridge=self.name, account="board", chat=note.room),
            sender=Sender(id=note.author),
            parts=(Text(note.text),),
            sent_at=note.at,
            reference=str(note.id),
        )

    # --- out --------------------------------------------------------------------------------------------

    async def send(self, message: OutboundMessage) -> Receipt:
        """Deliver one message. The error's class is what matters: was it surely not sent, or perhaps?"""
        path = f"/rooms/{quote(message.address.chat, safe='')}/messages"
        try:
            async with self._http().post(
                path,
                json={"text": message.text},
                headers={"Idempotency-Key": message.id},
                timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
            ) as response:
                status, wait = response.status, response.headers.get("Retry-After", "")
                body = await response.json() if status == 201 else {}
        except aiohttp.ClientConnectorError as error:
            raise DeliveryRetryLater(self.name, "the board can't be reached", why=str(error)) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise DeliveryUnknown(self.name, "the board gave no answer", why=why) from error
        if status == 201:
            return Receipt(remote_id=str(body["id"]) if isinstance(body, dict) and "id" in body else None)
        why = f"HTTP {status}"
        if status == 401:
            raise DeliveryUnauthorized(self.name, "the board refuses the token", why=why)
        if status == 429:
            wait_s = float(wait) if wait.isascii() and wait.isdigit() else None
            raise DeliveryRetryLater(self.name, "the board asks to wait", why=why, retry_after_s=wait_s)
        if status in (404, 410):
            raise DeliveryRejected(self.name, "there is no such room any more", why=why, unreachable=True)
        if status >= 500:
            raise DeliveryUnknown(self.name, "the board failed", why=why)
        raise DeliveryRejected(self.name, "the board does not take this", why=why)

    # --- its life ---------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Free the connections; called once, after the last `send`."""
        if self._session is not None:
            await self._session.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:  # made where it is needed: deliveries go on when `run` has ended
            network = self._config.network or self._context.network
            headers = {
                "Authorization": f"Bearer {self._config.token.reveal()}",
                "User-Agent": f"clawd/{self._context.version}",
            }
            self._session = client_session(network, base_url=self._config.url, headers=headers)
        return self._session
