"""The event loop's rounds, and the thread that tells what blocks them. Real loops and real threads."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from clawd.loop_lag import Round, RoundSelector, loop_with
from clawd.loop_watch import SUSPENDED, Look, LoopWatch, why
from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

LOOK_S = 0.05
PATIENCE_S = 20.0  # of what blocks, for a machine that is busy with other things


class Told(logging.Handler):
    """The events of the watch, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append((record.msg, record.__dict__))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]

    def blocks(self, function: str) -> list[dict[str, Any]]:
        """The blocks whose stack names a function; a busy machine may make others."""
        return [fields for fields in self.of("loop_blocked") if function in fields["stack"]]


@pytest.fixture
def told() -> Iterator[Told]:
    handler, logger = Told(), logging.getLogger("clawd.loop_watch")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def run_watched(main: Callable[[RoundSelector], Coroutine[Any, Any, None]]) -> Counts:
    """Run this in a watched loop of its own; return what was counted."""
    selector, counts = RoundSelector(LOOK_S), Counts()
    selector.count_into(counts)

    async def watched() -> None:
        with LoopWatch(selector, look_s=LOOK_S) as watch:
            watch.start()
            await main(selector)

    with asyncio.Runner(loop_factory=lambda: loop_with(selector)) as runner:
        runner.run(watched())
    return counts


def wait_for(
    holds: Callable[[], object], pause: Callable[[], None], *, patience_s: float = PATIENCE_S
) -> None:
    """Block the calling thread until this holds."""
    until = time.monotonic() + patience_s
    while not holds() and time.monotonic() < until:
        pause()


def sleeps_on_the_loop(told: Told) -> None:
    wait_for(lambda: told.blocks("sleeps_on_the_loop"), lambda: time.sleep(0.005))


def computes_on_the_loop(told: Told) -> None:
    wait_for(lambda: told.blocks("computes_on_the_loop"), lambda: None)


def test_a_sleep_on_the_loop_is_told_while_it_lasts_with_its_stack_and_its_task(told: Told) -> None:
    async def main(_: RoundSelector) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("turn:x-1-2")
        await asyncio.sleep(0)
        sleeps_on_the_loop(told)
        before = len(told.of("loop_came_back"))
        async with asyncio.timeout(PATIENCE_S):
            while len(told.of("loop_came_back")) == before:
                await asyncio.sleep(LOOK_S)

    counts = run_watched(main)
    blocked = told.blocks("sleeps_on_the_loop")[0]
    over = next(fields for fields in told.of("loop_came_back") if fields["after_s"] >= blocked["for_s"])
    assert (blocked["why"], blocked["task"], blocked["turn"]) == ("waits", "turn:x-1-2", "turn:x-1-2")
    assert over["turn"] == "turn:x-1-2"
    assert blocked["for_s"] >= LOOK_S
    assert counts.take_worst_lag() >= blocked["for_s"]


def test_a_loop_that_computes_is_told_so(told: Told) -> None:
    async def main(_: RoundSelector) -> None:
        await asyncio.sleep(0)
        computes_on_the_loop(told)

    run_watched(main)
    assert told.blocks("computes_on_the_loop")


def test_a_block_is_told_once_and_once_more_when_it_lasts(told: Told) -> None:
    def blocks() -> list[dict[str, Any]]:
        # A machine that starves the thread which looks makes it doubt, and then it tells no stack.
        return [
            fields
            for fields in told.of("loop_blocked")
            if fields["why"] == SUSPENDED or "lingers_on_the_loop" in fields["stack"]
        ]

    def lingers_on_the_loop() -> None:
        told.events.clear()
        wait_for(lambda: len(blocks()) >= 2, lambda: time.sleep(0.005))
        wait_for(lambda: len(blocks()) > 2, lambda: time.sleep(0.005), patience_s=6 * LOOK_S)
        lasting.extend(blocks())

    async def main(_: RoundSelector) -> None:
        await asyncio.sleep(0)
        lingers_on_the_loop()

    lasting: list[dict[str, Any]] = []
    run_watched(main)
    first, again = lasting
    assert again["for_s"] >= 10 * LOOK_S
    assert first["for_s"] < again["for_s"]


