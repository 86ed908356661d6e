"""Questions that turns wait with, over a real control socket: shown, streamed, waited for, answered."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client, RemoteError
from clawd.fanout import Delta
from clawd.messages import Address
from tests.fakes.control_services import World
from tests.integration.test_control_stream import following, opened

if TYPE_CHECKING:
    from clawd.ids import QuestionId, TurnId

MINE = Address(bridge="terminal", account=str(os.getuid()), chat="default")
CHAT = Address(bridge="telegram", account="1", chat="7")


def waiting(
    world: World, address: Address = MINE, subject: str = "rm -rf build"
) -> tuple[TurnId, QuestionId]:
    turn = world.ask(address, "clean up")
    world.start(turn)
    return turn, world.wait_for_person(turn, subject)


async def get(client: Client, path: str, **query: Any) -> dict[str, Any]:
    return await asyncio.to_thread(client.get, path, **query)


async def post(client: Client, path: str, body: Any = None) -> dict[str, Any]:
    return await asyncio.to_thread(client.post, path, body)


async def refused(client: Client, path: str, body: Any = None) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        await post(client, path, body)
    return caught.value


# --- list and answer ------------------------------------------------------------------------------------


async def test_open_questions_are_listed_for_all_or_for_one_conversation(
    client: Client, world: World
) -> None:
    _, mine = waiting(world)
    _, theirs = waiting(world, CHAT, "make")
    assert [q["id"] for q in (await get(client, "/questions"))["questions"]] == [mine, theirs]
    [question] = (await get(client, "/questions", conversation=str(CHAT)))["questions"]
    assert (question["id"], question["conversation"]) == (theirs, str(CHAT))
    assert (question["tool"], question["subject"], question["about"]) == ("shell", "make", "approval")
    assert question["asker"]["name"] == "Ann"


@pytest.mark.parametrize(
    ("word", "body", "always"),
    [
        ("approve", {}, None),
        ("approve", {"always": ""}, ""),
        ("approve", {"always": "rm *"}, "rm *"),
        ("deny", {}, None),
    ],
)
async def test_an_answer_is_the_word_of_the_person_at_the_terminal(
    client: Client, world: World, word: str, body: dict[str, str], always: str | None
) -> None:
    _, question = waiting(world, CHAT)
    answer = await post(client, f"/questions/{question}/{word}", body)
    assert answer["text"] == ("approved" if word == "approve" else "denied")
    [control] = world.controls
    assert (control.kind, control.question, control.always) == (word, question, always)
    assert control.address == MINE  # whose rights count, not where the question was asked
    assert control.sender.id == str(os.getuid())


@pytest.mark.parametrize("name", ["approval:fake-9-9-9", "approval:fake-1-1", "turn:fake-1-1", "nonsense"])
async def test_an_unknown_question_is_404_in_four_fields(client: Client, world: World, name: str) -> None:
    waiting(world)
    error = await refused(client, f"/questions/{name}/approve")
    assert (error.status, error.code, error.remedy) == (404, "E-NOT-FOUND", "clawd approvals list")


async def test_a_question_that_was_answered_already_is_409(client: Client, world: World) -> None:
    turn, question = waiting(world)
    await post(client, f"/questions/{question}/approve")
    error = await refused(client, f"/questions/{question}/deny")
    assert (error.status, error.code, error.where) == (409, "E-STATE", question)
    assert error.why == f"{turn} is running"
    assert len(world.controls) == 1


async def test_of_two_answers_at_once_the_later_one_is_told_so(client: Client, world: World) -> None:
    _, question = waiting(world)
    world.before_answer = lambda: world.answered(question)
    assert (await refused(client, f"/questions/{question}/deny")).status == 409


async def test_an_answer_that_the_inbox_refuses_is_403(client: Client, world: World) -> None:
    _, question = waiting(world)
    world.may_answer = False
    error = await refused(client, f"/questions/{question}/approve")
    assert (error.status, error.exit_code, error.what) == (403, 4, "not yours")


@pytest.mark.parametrize("always", [7, True, "x" * 1001])
async def test_a_pattern_that_is_none_is_400(client: Client, world: World, always: object) -> None:
    _, question = waiting(world)
    error = await refused(client, f"/questions/{question}/approve", {"always": always})
    assert (error.status, world.controls) == (400, [])


# --- wait -----------------------------------------------------------------------------------------------


async def watched(world: World) -> None:
    """Return once a request waits for something of our conversation."""
    async with asyncio.timeout(30):
        while MINE not in world.fanout._by_address:
            await world.asked.wait()
            world.asked.clear()
            await asyncio.sleep(0)


async def test_a_wait_lasts_through_a_question_unless_it_is_for_that(client: Client, world: World) -> None:
    turn = world.ask(MINE, "clean up")
    world.start(turn)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(get(client, f"/turns/{turn}", wait=30, wait_for="question"))
        await watched(world)
        question = world.wait_for_person(turn)
        assert (await asked)["state"] == "waiting"
        assert (await get(client, f"/turns/{turn}", wait=30, wait_for="question"))["state"] == "waiting"
        ended = tasks.create_task(get(client, f"/turns/{turn}", wait=30))
        await watched(world)
        world.answered(question)
        world.finish(turn, "done")
        assert (await ended)["state"] == "answered"
    with pytest.raises(RemoteError, match="waited for"):
        await get(client, f"/turns/{turn}", wait_for="rain")


async def test_a_wait_for_a_merged_message_ends_with_the_turn_that_answers_it(
    client: Client, world: World
) -> None:
    first, second = world.ask(MINE, "one"), world.ask(MINE, "two")
    world.start(first)
    async with asyncio.TaskGroup() as tasks:
        waited = tasks.create_task(get(client, f"/turns/{second}", wait=30))
        await watched(world)
        world.merge(second, first)
        world.finish(first, "both")
        view = await asyncio.wait_for(waited, 30)
    assert (view["state"], view["answer"], view["merged_into"]) == ("answered", "both", first)


# --- the stream -----------------------------------------------------------------------------------------


async def test_a_stream_begins_with_the_open_question_behind_the_entries(
    client: Client, world: World
) -> None:
    turn, question = waiting(world, subject="make clean")
    waiting(world, CHAT)
    frames = await opened(client)
    assert [frame["type"] for frame in await frames.until("question")] == ["entry", "question"]
    world.answered(question)
    assert await frames.next() == {"type": "started", "turn": turn, "attempt": 1}
    asked_again = world.wait_for_person(turn, "make install", step=4)
    frame = await frames.next()
    assert (frame["type"], frame["id"], frame["turn"]) == ("question", asked_again, turn)
    assert (frame["tool"], frame["subject"], frame["about"]) == ("shell", "make install", "approval")
    frames.stream.close()


async def test_a_reader_that_falls_behind_is_given_the_question_again(world: World) -> None:
    turn = world.ask(MINE, "clean up")
    async with following(world, size=3) as stream:
        await stream.until("entry")
        stream.reading.clear()
        world.start(turn)
        for number in range(10):
            world.fanout.publish(MINE, Delta(turn=turn, attempt=1, offset=number, text="x"))
        question = world.wait_for_person(turn)
        stream.reading.set()
        await stream.until("question")
        assert stream.frames[-1]["id"] == question
