"""`clawd.ModelRouter`: the models of a configuration for any Python program, without a daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from clawd.config.loader import load_config
from clawd.config.problems import did_you_mean
from clawd.config.schema import Config
from clawd.embedded.asking import Ask, request_of
from clawd.embedded.background import Background, RouterClosed
from clawd.embedded.parsing import Answer, answer_of
from clawd.embedded.streaming import AnswerStream
from clawd.errors import NotFound
from clawd.models.base import collect
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from clawd.models.base import ModelEvent, ModelRequest
    from clawd.models.info import ModelInfo
    from clawd.models.registry import ModelSet
    from clawd.response import ModelResponse


# Without this, Python writes the warnings of libraries to standard error where a program sets up no logging.
logging.getLogger("clawd").addHandler(logging.NullHandler())


class ModelRouter:
    """Asks models: by name, by route, or the default route, with everything that the daemon has for them.

    Failing over, time-outs, breakers and budgets hold as the configuration says; what they know is kept in
    memory, for as long as the object lives. One object may be used from any number of threads and event loops
    at a time; they share its connections. It ends with `close`, with its `with` block, or with the interpreter.

    Args:
        config: A configuration file (the daemon's, or one with little more than `models:`), a `Config`, or None
            for the models that are found: keys in the environment, model servers on this host, the demo.
        environ: The environment that keys are read from; the process's own by default.

    Raises:
        ConfigError: the file can't be used; every mistake in it is named with its line.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Config | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._plugins = find_plugins()
        self._secrets: tuple[str, ...] = ()
        if isinstance(config, Config):
            self._config = config
        else:
            path = None if config is None else Path(config).expanduser()
            loaded = load_config(path, self._environ, self._plugins)
            self._config, self._secrets = loaded.config, loaded.secrets
        self._lock = threading.Lock()
        self._background: Background | None = None
        self._end: Callable[[], object] | None = None
        self._closed = False

    def invoke(self, **ask: Unpack[Ask]) -> Answer:
        """Return the complete answer; blocks until it is there.

        Raises:
            ModelError: one of its kinds: no model answered, a key was refused, a budget is spent …
            NotFound: there is no such model or route.
            RuntimeError: an event loop runs in this thread, which would stand still meanwhile.
        """
        if _in_loop():
            raise RuntimeError("invoke would block the event loop that runs here; use ainvoke")
        future = self._submit(request_of(ask))
        try:
            response = future.result()
        finally:
            future.cancel()  # of no effect on one that is done; on Ctrl-C it frees the socket
        return answer_of(response, ask.get("schema"))

    async def ainvoke(self, **ask: Unpack[Ask]) -> Answer:
        """Return the complete answer; cancelling it breaks the request off. Raises as `invoke` does."""
        future = self._submit(await _request_of(ask))
        return answer_of(await asyncio.wrap_future(future), ask.get("schema"))

    def stream(self, **ask: Unpack[Ask]) -> AnswerStream:
        """Return the answer as it comes: `async for text in router.stream(prompt="…")`.

        Errors come with the steps, and are those of `ainvoke`.
        """

        async def start(put: Callable[[ModelEvent | None], None]) -> Future[ModelResponse]:
            return self._submit(await _request_of(ask), put)

        return AnswerStream(start, ask.get("schema"))

    def models(self) -> tuple[ModelInfo, ...]:
        """Return what is known of every model: place, price, calls, errors, whether it is in service."""
        if _in_loop():
            raise RuntimeError("models would block the event loop that runs here; call it in a thread")

        async def infos(models: ModelSet) -> tuple[ModelInfo, ...]:
            return tuple(models.infos())

        return self._running().submit(infos).result()

    def close(self) -> None:
        """Break off what is under way and free connections; further calls are an error."""
        with self._lock:
            self._closed = True
            end, self._end = self._end, None
        if end is not None:
            end()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _submit(
        self, request: ModelRequest, put: Callable[[ModelEvent | None], None] | None = None
    ) -> Future[ModelResponse]:
        async def answer(models: ModelSet) -> ModelResponse:
            _check_names(request, models)
            return await collect(models.router, request, put)

        future = self._running().submit(answer)
        if put is not None:
            future.add_done_callback(lambda _: put(None))
        return future

    def _running(self) -> Background:
        with self._lock:
            if self._closed:
                raise RouterClosed("this ModelRouter is closed")
            if self._background is None or not self._background.usable:
                self._background = Background(
                    self._config, self._plugins.models, self._environ, self._secrets
                )
                # Also when the object is dropped, and when the interpreter ends.
                self._end = weakref.finalize(self, self._background.stop)
            return self._background


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _request_of(ask: Ask) -> ModelRequest:
    """Return the request without blocking the event loop: pictures may be files."""
    return await asyncio.to_thread(request_of, ask) if ask.get("images") else request_of(ask)


def _check_names(request: ModelRequest, models: ModelSet) -> None:
    """Raise NotFound for a route or a model that there is not; the daemon's own requests name none such."""
    if request.route not in models.routes:
        raise _no("route", request.route, models.routes)
    if request.pin is not None and request.pin not in models.names:
        raise _no("model", request.pin, models.names)


def _no(what: str, name: str, known: Iterable[str]) -> NotFound:
    hint = did_you_mean(name, known)
    return NotFound(f"there is no {what} {name!r}{hint}", why=f"known are {', '.join(known)}")