def test_native_code_that_holds_the_interpreter_is_named_as_soon_as_it_lets_go(told: Told) -> None:
    usleep = ctypes.PyDLL(None).usleep  # a PyDLL does not let go of the interpreter

    def holds_the_interpreter() -> None:
        usleep(500_000)

    async def main(selector: RoundSelector) -> None:
        await asyncio.sleep(0)
        holds_the_interpreter()
        async with asyncio.timeout(PATIENCE_S):
            while not told.blocks("holds_the_interpreter"):
                await asyncio.sleep(LOOK_S)

    counts = run_watched(main)
    blocked = told.blocks("holds_the_interpreter")[0]
    assert blocked["why"] == "native code holds the interpreter"
    assert blocked["stack"].splitlines()[-1].endswith("holds_the_interpreter")
    assert counts.take_worst_lag() >= 0.5


def test_the_thread_sleeps_while_the_loop_is_idle_and_wakes_with_it(told: Told) -> None:
    async def main(selector: RoundSelector) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        asleep = threading.Event()

        def outside() -> None:
            deadline = time.monotonic() + PATIENCE_S
            while selector.wake is None and time.monotonic() < deadline:
                time.sleep(LOOK_S)
            if selector.wake is not None:
                asleep.set()
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=outside)
        thread.start()
        await done.wait()
        assert asleep.is_set()
        assert selector.wake is None, "nobody woke it"
        sleeps_on_the_loop(told)  # at once: of one round a block is told once, with what stood there then
        thread.join()

    run_watched(main)
    assert told.blocks("sleeps_on_the_loop")


def test_every_round_is_counted_and_the_worst_is_kept() -> None:
    async def main(_: RoundSelector) -> None:
        for _number in range(100):
            await asyncio.sleep(0)
        wait_for(lambda: False, lambda: time.sleep(0.005), patience_s=0.03)
        await asyncio.sleep(0)

    counts = run_watched(main)
    assert sum(counts.lag_s.counts) >= 100
    assert counts.lag_s.total >= 0.03
    assert counts.take_worst_lag() >= 0.03
    assert counts.take_worst_lag() == 0.0


def look(*, late_s: float = 0.0, cpu_s: float = 0.0, switches: int = 1) -> Look:
    return Look(late_s=late_s, cpu_s=cpu_s, since_s=1.0 + late_s, switches=switches)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (look(), "waits"),
        (look(cpu_s=0.95), "computes"),
        (look(cpu_s=0.95, switches=190), "computes"),  # the loop computes: it lets go each 5 ms
        (look(late_s=30, switches=6000), "native code holds the interpreter"),
        (look(late_s=30, cpu_s=29, switches=6000), "native code holds the interpreter"),
        (look(late_s=30, cpu_s=29), "computes"),
        # The process stood still: nothing in it woke up meanwhile, neither did this thread.
        (look(late_s=3600), SUSPENDED),
        (look(late_s=3600, cpu_s=0.01, switches=5), SUSPENDED),
    ],
)
def test_a_process_that_stood_still_is_told_from_a_loop_that_is_blocked(seen: Look, said: str) -> None:
    assert why(seen, 1.0) == said


def test_a_round_that_was_over_before_anybody_could_look_is_told_without_a_stack(told: Told) -> None:
    selector = RoundSelector(1.0)
    watch = LoopWatch(selector, look_s=1.0)
    selector.long = Round(began=5.0, took_s=3.0)
    for _ in range(2):
        watch._judge(look(late_s=3.0, switches=600), at=9.0)
    selector.close()
    (blocked,), (over,) = told.of("loop_blocked"), told.of("loop_came_back")
    assert (blocked["for_s"], over["after_s"], blocked["stack"]) == (3.0, 3.0, "")
    assert blocked["why"] == "native code holds the interpreter"


def test_a_start_is_no_block(told: Told) -> None:
    selector = RoundSelector(LOOK_S)

    async def starts() -> None:
        with LoopWatch(selector, look_s=LOOK_S) as watch:
            wait_for(lambda: False, lambda: time.sleep(0.005), patience_s=5 * LOOK_S)
            watch.start()
            wait_for(lambda: False, lambda: time.sleep(0.005), patience_s=5 * LOOK_S)
            assert not told.of("loop_blocked")  # none but this round was watched yet
            await asyncio.sleep(LOOK_S)

    with asyncio.Runner(loop_factory=lambda: loop_with(selector)) as runner:
        runner.run(starts())
    # A busy machine may hold up a later round, but none for as long as the start took.
    assert not [fields for fields in told.of("loop_blocked") if fields["for_s"] >= 10 * LOOK_S]
