"""The client of every wire format: one session per provider, one POST per request, one stream back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import aiohttp

from clawd.errors import ConfigError, ModelUnavailable
from clawd.messages import Text
from clawd.models.base import Completed, ModelRequest, Progress, UserMessage
from clawd.models.limits import LimitExceeded, StreamGuard
from clawd.models.sse import Comment, EventTooLarge, SseParser
from clawd.models.wire import DONE, MalformedAnswer, ProviderFault
from clawd.models.wire_config import WireConfig
from clawd.models.wire_errors import BadStatus, Origin, model_error, without_secrets
from clawd.network import check_network, client_session, without_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelContext, ModelEvent, ModelResponse
    from clawd.models.wire import AnswerFold, WireFormat
    from clawd.response import JsonValue

_AFTER_FINISH_S: Final = 2.0  # the answer is complete: so long to wait for the usage chunk
_ERROR_BYTES: Final = 64 * 1024  # of an error's body


C = TypeVar("C", bound=WireConfig)


class WireProvider(Generic[C]):
    """Asks one model; see `ModelProvider` and `ManagedProvider` for what its methods promise."""

    def __init__(self, context: ModelContext, config: C, wire: WireFormat[C]) -> None:
        self.name = config.name
        self.model = config.model_id
        self.place = without_secrets(config.base_url or config.url)
        self.offers_tools = config.tools
        self._context = context
        self._config = config
        self._wire = wire
        self._limits = config.limits(context.limits)
        self._origin = Origin(
            model=config.name,
            model_id=config.model_id,
            url=config.url,
            key=config.api_key,
            answer=wire.accepts,
        )
        self._network = without_proxy(config.network or context.network, config.url)
        check_network(self._network)  # a bad section is refused at start and reload, not in a turn
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        guard = StreamGuard(self._limits, _now())
        fold = self._wire.fold(self._config)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._open(self._wire.body(self._config, request), guard)
            if response.content_type == "application/json":
                for event in fold.add("", await self._whole(response, guard)):
                    yield event
            else:
                answer = _Answer(response, guard, fold)
                while (events := await answer.more()) is not None:
                    for event in events:
                        yield event
        except _FAILURES as failure:
            if not fold.finished:
                raise model_error(self._origin, failure) from failure
        finally:
            if response is not None:
                # A body that was not read to its end closes the connection with it.
                response.release()
        yield Completed(self._not_empty(fold.response()))

    async def probe(self) -> str:
        """Return one line that names the model and how fast its first token came."""
        clock = self._context.clock
        begun = clock.monotonic()
        request = ModelRequest(messages=(UserMessage((Text("Answer with the word: ok"),)),))
        events = self.stream(request)
        try:
            await anext(events)
        finally:
            await events.aclose()
        return f"{self.model} at {self._origin.host} answered after {clock.monotonic() - begun:.2f} s"

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _open(self, body: object, guard: StreamGuard) -> aiohttp.ClientResponse:
        """Return the response once its headers are in and say 200."""
        if self._closed:
            raise ModelUnavailable(self.name, "the model is closed", transient=False)
        deadline, kind = guard.deadline()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._post(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        except aiohttp.ConnectionTimeoutError:
            raise
        except TimeoutError as error:
            raise guard.expired(kind) from error
        except ConfigError as error:  # the certificate file went away after the start
            raise ModelUnavailable(self.name, "the network section can't be used", why=str(error)) from error
        if response.status == 200:
            return response
        try:
            text = await self._error_text(response)
        finally:
            response.release()
        raise model_error(
            self._origin,
            BadStatus(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=text,
                now=self._context.clock.now(),
            ),
        )

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        """Return the response; once more on a fresh connection when a kept one turns out to be dead."""
        kept = _Kept()
        try:
            return await self._send(body, kept)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # Servers close idle connections without a word, and notice reaches us as a failed request.
            if not kept.used:
                raise
        return await self._send(body, _Kept())

    async def _send(self, body: bytes, kept: _Kept) -> aiohttp.ClientResponse:
        return await self._http().post(
            self._config.url,
            data=body,
            headers=self._headers(),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_s),
            allow_redirects=False,  # a key goes nowhere but where the configuration says
            trace_request_ctx=kept,
        )

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = client_session(self._network, limit=0, trace_configs=[_trace_kept()])
        return self._session

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            # Compressing proxies hold tokens back until a block is full.
            "Accept-Encoding": "identity",
            "User-Agent": f"clawd/{self._context.version}",
            **self._wire.headers(self._config.api_key),
        }

    async def _error_text(self, response: aiohttp.ClientResponse) -> str:
        """Return the beginning of an error's body; a body that never comes is no second error."""
        try:
            async with asyncio.timeout(self._limits.connect_s):
                return (await response.content.read(_ERROR_BYTES)).decode("utf-8", "replace")
        except (TimeoutError, aiohttp.ClientError, OSError):
            return ""

    async def _whole(self, response: aiohttp.ClientResponse, guard: StreamGuard) -> JsonValue:
        """Return the JSON of an answer that did not stream."""
        pieces: list[bytes] = []
        while piece := await _read(response, guard):
            pieces.append(piece)
            guard.token(_now())
        return _parse(b"".join(pieces).decode("utf-8", "replace"))

    def _not_empty(self, response: ModelResponse) -> ModelResponse:
        if response.text.strip() or response.tool_calls:
            return response
        reasons = {
            "length": "all tokens were used before the first visible one; raise max_tokens",
            "filtered": "the provider filtered it",
        }
        raise ModelUnavailable(
            self.name, "the model's answer is empty", where=self._origin.where,
            why=reasons.get(response.finish, "no text and no tool call"),
        )  # fmt: skip


_FAILURES: Final = (
    ProviderFault,
    MalformedAnswer,
    LimitExceeded,
    EventTooLarge,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
)


@dataclass(slots=True)
class _Kept:
    """Whether a request went over a connection that was kept from an earlier one."""

    used: bool = False


def _trace_kept() -> aiohttp.TraceConfig:
    async def note(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
        context.trace_request_ctx.used = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note)
    return trace


class _Answer:
    """Reads one event stream to its end."""

    def __init__(self, response: aiohttp.ClientResponse, guard: StreamGuard, fold: AnswerFold) -> None:
        self._response = response
        self._guard = guard
        self._fold = fold
        self._parser = SseParser()
        self._events = 0
        self._head = b""  # evidence for the case that no event ever comes
        self._over = response.content_type == "text/html"
        if self._over:
            raise MalformedAnswer("HTTP 200 with a web page (text/html); does base_url end in /v1?")

    async def more(self) -> list[ModelEvent] | None:
        """Return the next events, perhaps none, or None at the end; raises one of `_FAILURES`."""
        if self._over:
            return None
        piece = await _read(self._response, self._guard, _AFTER_FINISH_S if self._fold.finished else None)
        if len(self._head) < 200:
            self._head += piece[:200]
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
                found.extend(self._fold.add(event.event, _parse(event.data)))
                self._guard.token(_now())
        if not piece:
            self._end()
        return found

    def _end(self) -> None:
        self._over = True
        if not self._events:
            head = self._head.decode("utf-8", "replace")
            raise MalformedAnswer(f"a stream without events: {head}" if head else "an empty stream")
        if not self._fold.finished:
            raise MalformedAnswer("the stream ended in the middle of the answer")


async def _read(
    response: aiohttp.ClientResponse, guard: StreamGuard, at_most_s: float | None = None
) -> bytes:
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


def _parse(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"broken JSON: {text[:200]}") from error
    return value


def _now() -> float:
    return asyncio.get_running_loop().time()
