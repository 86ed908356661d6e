"""What the fake WeCom remembers, and its sockets as the cable sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

FaultKind = Literal["errcode", "no_ack", "late_ack", "wrong_req_id", "cut_before", "cut_after", "garbage"]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the next frames of a command meet."""

    cmd: str
    kind: FaultKind
    errcode: int = 0
    nth: int = 1  # from the next one on that matches
    count: int = 1
    delay_s: float = 0.0
    where: Callable[[dict[str, Any]], bool] = lambda body: True


@dataclass(slots=True, kw_only=True)
class Seen:
    """A frame of the bot's, and what became of it."""

    cmd: str
    req_id: str
    body: dict[str, Any]
    outcome: str  # "ok", an errcode as text, or a fault's kind
    at: float
    connection: int


@dataclass(slots=True, kw_only=True)
class Shown:
    """A message in a chat, as its people see it."""

    chat: str
    kind: str
    history: list[str]  # texts that it had
    finished: bool = True
    card: dict[str, Any] | None = None
    media: bytes | None = None
    name: str = ""  # of the file
    at: float = 0.0

    @property
    def text(self) -> str:
        return self.history[-1]


@dataclass(slots=True)
class Callback:
    """A message that can be answered."""

    chat: str
    at: float
    stream: str | None = None
    began: float = 0.0
    over: bool = False


@dataclass(slots=True)
class Socket:
    number: int
    ws: web.WebSocketResponse
    subscribed: bool = False
    busy: set[str] = field(default_factory=set)  # req_ids under way


def abort(ws: web.WebSocketResponse) -> None:
    """Break the connection as a cable does."""
    request = ws._req
    if request is not None and request.transport is not None:
        request.transport.abort()


def write(ws: web.WebSocketResponse, *texts: str) -> None:
    """Put text messages on the wire at once."""
    request = ws._req
    if request is not None and request.transport is not None:
        request.transport.write(b"".join(map(_framed, texts)))


def _framed(text: str) -> bytes:
    """Return a text message as RFC 6455 has it, unmasked."""
    data = text.encode()
    size = len(data)
    head = (
        bytes([0x81, size])
        if size < 126
        else bytes([0x81, 126]) + size.to_bytes(2, "big")
        if size < 65536
        else bytes([0x81, 127]) + size.to_bytes(8, "big")
    )
    return head + data
