"""A step under a box: it ends by itself, by a stop, or by a cancellation, and never by a mixture."""

from __future__ import annotations

import asyncio

import pytest

from clawd.agent.mailbox import Box, Mailbox, Stopped
from clawd.errors import ToolFailed
from tests.fakes.inner import message
from tests.unit.agent.leases import lease


async def forever(on_cancel: BaseException | None = None) -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if on_cancel is not None:
            raise on_cancel from None
        raise
    return "never"


async def value() -> str:
    return "done"


async def error(what: Exception) -> str:
    await asyncio.sleep(0)
    raise what


async def test_work_that_is_done_is_returned() -> None:
    assert await Box(lease()).until_stopped(value()) == "done"


@pytest.mark.parametrize("what", [ToolFailed("t", "x"), KeyError("x"), TimeoutError("x")])
async def test_what_work_raises_keeps_its_own_type(what: Exception) -> None:
    with pytest.raises(type(what)) as raised:
        await Box(lease()).until_stopped(error(what))
    assert raised.value is what


@pytest.mark.parametrize("on_cancel", [None, ToolFailed("t", "cancelled"), KeyError("x")])
async def test_a_stop_counts_more_than_what_work_raises_then(on_cancel: BaseException | None) -> None:
    box = Box(lease())
    async with asyncio.TaskGroup() as tasks:
        step = tasks.create_task(_caught(box, on_cancel))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        box.stop()
        assert await step == "stopped"


async def _caught(box: Box, on_cancel: BaseException | None) -> str:
    try:
        return await box.until_stopped(forever(on_cancel))
    except Stopped:
        return "stopped"


async def test_nothing_begins_in_a_stopped_box() -> None:
    box, begun = Box(lease()), False

    async def work() -> None:
        nonlocal begun
        begun = True

    box.stop()
    with pytest.raises(Stopped):
        await box.until_stopped(work())
    assert not begun


@pytest.mark.parametrize("on_cancel", [None, ToolFailed("t", "cancelled"), KeyError("x")])
async def test_a_cancellation_is_never_lost_to_what_work_raises_then(on_cancel: BaseException | None) -> None:
    """A swallowed one would keep the daemon from ending: the turn would go on to its next step."""
    async with asyncio.TaskGroup() as tasks:
        step = tasks.create_task(Box(lease()).until_stopped(forever(on_cancel)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait({step})
        assert step.cancelled()


@pytest.mark.parametrize("on_cancel", [None, ToolFailed("t", "cancelled")])
async def test_a_time_limit_around_a_step_is_told_as_a_time_limit(on_cancel: BaseException | None) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Box(lease()).until_stopped(forever(on_cancel))


async def test_work_that_cancels_itself_was_not_stopped_by_anybody() -> None:
    async def leaking() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError):
        await Box(lease()).until_stopped(leaking())


async def test_a_stop_reaches_the_box_of_its_turn_while_that_is_open() -> None:
    mailbox, first, second = Mailbox(), lease(), lease(seq=2, chat="2")
    mailbox.stop(first.turn)
    with mailbox.open(first) as box, mailbox.open(second) as other:
        assert not box.stopped
        mailbox.stop(first.turn)
        assert (box.stopped, other.stopped) == (True, False)
    mailbox.stop(first.turn)
    with mailbox.open(first) as again:
        assert not again.stopped


async def test_a_newer_message_of_the_asker_supersedes_an_interruptible_turn() -> None:
    mailbox = Mailbox()
    with mailbox.open(lease(), interruptible=True) as box:
        mailbox.arrived(message("elsewhere", chat="2"))
        assert (box.arrived, box.stopped) == (False, False)
        mailbox.arrived(message("somebody else", sender="7"))
        mailbox.arrived(message("/model other"))
        assert (box.arrived, box.stopped) == (True, False)
        mailbox.arrived(message("rather this"))
        with pytest.raises(Stopped) as stopped:
            box.check()
        assert stopped.value.cause == "superseded"
    with mailbox.open(lease()) as box:
        mailbox.arrived(message("more"))
        assert (box.arrived, box.stopped) == (True, False)
    mailbox.arrived(message("nobody is at work"))
