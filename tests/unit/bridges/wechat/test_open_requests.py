"""Requests that stay open: who gets which answer, and what becomes of those that nobody takes."""

from __future__ import annotations

import asyncio

from bridges.wechat.open_requests import KEEP_S, OpenRequests
from clawd.messages import Address, MessageId
from clawd.testing import ManualClock

HERE = Address(bridge="wechat", account="wx", chat="o1")
THERE = Address(bridge="wechat", account="wx", chat="o2")


class Door:
    """Requests, and what each try was told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.requests = OpenRequests(self.clock)
        self.told: list[tuple[str, bytes | None]] = []

    async def ask(self, name: str, address: Address = HERE, seconds: float = 4.5) -> None:
        with self.requests.opened(MessageId(name), address, "gh") as request:
            self.told.append((name, await request.wait(self.clock, seconds)))

    async def answer(self, reply: bytes, name: str | None = None, address: Address = HERE) -> bool | None:
        found = self.requests.find(address, MessageId(name) if name else None)
        return await found.give(reply) if found is not None else None


async def test_an_answer_ends_the_wait_at_once_and_only_at_its_address() -> None:
    door = Door()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(door.ask("a"))
        await door.clock.sleeping()
        assert await door.answer(b"x", address=THERE) is None
        assert await door.answer(b"x") is True
        assert await door.answer(b"y") is None, "one answer for one request"
    assert door.told == [("a", b"x")]


async def test_who_asks_again_gets_the_same_bytes_for_a_while() -> None:
    door = Door()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(door.ask("a"))
        tasks.create_task(door.ask("a"))
        await door.clock.sleeping(2)
        assert await door.answer(b"x") is True
    await door.clock.advance(20)
    await door.ask("a")
    assert door.told == [("a", b"x")] * 3
    assert door.requests.find(HERE, MessageId("a")) is None
    await door.clock.advance(KEEP_S + 1)
    await door.ask("b", seconds=0)
    await door.ask("a", seconds=0)
    assert door.told[-1] == ("a", None)


async def test_nothing_comes_after_the_time_is_over() -> None:
    door = Door()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(door.ask("a"))
        await door.clock.sleeping()
        await door.clock.advance(4.5)
    assert door.told == [("a", None)]
    assert await door.answer(b"x") is None


async def test_the_request_of_the_answered_message_goes_first_else_the_oldest() -> None:
    door = Door()
    async with asyncio.TaskGroup() as tasks:
        for name in "abc":
            tasks.create_task(door.ask(name))
        await door.clock.sleeping(3)
        wanted: list[tuple[bytes, str | None]] = [(b"1", "c"), (b"2", None), (b"3", "gone")]
        for reply, wish in wanted:
            assert await door.answer(reply, wish) is True
    assert sorted(door.told) == [("a", b"2"), ("b", b"3"), ("c", b"1")]


async def test_an_answer_to_a_request_whose_handler_was_cancelled_is_not_sent() -> None:
    door = Door()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(door.ask("a"))
        await door.clock.sleeping()
        giving = tasks.create_task(door.answer(b"x"))
        asking.cancel()
    assert giving.result() is False or giving.result() is None
    await door.ask("a", seconds=0)
    assert door.told == [("a", None)], "the bytes that nobody took are not kept"


async def test_an_answer_before_the_wait_begins_is_taken() -> None:
    door = Door()
    async with asyncio.TaskGroup() as tasks:
        with door.requests.opened(MessageId("a"), HERE, "gh") as request:
            giving = tasks.create_task(door.answer(b"x"))
            await asyncio.sleep(0)
            assert await request.wait(door.clock, 4.5) == b"x"
    assert giving.result() is True
