"""The event loop's rounds, and the thread that tells what blocks them. Real loops and real threads."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from clawd.loop_lag import RoundSelector, loop_with
from clawd.loop_watch import STACKS_FILE, SUSPENDED, Look, LoopWatch, why
from clawd.observability.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

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


@pytest.fixture
def told() -> Iterator[Told]:
    handler, logger = Told(), logging.getLogger("clawd.loop_watch")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def run_watched(main: Callable[[RoundSelector], Coroutine[Any, Any, None]], folder: Path) -> Counts:
    """Run this in a watched loop of its own; return what was counted."""
    selector, counts = RoundSelector(LOOK_S), Counts()
    selector.count_into(counts)

    async def watched() -> None:
        with LoopWatch(selector, folder, look_s=LOOK_S):
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


def sleeps_on_the_loop(told: Told, times: int = 1) -> None:
    wait_for(lambda: len(told.of("loop_blocked")) >= times, lambda: time.sleep(0.005))


def computes_on_the_loop(told: Told) -> None:
    wait_for(lambda: told.of("loop_blocked"), lambda: None)


def test_a_sleep_on_the_loop_is_told_while_it_lasts_with_its_stack_and_its_task(
    told: Told, tmp_path: Path
) -> None:
    async def main(_: RoundSelector) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("turn:x-1-2")
        await asyncio.sleep(0)
        sleeps_on_the_loop(told)
        assert not told.of("loop_came_back")
        async with asyncio.timeout(PATIENCE_S):
            while not told.of("loop_came_back"):
                await asyncio.sleep(LOOK_S)

    counts = run_watched(main, tmp_path)
    (blocked,), (over,) = told.of("loop_blocked"), told.of("loop_came_back")
    assert (blocked["why"], blocked["task"], blocked["turn"]) == ("waits", "turn:x-1-2", "turn:x-1-2")
    assert over["turn"] == "turn:x-1-2"
    assert "in sleeps_on_the_loop" in blocked["stack"]
    assert over["after_s"] >= blocked["for_s"] >= LOOK_S
    assert counts.take_worst_lag() >= blocked["for_s"]


def test_a_loop_that_computes_is_told_so(told: Told, tmp_path: Path) -> None:
    async def main(_: RoundSelector) -> None:
        await asyncio.sleep(0)
        computes_on_the_loop(told)

    run_watched(main, tmp_path)
    (blocked,) = told.of("loop_blocked")
    assert "in computes_on_the_loop" in blocked["stack"]


def test_a_block_is_told_once_and_once_more_when_it_lasts(told: Told, tmp_path: Path) -> None:
    async def main(_: RoundSelector) -> None:
        await asyncio.sleep(0)
        sleeps_on_the_loop(told, times=2)

    run_watched(main, tmp_path)
    first, again = told.of("loop_blocked")
    assert again["for_s"] >= 10 * LOOK_S
    assert first["for_s"] < again["for_s"]


def test_native_code_that_holds_the_interpreter_is_named_by_the_written_stacks(
    told: Told, tmp_path: Path
) -> None:
    usleep = ctypes.PyDLL(None).usleep  # a PyDLL does not let go of the interpreter

    def holds_the_interpreter() -> None:
        usleep(700_000)

    async def main(selector: RoundSelector) -> None:
        await asyncio.sleep(0)
        holds_the_interpreter()
        async with asyncio.timeout(PATIENCE_S):
            while not told.of("loop_came_back"):
                await asyncio.sleep(LOOK_S)

    counts = run_watched(main, tmp_path)
    (blocked,) = told.of("loop_blocked")
    assert blocked["why"] == "native code holds the interpreter"
    assert "in holds_the_interpreter" in blocked["stack"].split("\n\n")[0]
    assert counts.take_worst_lag() >= 0.7


def test_stacks_that_an_ended_process_left_are_logged_by_the_next(told: Told, tmp_path: Path) -> None:
    (tmp_path / STACKS_FILE).write_text(
        "Timeout!\nThread 0x1:\n  File x\n\nThread 0x0:\n  File y, in main_one\n"
    )

    async def main(_: RoundSelector) -> None:
        (left,) = told.of("loop_was_blocked")
        assert left["stacks"].startswith("Thread 0x0")
        assert (tmp_path / STACKS_FILE).stat().st_size == 0

    run_watched(main, tmp_path)
    assert not (tmp_path / STACKS_FILE).exists()


def test_without_a_folder_for_stacks_the_rest_works(told: Told, tmp_path: Path) -> None:
    async def main(_: RoundSelector) -> None:
        await asyncio.sleep(0)
        sleeps_on_the_loop(told)

    run_watched(main, tmp_path / "nowhere")
    assert [event for event, _ in told.events][:2] == ["no_stacks_file", "loop_blocked"]


def test_the_thread_sleeps_while_the_loop_is_idle_and_wakes_with_it(told: Told, tmp_path: Path) -> None:
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
        thread.join()
        assert asleep.is_set()
        assert selector.wake is None, "nobody woke it"
        sleeps_on_the_loop(told)

    run_watched(main, tmp_path)
    assert told.of("loop_blocked")


def test_every_round_is_counted_and_the_worst_is_kept(tmp_path: Path) -> None:
    async def main(_: RoundSelector) -> None:
        for _number in range(100):
            await asyncio.sleep(0)
        wait_for(lambda: False, lambda: time.sleep(0.005), patience_s=0.03)
        await asyncio.sleep(0)

    counts = run_watched(main, tmp_path)
    assert sum(counts.lag_s.counts) >= 100
    assert counts.lag_s.total >= 0.03
    assert counts.take_worst_lag() >= 0.03
    assert counts.take_worst_lag() == 0.0


def look(*, late_s: float = 0.0, cpu_s: float = 0.0, dumped_ago_s: float | None = None) -> Look:
    return Look(late_s=late_s, cpu_s=cpu_s, since_s=1.0 + late_s, dumped_ago_s=dumped_ago_s)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (look(), "waits"),
        (look(cpu_s=0.95), "computes"),
        (look(late_s=30, dumped_ago_s=28), "native code holds the interpreter"),
        (look(late_s=30, cpu_s=29, dumped_ago_s=28), "native code holds the interpreter"),
        (look(late_s=30, cpu_s=29), "computes"),
        # The process stood still: the timer of the stacks went off when it moved again, as the look did.
        (look(late_s=3600, dumped_ago_s=0.002), SUSPENDED),
        (look(late_s=3600, cpu_s=0.01), SUSPENDED),
    ],
)
def test_a_process_that_stood_still_is_told_from_a_loop_that_is_blocked(seen: Look, said: str) -> None:
    assert why(seen, 1.0) == said
