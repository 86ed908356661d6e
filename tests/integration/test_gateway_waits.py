"""Waiting for the end of a turn: woken by it, never by a timer, and let go at a stop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from clawd.fanout import Delta
from clawd.gateway.waits import Waits
from clawd.messages import Address
from tests.fakes.control_services import World
from tests.fakes.gateway_site import Site, site

if TYPE_CHECKING:
    from pathlib import Path


async def accepted(here: Site, conversation: str = "c1") -> str:
    _, told = await here.call("POST", "/v1/messages", json={"text": "hi", "conversation": conversation})
    identifier: str = told["id"]
    return identifier


async def waiting(here: Site, identifier: str) -> None:
    """Return once a request waits for this turn."""
    address = here.world.turns[identifier].conversation  # type: ignore[index]
    async with asyncio.timeout(30):
        while address not in here.world.fanout._by_address:
            await here.world.asked.wait()
            here.world.asked.clear()
            await asyncio.sleep(0)


async def test_a_wait_ends_when_the_turn_does(state_dir: Path) -> None:
    async with site(state_dir) as here, asyncio.TaskGroup() as group:
        identifier = await accepted(here)
        shown = group.create_task(here.call("GET", f"/v1/messages/{identifier}?wait=30"))
        await waiting(here, identifier)
        here.world.finish(identifier, "Hello.")  # type: ignore[arg-type]
        status, body = await shown
        assert (status, body["status"], body["replies"][0]["text"]) == (200, "answered", "Hello.")
        assert not here.world.fanout._by_address


async def test_a_wait_is_not_ended_by_another_turn_of_the_conversation(state_dir: Path) -> None:
    async with site(state_dir) as here, asyncio.TaskGroup() as group:
        first, second = await accepted(here), await accepted(here)
        shown = group.create_task(here.call("GET", f"/v1/messages/{second}?wait=30"))
        await waiting(here, second)
        here.world.finish(first, "One.")  # type: ignore[arg-type]
        here.world.finish(second, "Two.")  # type: ignore[arg-type]
        assert (await shown)[1]["replies"][0]["text"] == "Two."


async def test_an_end_between_the_first_look_and_the_subscription_is_not_missed() -> None:
    world = World()
    turn = world.ask(Address(bridge="api", account="default", chat="c1"), "hi")
    seen_queued = world.turns[turn]
    world.finish(turn, "Hello.")
    waits = Waits(world.services().views, world.fanout)
    async with asyncio.timeout(30):
        assert (await waits.turn(seen_queued, 30)).answer == "Hello."


async def test_a_turn_that_ended_before_anybody_listened_is_shown_at_once(state_dir: Path) -> None:
    async with site(state_dir) as here:
        identifier = await accepted(here)
        here.world.finish(identifier, "Hello.")  # type: ignore[arg-type]
        assert (await here.call("GET", f"/v1/messages/{identifier}?wait=30"))[1]["status"] == "answered"


async def test_an_end_that_was_lost_among_deltas_is_still_noticed(state_dir: Path) -> None:
    async with site(state_dir) as here, asyncio.TaskGroup() as group:
        identifier = await accepted(here)
        turn = here.world.turns[identifier]  # type: ignore[index]
        shown = group.create_task(here.call("GET", f"/v1/messages/{identifier}?wait=30"))
        await waiting(here, identifier)
        for offset in range(2000):  # more than a subscription holds, without letting the waiter run
            delta = Delta(turn=turn.id, attempt=1, offset=offset, text="x")
            here.world.fanout.publish(turn.conversation, delta)
        here.world.finish(turn.id, "Hello.")
        assert (await shown)[1]["status"] == "answered"


async def test_a_wait_that_runs_out_shows_the_turn_as_it_is(state_dir: Path) -> None:
    async with site(state_dir) as here:
        identifier = await accepted(here)
        status, body = await here.call("GET", f"/v1/messages/{identifier}?wait=0.05")
        assert (status, body["status"], body["replies"]) == (200, "queued", [])


async def test_a_stop_lets_all_who_wait_go(state_dir: Path) -> None:
    async with site(state_dir) as here, asyncio.TaskGroup() as group:
        turns = [await accepted(here, f"c{n}") for n in range(20)]
        shown = [group.create_task(here.call("GET", f"/v1/messages/{t}?wait=60")) for t in turns]
        for turn in turns:
            await waiting(here, turn)
        began = time.monotonic()
        await here.gateway.stop()
        assert time.monotonic() - began < 20, "not the minute that they would have waited"
        assert {(await task)[0] for task in shown} == {200}, "let go, and not cut off"


async def test_a_client_that_goes_away_while_waiting_disturbs_nobody(state_dir: Path) -> None:
    async with site(state_dir) as here:
        identifier = await accepted(here)
        _, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(
            f"GET /v1/messages/{identifier}?wait=60 HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {here.token}\r\n\r\n".encode()
        )
        await waiting(here, identifier)
        writer.transport.abort()
        here.world.finish(identifier, "Hello.")  # type: ignore[arg-type]
        assert (await here.call("GET", f"/v1/messages/{identifier}?wait=30"))[1]["status"] == "answered"
