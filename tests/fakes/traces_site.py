"""The service that tells a collector, over a real journal with a clock that stands still."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from clawd.config.otel import OtelConfig
from clawd.config.schema import NetworkConfig
from clawd.models.info import ModelInfo
from clawd.observability.counts import Counts
from clawd.observability.redact import Redactor
from clawd.tracing.service import GATHER_S, Traces
from tests.fakes.rich_journal import bench_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from clawd.journal.opening import OpenJournal

SECRET = "very-secret-value"
MODELS = [
    ModelInfo(
        name="m", type="chat", model="m-large", place="https://api.deepseek.com/v1", found="config", routes=()
    )
]


class Site:
    """The service over a journal."""

    def __init__(self, opened: OpenJournal, environ: Mapping[str, str] | None = None) -> None:
        self.opened = opened
        self.counts = Counts()
        self.clock = bench_of(opened).clock
        self.traces = Traces(
            opened.ended,
            opened.views.story,
            self.clock,
            environ=environ or {},
            redactor=Redactor([SECRET]),
            models=lambda: MODELS,
            tools=lambda: ("t",),
            counts=self.counts,
            chance=lambda: 0.0,
        )
        self.counts.ended = self.traces.stir
        self.task: asyncio.Task[None] | None = None

    async def drained(self) -> None:
        """Let it end by itself: all that a collector took is settled then."""
        self.traces.drain()
        assert self.task is not None
        await asyncio.wait({self.task})

    async def configure(self, url: str | None, *, content: bool = False) -> None:
        config = OtelConfig(endpoint=url, content=content) if url is not None else None
        await self.traces.configure(config, NetworkConfig())

    async def gathered(self) -> None:
        """Let the time to gather pass."""
        self.traces.stir()
        await self.clock.sleeping()
        await self.clock.advance(GATHER_S)

    def counted(self) -> dict[str, float]:
        return {outcome: number for (outcome,), number in self.counts.spans.numbers().items() if number}


@asynccontextmanager
async def at_work(
    opened: OpenJournal, url: str | None, *, content: bool = False, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    site = Site(opened, environ)
    await site.configure(url, content=content)
    async with asyncio.TaskGroup() as tasks:
        site.task = tasks.create_task(site.traces.run())
        yield site
        site.task.cancel()
