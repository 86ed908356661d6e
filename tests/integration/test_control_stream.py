"""Streams of one conversation: nothing lost between what stands and what comes."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, Disconnected, NoAnswer, RemoteError
from clawd.control.server import ControlServer
from clawd.control.stream import ConversationStream
from clawd.control.waiting import OpenRequests
from clawd.errors import JournalUnavailable
from clawd.fanout import Arrived, Delta, Ended, HandedBack, Held, Reset, ToolNote
from clawd.ids import TurnId
from clawd.journal.reading import BEGINNING
from clawd.messages import Address
from tests.fakes.control_services import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from clawd.client import Stream

MINE = Address(bridge="terminal", account=str(os.getuid()), chat="default")


async def ask(client: Client, text: str) -> TurnId:
    return TurnId((await asyncio.to_thread(client.post, "/messages", {"text": text}))["id"])


class Frames:
    """A stream read from a thread, frame by frame."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._frames: Iterator[dict[str, Any]] = iter(stream)

    async def next(self) -> dict[str, Any]:
        return await asyncio.to_thread(lambda: next(self._frames, {"type": "END"}))

    async def until(self, kind: str) -> list[dict[str, Any]]:
        found = [await self.next()]
        while found[-1]["type"] != kind:
            found.append(await self.next())
        return found


async def opened(client: Client, **query: Any) -> Frames:
    return Frames(await asyncio.to_thread(client.stream, "/stream", **query))


async def test_a_turn_is_seen_from_its_question_to_its_end(client: Client, world: World) -> None:
    turn = await ask(client, "hi")
    frames = await opened(client)
    assert (await frames.next())["text"] == "hi"
    world.start(turn)
    world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=0, text="hel"))
    world.fanout.publish(MINE, ToolNote(turn=turn, name="time", phase="started", summary="{}"))
    world.fanout.publish(MINE, Reset(turn=turn, attempt=2, reason="switched"))
    world.fanout.publish(MINE, Delta(turn=turn, attempt=2, offset=0, text="hello"))
    world.finish(turn, "hello")
    seen = await frames.until("ended")
    assert [frame["type"] for frame in seen] == [
        "started",
        "delta",
        "tool",
        "reset",
        "delta",
        "entry",
        "ended",
    ]
    assert seen[0] == {"type": "started", "turn": turn, "attempt": 1}
    assert seen[1] == {"type": "delta", "turn": turn, "attempt": 1, "offset": 0, "text": "hel"}
    assert seen[5]["role"] == "assistant"
    assert (seen[6]["outcome"], seen[6]["exit_code"], seen[6]["text"]) == ("answered", 0, "hello")
    frames.stream.close()


async def test_a_stream_that_begins_in_a_turn_starts_with_its_text_so_far(
    client: Client, world: World
) -> None:
    turn = await ask(client, "hi")
    world.start(turn)
    world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=0, text="hel"))
    frames = await opened(client)
    assert await frames.next() == {"type": "snapshot", "turn": turn, "attempt": 1, "text": "hel"}
    world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=3, text="lo"))
    assert [f["text"] for f in await frames.until("delta")] == ["hi", "lo"]
    frames.stream.close()


async def test_a_stream_goes_on_behind_the_cursor(client: Client, world: World) -> None:
    for number in range(3):
        world.commit(await ask(client, f"q{number}"), f"a{number}")
    page = await asyncio.to_thread(client.get, "/entries", limit=1)
    assert [entry["text"] for entry in page["entries"]] == ["a2"]
    frames = await opened(client, after="000003")
    assert [(await frames.next())["text"] for _ in range(3)] == ["a1", "q2", "a2"]
    frames.stream.close()


class Direct:
    """A stream whose lines are kept here; `hold` stops the reader."""

    def __init__(self, world: World, **sizes: Any) -> None:
        self.frames: list[dict[str, Any]] = []
        self.requests = OpenRequests()
        self.reading = asyncio.Event()
        self.reading.set()
        self._more = asyncio.Event()
        sizes = {"ping_s": 60, **sizes}
        self._stream = ConversationStream(
            world.services(), self.requests, MINE, BEGINNING, self._write, **sizes
        )

    async def run(self) -> None:
        await self._stream.run()

    async def until(self, kind: str, times: int = 1) -> list[str]:
        """Return the types of all frames once there are so many of one kind."""
        async with asyncio.timeout(30):
            while sum(frame["type"] == kind for frame in self.frames) < times:
                self._more.clear()
                await self._more.wait()
        return [frame["type"] for frame in self.frames]

    async def _write(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        self.frames.append(json.loads(data))
        self._more.set()
        await self.reading.wait()


@asynccontextmanager
async def following(world: World, **sizes: Any) -> AsyncIterator[Direct]:
    direct = Direct(world, **sizes)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(direct.run())
        try:
            yield direct
        finally:
            direct.reading.set()
            direct.requests.close()


async def test_more_entries_than_a_page_all_arrive(world: World) -> None:
    for number in range(5):
        world.entry(MINE, "user", str(number), None, "queued")
    world.commit(world.ask(MINE, "last"), "done")
    async with following(world, page=2) as stream:
        await stream.until("entry", 7)
        assert [frame["text"] for frame in stream.frames] == [*"01234", "last", "done"]


async def test_an_end_between_the_subscription_and_the_reading_is_not_lost(world: World) -> None:
    turn = world.ask(MINE, "hi")

    def end() -> None:
        world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=0, text="late"))
        world.finish(turn, "answer")

    world.while_reading = end
    async with following(world) as stream:
        assert await stream.until("ended") == ["entry", "delta", "entry", "ended"]


