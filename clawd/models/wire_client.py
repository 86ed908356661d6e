"""The client of every wire format: one session per provider, one POST per request, one stream back."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import aiohttp
from multidict import CIMultiDict

from clawd.config.base import Secret
from clawd.errors import ConfigError, ModelUnavailable
from clawd.messages import Text
from clawd.models.base import Completed, ModelRequest, Progress, UserMessage
from clawd.models.limits import LimitExceeded, StreamGuard
from clawd.models.showing import with_pictures
from clawd.models.sse import EventTooLarge
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.models.wire_answer import Answer, read_head
from clawd.models.wire_config import WireConfig
from clawd.models.wire_errors import BadStatus, Origin, Unreachable, key_id, model_error, without_secrets
from clawd.network import check_network, client_session, knock, without_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelContext, ModelEvent, ModelResponse
    from clawd.models.wire import WireFormat
    from clawd.models.wire_errors import Failure
    from clawd.response import JsonObject

_ERROR_BYTES: Final = 64 * 1024  # of an error's body
_SILENCE: Final = frozenset({"first token", "idle"})  # limits that a dead line passes too
_REST_S: Final = 0.02  # for what ends the body behind the answer


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
        self._extra_body = config.body_keys()
        self._origin = Origin(
            model=config.name,
            model_id=config.model_id,
            url=config.url,
            key=config.key,
            hidden=tuple(config.secrets()),
            answer=wire.accepts,
            redact=context.redactor.clean,
        )
        self.key_id = key_id(self._origin)
        self._network = without_proxy(config.network or context.network, config.url)
        check_network(self._network)  # a bad section is refused at start and reload, not in a turn
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        shown = await with_pictures(request, self._context.files, vision=self._config.vision)
        guard = StreamGuard(self._limits, _now())
        fold = self._wire.fold(self._config)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._open(self._body(shown), guard, large=shown is not request)
            answer = Answer(response, guard, fold)
            while (events := await answer.more()) is not None:
                for event in events:
                    yield event
            await _read_rest(response)
        except _FAILURES as failure:
            if not fold.finished:
                raise model_error(self._origin, await self._cause_of(failure)) from failure
        finally:
            if response is not None:
                # A body that was not read to its end closes the connection with it.
                response.release()
        try:
            whole = fold.response()
        except MalformedAnswer as failure:
            raise model_error(self._origin, failure) from failure
        yield Completed(self._not_empty(whole))

    async def probe(self) -> str:
        """Return one line that names the model and how fast its first token came."""
        clock = self._context.clock
        begun = clock.monotonic()
        request = ModelRequest(messages=(UserMessage((Text("Answer with the word: ok"),)),))
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if event != Progress("keepalive"):  # which may be from a proxy alone
                    break
        return f"{self.model} at {self._origin.host} answered after {clock.monotonic() - begun:.2f} s"

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _body(self, request: ModelRequest) -> JsonObject:
        body = {**self._wire.body(self._config, request), **self._extra_body}
        for name in self._config.omit:
            body.pop(name, None)
        return body

    async def _open(self, body: JsonObject, guard: StreamGuard, *, large: bool) -> aiohttp.ClientResponse:
        """Return the response once its headers are in and say 200."""
        if self._closed:
            raise ModelUnavailable(self.name, "the model is closed", transient=False)
        data = await asyncio.to_thread(_encoded, body) if large else _encoded(body)
        deadline, kind = guard.deadline()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._post(data)
        except aiohttp.ConnectionTimeoutError:
            raise
        except TimeoutError as error:
            raise guard.expired(kind) from error
        except ConfigError as error:  # the certificate file went away after the start
            raise ModelUnavailable(self.name, "the network section can't be used", why=str(error)) from error
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        packed = encoding not in ("", "identity")
        if response.status == 200 and not packed:
            return response
        try:
            # Nothing is ever unpacked: a few bytes can hold gigabytes.
            most = min(_ERROR_BYTES, self._limits.max_bytes)
            text = "" if packed else await read_head(response, most, self._limits.connect_s)
        finally:
            response.release()
        if response.status == 200:
            raise self._packed(encoding)
        raise model_error(
            self._origin,
            BadStatus(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=text,
                now=self._context.clock.now(),
            ),
        )

    async def _cause_of(self, failure: Failure) -> Failure:
        """Return why nothing came, where that is silence: no slow model, if its server can't be reached any more.

        A connection whose line is taken away says nothing; whether another one comes about tells.
        """
        if not isinstance(failure, LimitExceeded) or failure.kind not in _SILENCE:
            return failure
        try:
            await knock(self._network, self._config.url, self._limits.connect_s)
        except OSError as error:
            lost = Unreachable()
            lost.__cause__ = error
            return lost
        return failure

    def _packed(self, encoding: str) -> ModelUnavailable:
        return ModelUnavailable(
            self.name,
            "the answer is compressed",
            where=self._origin.where,
            why=f"Content-Encoding: {self._origin.clean(encoding)}, though the request says identity",
            remedy="switch compression off in the proxy in front of the model server",
            transient=False,
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
            self._session = client_session(
                self._network, limit=0, trace_configs=[_trace_kept()], auto_decompress=False
            )
        return self._session

    def _headers(self) -> CIMultiDict[str]:
        headers = CIMultiDict(
            {
                "Content-Type": "application/json",
                "Accept": "text/event-stream",
                # Compressing proxies hold tokens back until a block is full.
                "Accept-Encoding": "identity",
                "User-Agent": f"clawd/{self._context.version}",
                **self._wire.headers(self._config.api_key),
            }
        )
        for name, value in self._config.headers.items():
            headers[name] = value.reveal() if isinstance(value, Secret) else value
        return headers

    def _not_empty(self, response: ModelResponse) -> ModelResponse:
        if response.text.strip() or response.tool_calls:
            return response
        reasons = {
            "length": "all tokens were used before the first visible one; raise max_tokens",
            "filtered": "the provider filtered it",
        }
        silent = "it thought, and then said nothing" if response.thinking else "no text and no tool call"
        raise ModelUnavailable(
            self.name, "the model's answer is empty", where=self._origin.where,
            why=reasons.get(response.finish, silent),
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


def _encoded(body: JsonObject) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _read_rest(response: aiohttp.ClientResponse) -> None:
    """Take in the end of the body, which may come a moment behind the answer's: only then is the connection kept."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_REST_S):
            await response.content.readany()
