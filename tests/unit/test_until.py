"""Work that an event may end: neither the event nor a cancellation is ever lost."""

from __future__ import annotations

import asyncio

import pytest

from clawd.until import Interrupted, until


async def stubborn(says: str | Exception) -> str:
    """Answer the cancellation with a value or an error."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if isinstance(says, Exception):
            raise says from None
        return says
    return "never"


@pytest.mark.parametrize("says", ["a value", KeyError("an error")])
async def test_a_cancellation_from_outside_counts_more_than_what_the_work_says(says: str | Exception) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(until(asyncio.Event(), stubborn(says)))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def test_an_error_in_answer_to_the_event_is_the_event() -> None:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_kind(event, stubborn(KeyError("x"))))
        for _ in range(3):
            await asyncio.sleep(0)
        event.set()
        assert await task == "interrupted"


async def _kind(event: asyncio.Event, work: object) -> str:
    try:
        return await until(event, work)  # type: ignore[arg-type] # a coroutine
    except Interrupted:
        return "interrupted"


async def test_a_value_in_answer_to_the_event_is_kept() -> None:
    event = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_kind(event, stubborn("a value")))
        for _ in range(3):
            await asyncio.sleep(0)
        event.set()
        assert await task == "a value"


async def test_the_owner_of_the_work_can_be_cancelled_after_an_interruption() -> None:
    """An error inside a TaskGroup that is ending leaves its owner counted as cancelled (Python 3.11)."""
    event = asyncio.Event()
    event_task = asyncio.current_task()
    assert event_task is not None

    async def set_soon() -> None:
        await asyncio.sleep(0)
        event.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(set_soon())
        with pytest.raises(Interrupted):
            await until(event, stubborn(KeyError("x")))
        assert event_task.cancelling() == 0
