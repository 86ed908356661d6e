"""Sends what ended to a collector, behind the work and never in its way. docs/tracing.md says what is promised.

The journal is the queue: how far it was told is kept there, and a collector that is away is waited for with one
batch in memory. Nothing here runs, and nothing of the extra `otel` is imported, where no collector is set.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clawd.errors import JournalError
from clawd.tracing.settings import read_settings
from clawd.until import Interrupted, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from clawd.config.otel import OtelConfig
    from clawd.config.schema import NetworkConfig
    from clawd.ids import Clock
    from clawd.journal.ended import EndedRows
    from clawd.journal.story import Story
    from clawd.models.info import ModelInfo
    from clawd.observability.counts import Counts
    from clawd.observability.redact import Redactor
    from clawd.tracing.batch import Batch, Batches, Place
    from clawd.tracing.collector import Answer
    from clawd.tracing.settings import Settings
    from clawd.tracing.spans import SentSpan
    from clawd.tracing.telling import Surroundings

log = logging.getLogger(__name__)

GATHER_S: Final = 1.0
"""So long what ends is gathered, so that a request carries many turns."""
KEEP_S: Final = 30.0
"""The place is written that often at most: what is told twice after a crash has the same ids."""
FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 300.0
"""Between two requests to a collector that is away."""
ODD_TRIES: Final = 5
"""So often what a collector answers oddly, such as with HTTP 500, is sent."""


class Traces:
    """The service.

    Args:
        ended: Tells what ended, and keeps the place.
        story: Reads a turn or a delivery by its id; raises NotFound.
        clock: For pauses, and for the age of what ended.
        environ: The standard variables of OpenTelemetry.
        redactor: Cleans all text that leaves.
        models: Tells the models in force.
        tools: Tells the names of the tools that there are.
        counts: Counts spans.
        chance: Returns a number of 0 to 1, for jitter.
    """

    def __init__(
        self,
        ended: EndedRows,
        story: Callable[[str], Awaitable[Story]],
        clock: Clock,
        *,
        environ: Mapping[str, str],
        redactor: Redactor,
        models: Callable[[], Sequence[ModelInfo]],
        tools: Callable[[], Collection[str]],
        counts: Counts,
        chance: Callable[[], float],
    ) -> None:
        self._ended = ended
        self._story = story
        self._batches: Batches | None = None
        self._clock = clock
        self._environ = environ
        self._redactor = redactor
        self._models = models
        self._tools = tools
        self._counts = counts.spans
        self._chance = chance
        self._settings: Settings | None = None
        self._hindrance = ""
        self._configured = False
        self._stirred = asyncio.Event()
        self._interrupt = asyncio.Event()  # ends pauses: other settings, or the end
        self._draining = False
        self._placing = asyncio.Lock()
        self._place: Place | None = None
        self._kept: Place | None = None
        self._kept_at: float | None = None
        self._down = False
        self._refused = False

    # --- what others call ---------------------------------------------------------------------------------

    async def configure(self, config: OtelConfig | None, network: NetworkConfig) -> None:
        """Send there from now on, or nothing; what ended before it was first so is not told."""
        settings, hindrance = read_settings(config, self._environ, network, instance=self._ended.instance)
        if hindrance and hindrance != self._hindrance:
            log.warning("traces_off", extra={"why": hindrance})
        self._hindrance = hindrance
        if settings == self._settings and self._configured:
            return
        self._configured = True
        self._settings = settings
        if settings is not None:
            self._redactor.add(settings.headers.values())
            log.info("traces_on", extra={"collector": settings.place, "content": settings.content})
        self._down = self._refused = False
        self._interrupt.set()
        self._stirred.set()
        with suppress(JournalError, sqlite3.Error):  # else it is read when something ends
            if settings is None:
                await self._forget()
            else:
                await self._begin()

    def stir(self) -> None:
        """Something ended: tell it soon. Cheap, and safe to call often."""
        if self._settings is not None:
            self._stirred.set()

    def drain(self) -> None:
        """Tell what is there, once, and end; what a collector does not take now is told after the next start."""
        self._draining = True
        self._stirred.set()
        self._interrupt.set()

    # --- the service --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell what ends until drained; run again after a bug, it goes on behind what it broke off at."""
        self._stirred.set()
        try:
            while not self._draining:
                await self._stirred.wait()
                self._stirred.clear()
                if self._settings is not None:
                    await self._pause(GATHER_S)
                    await self._catch_up()
            if self._settings is not None and not self._down:
                await self._catch_up()
        finally:
            self._keep(at_once=True)

    async def _catch_up(self) -> None:
        """Tell all that has ended so far."""
        try:
            # What else ends meanwhile stirs anew.
            while (settings := self._settings) is not None:
                place = await self._begin()
                batch = await self._read().after(place, self._around(settings))
                if batch is None or not await self._send(batch, settings) or self._settings is not settings:
                    return
                if batch.given_up:
                    self._counts.add("given_up", by=batch.given_up)
                    log.warning("traces_given_up", extra={"count": batch.given_up})
                self._place = batch.place
                self._read().sent()
                self._keep()
        except (JournalError, sqlite3.Error) as error:
            log.warning("traces_put_off", extra={"error": str(error)})

    # What only a daemon that sends spans needs is imported when it does: it is a quarter of a megabyte.

    def _read(self) -> Batches:
        from clawd.tracing.batch import Batches

        if self._batches is None:
            self._batches = Batches(self._ended, self._story, self._clock)
        return self._batches

    async def _begin(self) -> Place:
        """Return how far it has got; at first where an earlier run was, without one where the journal ends now."""
        from clawd.tracing.batch import Place

        async with self._placing:
            if self._place is None:
                kept, last = Place.parse(await self._ended.place()), await self._ended.last()
                if kept is not None:
                    self._kept = kept
                    self._place = replace(kept, id=min(kept.id, last))  # a restored journal may end before it
                else:
                    self._place = self._kept = Place(id=last)
                    self._kept_at = self._clock.monotonic()
                    self._ended.keep(self._place.to_text())
            return self._place

    async def _forget(self) -> None:
        """Forget the place: what happens while nothing is to be sent is not told later either."""
        async with self._placing:
            self._place = self._kept = None
            if await self._ended.place():
                await self._ended.forget()

    def _keep(self, *, at_once: bool = False) -> None:
        now = self._clock.monotonic()
        if self._place is None or self._place == self._kept:
            return
        if at_once or self._kept_at is None or now - self._kept_at >= KEEP_S:
            with suppress(JournalError):
                self._ended.keep(self._place.to_text())
                self._kept, self._kept_at = self._place, now

    def _around(self, settings: Settings) -> Surroundings:
        from clawd.tracing.telling import Surroundings, facts_of
        from clawd.tracing.wording import Wording

        return Surroundings(
            models=facts_of(self._models()),
            tools=frozenset(self._tools()),
            wording=Wording(self._redactor, settings.content),
        )

    async def _pause(self, seconds: float) -> bool:
        """Return after a pause whether it was whole: other settings, and the end, cut it."""
        self._interrupt.clear()
        if self._draining:
            return False
        try:
            await until(self._interrupt, self._clock.sleep(seconds))
        except Interrupted:
            return False
        return True

    # --- one batch ----------------------------------------------------------------------------------------

    async def _send(self, batch: Batch, settings: Settings) -> bool:
        """Return whether all of it is settled; False when other settings, or the end, came first."""
        delay_s, odd = FIRST_DELAY_S, 0
        while batch.parts:
            if self._settings is not settings:
                return False
            spans = batch.parts[0]
            answer = await self._post(spans, settings)
            odd = odd + 1 if answer.outcome == "odd" else 0
            if answer.outcome == "taken":
                await self._taken(spans, answer, settings)
                delay_s = FIRST_DELAY_S
            elif answer.outcome == "large" and batch.split():
                continue
            elif answer.outcome in {"large", "unfit"} or odd >= ODD_TRIES:
                odd = 0
                self._reject(len(spans), answer.why, settings)
            else:
                if not self._down:
                    self._down = True
                    log.warning(
                        "traces_collector_away", extra={"collector": settings.place, "why": answer.why}
                    )
                wait_s = min(max(delay_s, answer.retry_after_s), MAX_DELAY_S)
                if not await self._pause(wait_s * (1 + 0.2 * self._chance())):
                    return False
                delay_s = min(delay_s * 2, MAX_DELAY_S)
                continue
            del batch.parts[0]
        return True

    async def _post(self, spans: Sequence[SentSpan], settings: Settings) -> Answer:
        from clawd.tracing.collector import post

        def body() -> bytes:
            from clawd.tracing.encoding import encode  # the extra `otel`, and in a thread: it takes a while

            return encode(spans, settings.resource)

        return await post(settings, await asyncio.to_thread(body), self._clock.now())

    async def _taken(self, spans: Sequence[SentSpan], answer: Answer, settings: Settings) -> None:
        from clawd.tracing.collector import MAX_ANSWER
        from clawd.tracing.encoding import refused_of

        refused, why = refused_of(answer.body) if len(answer.body) < MAX_ANSWER else (0, "")
        refused = min(max(refused, 0), len(spans))
        if refused:
            self._reject(refused, self._redactor.clean(why[:200]), settings)
        else:
            self._refused = False
        self._counts.add("sent", by=len(spans) - refused)
        if self._down:
            self._down = False
            log.info("traces_collector_back", extra={"collector": settings.place})

    def _reject(self, count: int, why: str, settings: Settings) -> None:
        self._counts.add("rejected", by=count)
        if not self._refused:
            self._refused = True
            log.warning("traces_rejected", extra={"collector": settings.place, "count": count, "why": why})
