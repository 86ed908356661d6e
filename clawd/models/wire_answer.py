"""Reads one answer from the network: a stream of events or one JSON object, whatever its content type says."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

import aiohttp

from clawd.models.base import Progress
from clawd.models.limits import LimitExceeded
from clawd.models.sse import Comment, SseParser
from clawd.models.wire import DONE, MalformedAnswer

if TYPE_CHECKING:
    from clawd.models.base import ModelEvent
    from clawd.models.limits import StreamGuard
    from clawd.models.wire import AnswerFold
    from clawd.response import JsonValue

_AFTER_FINISH_S: Final = 2.0  # the answer is complete: so long to wait for the usage chunk
_EVENT_BYTES: Final = 8 * 1024 * 1024  # of one event: the last of some formats holds the whole answer again
_WHOLE_BYTES: Final = 8_000_000  # of an answer that does not stream: it has no overhead for each token
_MANY_VALUES: Final = 500_000  # in one JSON text: parsed, a value takes some 70 bytes
_LONG_TEXT: Final = 250_000  # below that it can't hold too many
_EVIDENCE: Final = 200  # bytes
_BOM: Final = b"\xef\xbb\xbf"


class Answer:
    """One answer with status 200, read piece by piece.

    Servers that do not stream answer with one JSON object, and some call either form by the other's content
    type, or by none: the first character decides. Blank lines before it are the keep-alives of servers that
    do not stream (DeepSeek, OpenRouter).
    """

    def __init__(self, response: aiohttp.ClientResponse, guard: StreamGuard, fold: AnswerFold) -> None:
        self._response = response
        self._guard = guard
        self._fold = fold
        self._parser = SseParser(_EVENT_BYTES)
        self._whole: list[bytes] | None = None  # the pieces so far of an answer that does not stream
        self._whole_size = 0
        self._begun = False
        self._events = 0
        self._head = b""  # evidence for the case that no event ever comes
        self._over = False
        if response.content_type == "text/html":
            raise MalformedAnswer("HTTP 200 with a web page (text/html); does base_url end in /v1?")

    async def more(self) -> list[ModelEvent] | None:
        """Return the next events, perhaps none, or None at the end.

        Raises:
            MalformedAnswer, ProviderFault, EventTooLarge, LimitExceeded: what came is no answer, or too long or
                too slow a one.
            aiohttp.ClientError, OSError: the connection broke.
        """
        if self._over:
            return None
        piece = await read(self._response, self._guard, _AFTER_FINISH_S if self._fold.finished else None)
        if piece and not self._begun:
            head = piece.removeprefix(_BOM).lstrip()
            if not head:
                self._guard.keepalive(_now())
                return [Progress("keepalive")]
            self._begun = True
            if head[:1] in (b"{", b"["):
                self._whole = []
        return self._more_json(piece) if self._whole is not None else self._more_events(piece)

    def _more_json(self, piece: bytes) -> list[ModelEvent]:
        assert self._whole is not None  # noqa: S101 - asked before
        if piece:
            self._whole.append(piece)
            self._whole_size += len(piece)
            if self._whole_size > _WHOLE_BYTES:
                raise LimitExceeded(
                    "size", f"the answer is one JSON object of more than {_WHOLE_BYTES} bytes"
                )
            self._guard.token(_now())
            return []
        self._over = True
        text = b"".join(self._whole).decode("utf-8-sig", "replace")
        self._whole = []
        return list(self._fold.add("", parse(text)))

    def _more_events(self, piece: bytes) -> list[ModelEvent]:
        if len(self._head) < _EVIDENCE:
            self._head += piece[:_EVIDENCE]
        found: list[ModelEvent] = []
        for event in self._parser.feed(piece) if piece else self._parser.close():
            if isinstance(event, Comment):
                self._guard.keepalive(_now())
                found.append(Progress("keepalive"))
            elif event.data.strip() == DONE:
                self._over = True
                return found
            else:
                self._events += 1
                events = self._fold.add(event.event, parse(event.data))
                found.extend(events)
                if Progress("keepalive") in events:  # some formats have an event for it
                    self._guard.keepalive(_now())
                else:
                    self._guard.token(_now())
        if not piece:
            self._end()
        return found

    def _end(self) -> None:
        self._over = True
        if not self._events:
            head = self._head.decode("utf-8", "replace")
            raise MalformedAnswer(f"a stream without events: {head}" if head else "an empty answer")
        if not self._fold.finished:
            raise MalformedAnswer("the stream ended in the middle of the answer")


async def read(response: aiohttp.ClientResponse, guard: StreamGuard, at_most_s: float | None = None) -> bytes:
    """Return the next bytes, empty at the end; raises LimitExceeded."""
    deadline, kind = guard.deadline()
    if at_most_s is not None:
        deadline = min(deadline, _now() + at_most_s)
    try:
        async with asyncio.timeout_at(deadline):
            piece = await response.content.readany()
    except TimeoutError as error:
        raise guard.expired(kind) from error
    guard.took(len(piece), _now())
    return piece


async def read_head(response: aiohttp.ClientResponse, max_bytes: int, within_s: float) -> str:
    """Return the beginning of a body as text; what does not come in time, or breaks off, is left out."""
    head = b""
    try:
        async with asyncio.timeout(within_s):
            while len(head) < max_bytes and (piece := await response.content.read(max_bytes - len(head))):
                head += piece
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    return head.decode("utf-8", "replace")


def parse(text: str) -> JsonValue:
    """Return the value of a JSON text; raises MalformedAnswer, also for one that is a burden to hold."""
    if len(text) > _LONG_TEXT and sum(map(text.count, ",[{")) > _MANY_VALUES:
        raise MalformedAnswer(f"JSON of more than {_MANY_VALUES} values: {text[:_EVIDENCE]}")
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"broken JSON: {text[:_EVIDENCE]}") from error
    return value


def _now() -> float:
    return asyncio.get_running_loop().time()
