"""The provider of model type `local`: one child process, one request at a time, gone when idle."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.config.base import Secret
from clawd.config.schema import NetworkConfig
from clawd.errors import ContextTooLong, ModelUnavailable
from clawd.messages import Text
from clawd.models.base import ModelRequest, Progress, SystemMessage, UserMessage
from clawd.models.chat import PLUGIN as CHAT
from clawd.models.chat_config import ChatConfig
from clawd.models.history import fit
from clawd.models.local_config import INSTALL_ENGINE, bundled_model, missing_parts
from clawd.models.local_server import LocalServer, start_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ManagedProvider, ModelContext, ModelEvent
    from clawd.models.local_config import LocalConfig

log = logging.getLogger(__name__)

# The bundled model follows one short sentence and is lost in a longer one.
_BUNDLED_SYSTEM: Final = SystemMessage("You are a helpful assistant. Answer briefly.")
_BUNDLED_BYTES: Final = 3000  # of history: reading more takes a small computer ten seconds and gains nothing
_BYTES_PER_TOKEN: Final = 3  # a guess; llama.cpp refuses what is too long, and then half is sent
_TRIES: Final = 4
_NEWS_S: Final = 0.3


class LocalProvider:
    """See `ModelProvider`, `ManagedProvider` and `RunningProvider` for what its methods promise.

    The child starts with the first request, serves one request at a time (small computers are slower
    with two), and is ended by `run` when nothing was asked for `idle_s`.
    """

    def __init__(self, context: ModelContext, config: LocalConfig) -> None:
        self.name = config.name
        self.bundled = config.path is None
        self.model = (
            Path(config.path).stem if config.path else "SmolLM2-135M (bundled, for trying things out)"
        )
        self.place = "this computer"
        self.offers_tools = config.tools
        self._context = context
        self._config = config
        self._one = asyncio.Lock()  # one request, or one stop, at a time; hence one start
        self._server: LocalServer | None = None
        self._client: ManagedProvider | None = None
        self._started = asyncio.Event()
        self._idle_at = 0.0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._server.pid if self._server else None

    @property
    def _runs(self) -> bool:
        return self._server is not None and not self._server.ended

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        async with self._one:
            try:
                if not self._runs:
                    # A large file loads for longer than a token may take: a standby that answered meanwhile would
                    # end the child each time, and it would never get to work.
                    yield Progress("keepalive")
                client = await self._ready()
                async with aclosing(self._asked(client, request)) as events:
                    async for event in events:
                        yield event
            except ModelUnavailable as error:
                raise await self._why(error) from error
            finally:
                self._idle_at = self._context.clock.monotonic() + self._config.idle_s

    async def _asked(
        self, client: ManagedProvider, request: ModelRequest
    ) -> AsyncGenerator[ModelEvent, None]:
        """Yield the answer to as much of the request as the context takes."""
        max_bytes = self._max_bytes(request)
        tries = 0
        while True:
            tries += 1
            try:
                async with aclosing(client.stream(self._fitted(request, max_bytes))) as events:
                    async for event in events:
                        yield event
            except ContextTooLong:  # refused before the first token, so nothing was shown
                if tries == _TRIES:
                    raise
                max_bytes //= 2
            else:
                return

    async def probe(self) -> str:
        clock = self._context.clock
        begun = clock.monotonic()
        question = ModelRequest(messages=(UserMessage((Text("Say ok."),)),), max_tokens=4)
        async with aclosing(self.stream(question)) as events:
            async for event in events:
                if event != Progress("keepalive"):  # it starts, which proves nothing
                    break
        return f"{self.model} on {self.place} answered after {clock.monotonic() - begun:.2f} s"

    async def run(self) -> None:
        clock = self._context.clock
        while True:
            await self._started.wait()
            if (rest := self._idle_at - clock.monotonic()) > 0:
                await clock.sleep(rest)
                continue
            async with self._one:
                if clock.monotonic() >= self._idle_at:
                    log.info("local_model_idle", extra={"model": self.name})
                    await self._stop()

    async def close(self) -> None:
        self._closed = True
        await self._stop()

    async def _ready(self) -> ManagedProvider:
        """Return the client of a child that runs; starts one when there is none."""
        self._check_open()
        if self._client is not None and self._runs:
            return self._client
        await self._stop()
        path = await asyncio.to_thread(self._file)
        server = await start_server(self._config, path, self._context.environ)
        try:
            self._check_open()  # `close` does not wait for a start
        except ModelUnavailable:
            await server.kill()
            raise
        log.info("local_model_started", extra={"model": self.name, "pid": server.pid})
        self._server, self._client = (
            server,
            CHAT.create(replace(self._context, network=NetworkConfig()), self._wire(server)),
        )
        self._idle_at = self._context.clock.monotonic() + self._config.idle_s
        self._started.set()
        return self._client

    def _check_open(self) -> None:
        if self._closed:
            raise ModelUnavailable(self.name, "the model is closed", transient=False)

    async def _stop(self) -> None:
        server, client = self._server, self._client
        self._server = self._client = None
        self._started.clear()
        try:
            if client is not None:
                await client.close()
        finally:  # also when cancelled: nobody else knows this child any more
            if server is not None:
                await server.kill()

    def _file(self) -> Path:
        """Return the file to run, or raise with the commands that install what is missing."""
        if missing := missing_parts(self._config.path):
            what = (
                "the local engine is not installed"
                if INSTALL_ENGINE in missing
                else "the bundled model is not installed"
            )
            raise ModelUnavailable(self.name, what, remedy=" && ".join(missing), transient=False)
        path = Path(self._config.path).expanduser() if self._config.path else bundled_model()
        if path is None or not path.is_file():
            raise ModelUnavailable(
                self.name,
                "there is no such model file",
                where=str(path),
                remedy="check path",
                transient=False,
            )
        return path

    def _wire(self, server: LocalServer) -> ChatConfig:
        config = self._config
        return ChatConfig(
            name=config.name,
            type="chat",
            base_url=f"http://127.0.0.1:{server.port}/v1",
            api_key=Secret(server.api_key, "made for this child"),
            model=self.name,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            first_token_timeout_s=config.first_token_timeout_s,
        )

    def _max_bytes(self, request: ModelRequest) -> int:
        answer = request.max_tokens or self._config.max_tokens
        room = max(64, self._config.context - answer) * _BYTES_PER_TOKEN
        return min(room, _BUNDLED_BYTES) if self.bundled else room

    def _fitted(self, request: ModelRequest, max_bytes: int) -> ModelRequest:
        messages = request.messages
        if self.bundled:
            messages = (_BUNDLED_SYSTEM, *(m for m in messages if not isinstance(m, SystemMessage)))
        return replace(request, messages=fit(messages, max_bytes))

    async def _why(self, error: ModelUnavailable) -> ModelUnavailable:
        """Return the error that names the child's end, if that is what broke the request."""
        # A connection breaks a moment before the news of the child's end gets here.
        if self._server is None or not (ended := await self._server.ended_within(_NEWS_S)):
            return error
        await self._stop()
        return ModelUnavailable(
            self.name, "the local model broke down", why=ended, remedy="check the free memory"
        )