async def test_text_that_stands_in_an_entry_already_is_not_streamed_again(world: World) -> None:
    """The answer was committed before the reading, its events were published after the subscription."""
    turn = world.ask(MINE, "hi")
    world.commit(turn, "answer")

    def say() -> None:
        world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=0, text="answer"))
        world.fanout.publish(
            MINE, Ended(turn=turn, outcome="answered", text="answer", model="demo", exit_code=0)
        )

    world.while_reading = say
    async with following(world) as stream:
        assert await stream.until("ended") == ["entry", "entry", "ended"]


async def test_a_reader_that_falls_behind_is_given_the_state_anew(world: World) -> None:
    first = world.ask(MINE, "hi")
    async with following(world, size=3) as stream:
        await stream.until("entry")
        stream.reading.clear()
        for number in range(10):
            world.fanout.publish(MINE, Delta(turn=first, attempt=1, offset=number, text="x"))
        world.finish(first, "x" * 10)
        second = world.ask(MINE, "and?")
        world.live(second, "so f")
        stream.reading.set()
        await stream.until("snapshot")
        world.fanout.publish(MINE, Delta(turn=second, attempt=1, offset=4, text="ar"))
        world.finish(second, "so far")
        await stream.until("ended", 2)
        anew = stream.frames[[frame["type"] for frame in stream.frames].index("snapshot") :]
        assert [(frame["type"], frame["turn"]) for frame in anew] == [
            ("snapshot", second),
            ("entry", first),
            ("entry", second),
            ("ended", first),
            ("delta", second),
            ("entry", second),
            ("ended", second),
        ]
        assert anew[0]["text"] == "so f"
        assert anew[3]["text"] == "x" * 10


async def test_a_stream_with_nothing_to_say_pings(world: World) -> None:
    async with following(world, ping_s=0.01) as stream:
        await stream.until("ping")


async def test_a_turn_handed_back_is_told(world: World) -> None:
    turn = world.ask(MINE, "hi")
    async with following(world) as stream:
        await stream.until("entry")
        world.fanout.publish(MINE, HandedBack(turn=turn))
        assert await stream.until("handed_back") == ["entry", "handed_back"]


async def test_a_turn_that_stands_still_is_told(world: World) -> None:
    turn = world.ask(MINE, "hi")
    async with following(world) as stream:
        await stream.until("entry")
        world.fanout.publish(MINE, Held(turn=turn, why="full"))
        assert await stream.until("held") == ["entry", "held"]


async def test_a_journal_that_fails_ends_the_stream_with_the_error(world: World) -> None:
    def fail() -> None:
        raise JournalUnavailable("the disk is full")

    async with following(world) as stream:
        world.while_reading = fail
        world.fanout.publish(MINE, Arrived())
        await stream.until("error")
    assert stream.frames[-1]["error"]["what"] == "the disk is full"


async def test_a_stream_ends_when_the_daemon_stops(server: ControlServer, client: Client) -> None:
    await ask(client, "hi")
    frames = await opened(client)
    await frames.next()
    waiting = asyncio.to_thread(lambda: list(frames.stream))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.wait_for(server.stop(), 30))
        with pytest.raises(Disconnected):
            await waiting


async def test_a_stream_without_a_sign_of_life_is_given_up(server: ControlServer, client: Client) -> None:
    await ask(client, "hi")
    frames = await opened(client)
    await frames.next()
    frames.stream._sock.settimeout(0.05)  # only now: what comes first may take its time
    with pytest.raises(NoAnswer):
        await frames.next()


async def test_close_from_another_thread_ends_a_waiting_reader(client: Client) -> None:
    await ask(client, "hi")
    frames = await opened(client)
    await frames.next()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(frames.next())
        await asyncio.sleep(0)
        frames.stream.close()
    assert waiting.result() == {"type": "END"}
    frames.stream.close()


async def test_a_reader_that_leaves_frees_its_place(
    server: ControlServer, client: Client, world: World
) -> None:
    await ask(client, "hi")
    frames = await opened(client)
    await frames.next()
    frames.stream.close()
    await frames.next()
    while server._requests._count:  # the server notices at the next frame that it can't write
        world.fanout.publish(MINE, HandedBack(turn=TurnId("turn:fake-1-1")))
        await asyncio.sleep(0)


async def test_a_stream_of_a_name_that_can_not_be_used_is_refused(client: Client) -> None:
    with pytest.raises(RemoteError) as caught:
        await asyncio.to_thread(client.stream, "/stream", conversation=" ")
    assert caught.value.exit_code == 2
