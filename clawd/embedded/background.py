"""The models in an event loop of their own, in a thread that callers of any kind share."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from clawd import __version__
from clawd.errors import ClawdError
from clawd.ids import SystemClock
from clawd.models.base import ModelContext
from clawd.models.budgets import BudgetLedger, day_limits
from clawd.models.registry import build_models
from clawd.observability.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from clawd.config.schema import Config
    from clawd.models.base import ModelPlugin
    from clawd.models.registry import ModelSet

T = TypeVar("T")

STOP_S: Final = 10.0
"""How long a stop waits for connections and children to end."""


class RouterClosed(ClawdError):
    """The `ModelRouter` was closed, before the call or during it."""

    code = "E-CLOSED"


class Background:
    """A thread with the models; a call is owned by its future, which whoever made it waits for or cancels.

    It is a daemon thread, as threads that are not would keep the interpreter from ending; `stop` ends it.
    """

    def __init__(
        self,
        config: Config,
        plugins: Mapping[str, ModelPlugin[Any]],
        environ: Mapping[str, str],
        secrets: Iterable[str] = (),
    ) -> None:
        self._config = config
        self._plugins = plugins
        self._environ = environ
        self._redactor = Redactor(secrets)
        self._loop = asyncio.new_event_loop()
        self._built = asyncio.Event()
        self._stopping = asyncio.Event()
        self._models: ModelSet | None = None
        self._failure: Exception | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="clawd-models", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """False in a child of the process that made it: a fork copies no threads."""
        return self._pid == os.getpid()

    def submit(self, work: Callable[[ModelSet], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start a call with the models; its errors are the future's. Raises RouterClosed."""
        call = self._call(work)
        try:
            return asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError as error:  # the loop was closed just now
            call.close()
            raise _closed() from error

    def stop(self) -> None:
        """Break off what is under way, close the models and wait for the thread's end; again: nothing."""
        if not self.usable or self._loop.is_closed():
            return
        try:
            self._loop.call_soon_threadsafe(self._stopping.set)
        except RuntimeError:  # it was closed just now
            return
        if threading.current_thread() is not self._thread:  # a finalizer may run in any thread
            self._thread.join(STOP_S)

    async def _call(self, work: Callable[[ModelSet], Coroutine[Any, Any, T]]) -> T:
        try:
            await self._built.wait()
            if self._failure is not None:
                raise self._failure
            if self._models is None or self._stopping.is_set():
                raise _closed()
            return await work(self._models)
        except asyncio.CancelledError:
            if self._stopping.is_set():
                raise _closed() from None
            raise

    def _run(self) -> None:
        # Not asyncio.run: it ends its threads by one more thread, which can't be started once the interpreter ends.
        with ThreadPoolExecutor(thread_name_prefix="clawd-models") as lookups:
            self._loop.set_default_executor(lookups)
            try:
                self._loop.run_until_complete(self._live())
            finally:
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.close()

    async def _live(self) -> None:
        try:
            clock = SystemClock()
            context = ModelContext(
                network=self._config.network,
                limits=self._config.breaker,
                clock=clock,
                version=__version__,
                environ=self._environ,
                redactor=self._redactor,
            )
            ledger = BudgetLedger(self._config.budgets, day_limits(self._config.models), clock)
            self._models = await build_models(self._config, self._plugins, context, ledger=ledger)
            self._built.set()
            async with asyncio.TaskGroup() as tasks:
                upkeep = tasks.create_task(self._models.run(), name="models")
                await self._stopping.wait()
                upkeep.cancel()
        except Exception as error:  # noqa: BLE001 - whoever asks is told, in the thread that asks
            self._failure = error
            self._built.set()
            await self._stopping.wait()
        finally:
            self._stopping.set()
            self._built.set()
            await _break_off()
            if self._models is not None:
                await self._models.close()


async def _break_off() -> None:
    """End the calls that are under way; all other tasks of this loop are such."""
    calls = asyncio.all_tasks() - {asyncio.current_task()}
    for call in calls:
        call.cancel()
    if calls:
        await asyncio.wait(calls)


def _closed() -> RouterClosed:
    return RouterClosed("this ModelRouter is closed")
