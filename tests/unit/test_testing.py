from __future__ import annotations

import asyncio

from clawd.testing import ManualClock


async def test_sleepers_wake_in_the_order_of_their_time_and_see_it() -> None:
    clock = ManualClock()
    began = clock.monotonic()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic() - began))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 20.0), ("soon", 5.0), ("never", 1000.0), ("same", 5.0)):
            group.create_task(sleep(name, seconds))
        await clock.sleeping(4)
        await clock.advance(60)
        assert woken == [("soon", 5.0), ("same", 5.0), ("late", 20.0)]
        assert clock.sleepers == 1
        await clock.advance(940)
    assert woken[-1] == ("never", 1000.0)


async def test_a_sleeper_that_sleeps_again_wakes_within_the_same_advance() -> None:
    clock = ManualClock()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await clock.sleep(10)
            ticks += 1

    async with asyncio.TaskGroup() as group:
        task = group.create_task(tick())
        await clock.sleeping()
        await clock.advance(100)
        task.cancel()
    assert ticks == 10


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(clock.sleep(10))
        await clock.sleeping()
        task.cancel()
    assert clock.sleepers == 0
    await clock.advance(10)


async def test_the_wall_moves_with_the_clock_and_jumps_alone() -> None:
    clock = ManualClock()
    wall, monotonic = clock.now(), clock.monotonic()
    await clock.advance(60)
    clock.jump(-3600)
    assert (clock.now() - wall).total_seconds() == 60 - 3600
    assert clock.monotonic() - monotonic == 60
