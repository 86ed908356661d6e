"""What it costs to pace, count and show the traffic of models: `python -m benchmarks.traffic [--runs N]`.

CPU time of this process, medians. A scrape has 50 models, each with all its histograms.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from benchmarks.table import table
from clawd.ids import SystemClock
from clawd.messages import Text
from clawd.models.base import (
    Completed,
    ModelEvent,
    ModelProvider,
    ModelRequest,
    TextDelta,
    UserMessage,
    collect,
)
from clawd.models.meters import model_families
from clawd.models.pacing import KeyPauses, Paced, PaceLimits
from clawd.models.states import BreakerState
from clawd.models.traffic import TrafficBook
from clawd.observability.metrics import Exposition, prepare
from clawd.response import ModelAttempt, ModelResponse, Usage

MODELS = [f"model-{number}" for number in range(50)]
REQUEST = ModelRequest(messages=(UserMessage((Text("hi"),)),), input_tokens=10)
ROUNDS = 5000


class Instant:
    """A model that answers at once."""

    name = "instant"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield TextDelta("ok")
        yield Completed(ModelResponse(model=self.name, text="ok"))


def attempt(model: str) -> ModelAttempt:
    """Return a good attempt as a router counts it."""
    usage = Usage(input_tokens=100, output_tokens=50, cached_tokens=10)
    return ModelAttempt(
        model=model, outcome="ok", duration_s=2.0, first_token_s=0.5, usage=usage, cost_usd=0.01
    )


async def cost_us(work: Callable[[], Awaitable[object]]) -> float:
    """Return the CPU microseconds of one call, of many."""
    begun = time.process_time()
    for _ in range(ROUNDS):
        await work()
    return (time.process_time() - begun) / ROUNDS * 1e6


async def pacing_us(limits: PaceLimits) -> float:
    """Return what a wrapper with these limits, of which nobody waits, adds to a call."""
    clock, bare = SystemClock(), Instant()
    paced: ModelProvider = Paced(bare, limits, KeyPauses(clock), "key", clock)
    plain = await cost_us(lambda: collect(bare, REQUEST))
    return await cost_us(lambda: collect(paced, REQUEST)) - plain


def filled() -> TrafficBook:
    """Return a book in which every model's samples are full."""
    book = TrafficBook(SystemClock())
    for model in MODELS:
        for _ in range(300):
            book.attempt(attempt(model))
    return book


async def counting_us(book: TrafficBook) -> float:
    """Return what one attempt costs to count."""
    one = attempt(MODELS[0])

    async def count() -> None:
        book.attempt(one)

    return await cost_us(count)


def viewing_ms(book: TrafficBook) -> float:
    """Return what it costs to view all models, as a status does."""
    begun = time.process_time()
    for model in MODELS:
        book.view(model)
    return (time.process_time() - begun) * 1e3


def scrape_ms(book: TrafficBook, exposition: Exposition) -> float:
    """Return what a scrape costs."""
    begun = time.process_time()
    exposition.text(model_families({model: BreakerState() for model in MODELS}, book))
    return (time.process_time() - begun) * 1e3


async def measure(runs: int) -> list[tuple[str, float, float]]:
    """Return what is measured, the medians, and what is to be reached."""
    prepare()
    book, exposition = filled(), Exposition()
    scrape_ms(book, exposition)
    limits = PaceLimits(concurrency=8, requests_per_min=10**6, tokens_per_min=10**9)
    samples = [
        (
            await pacing_us(PaceLimits()),
            await pacing_us(limits),
            await counting_us(book),
            viewing_ms(book),
            scrape_ms(book, Exposition()),
            scrape_ms(book, exposition),
        )
        for _ in range(runs)
    ]
    names = (
        ("a call through a pace without limits (µs)", 10),
        ("a call through a pace with all limits (µs)", 50),
        ("an attempt counted (µs)", 20),
        ("50 models viewed (ms)", 5),
        ("the first scrape, 50 models (ms)", 20),
        ("each scrape after it (ms)", 5),
    )
    medians = (statistics.median(column) for column in zip(*samples, strict=True))
    return [(name, median, reach) for (name, reach), median in zip(names, medians, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    rows = asyncio.run(measure(options.runs))
    print(table(["CPU, medians", "measured", "reach"], rows))


if __name__ == "__main__":
    main()
