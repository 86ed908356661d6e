"""The real daemon is killed at every fault point of a message's way; the fakes say what came of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from clawd.store.faults import COMMIT_KINDS
from tests.crash.world import MARK, answer_to, messages, world
from tests.fakes.openai_api import Reply

POINTS_OF_A_MESSAGE = [
    f"journal.{moment}_commit:{kind}"
    for kind in ("accept", "claim", "llm.intent", "turn.finished", "outbox.take", "outbox.mark")
    for moment in ("before", "after")
]

WHERE_A_SEND_MAY_BE_ON_THE_WIRE = {
    "journal.after_commit:outbox.take",
    "journal.before_commit:outbox.mark",
    "journal.after_commit:outbox.mark",  # of the other chat
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", POINTS_OF_A_MESSAGE)
async def test_a_daemon_killed_at_a_fault_point_answers_every_message_in_order(
    point: str, state_dir: Path
) -> None:
    async with world(state_dir) as here:
        await here.start(fault=f"{point}:1:kill")
        for text in messages(3, "a"):
            here.say(11, text)
        here.say(12, "b-0")
        assert await here.wait_dead() == -9
        await here.start()
        here.say(12, "b-1")
        await here.all_answered()
        await here.settled()
        verdict = here.judge()
        assert not verdict.broken, here.tail()
        if point not in WHERE_A_SEND_MAY_BE_ON_THE_WIRE:
            assert not verdict.marked
        assert await here.stop() == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", ["journal.after_commit:turn.finished", "journal.after_commit:outbox.take"])
async def test_an_answer_that_is_committed_is_never_paid_for_again(point: str, state_dir: Path) -> None:
    async with world(state_dir) as here:
        await here.start(fault=f"{point}:1:kill")
        here.say(11, "costly")
        await here.wait_dead()
        await here.start()
        await here.all_answered()
        assert here.paid_for("costly") == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", ["llm.result", "tool.result"])
async def test_a_turn_with_a_tool_goes_on_behind_its_last_committed_step(
    kind: str, point: str, state_dir: Path
) -> None:
    call = {"id": "call-1", "name": "calculator", "arguments": '{"expression": "6*7"}'}
    async with world(state_dir) as here:
        here.model.replies.append(Reply(text="", tool_calls=[call]))
        if (kind, point) == ("llm.result", "before"):
            here.model.replies.append(Reply(text="", tool_calls=[call]))  # the answer was never committed
        await here.start(fault=f"journal.{point}_commit:{kind}:1:kill")
        here.say(11, "compute")
        await here.wait_dead()
        await here.start()
        await here.all_answered()
        assert not here.judge().broken
        assert here.paid_for("compute") == (3 if (kind, point) == ("llm.result", "before") else 2)
        last = here.model.requests[-1].body["messages"]
        assert [m["content"] for m in last if m["role"] == "tool"] == ["42"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_reply_that_was_growing_in_the_chat_is_finished_by_an_edit(
    point: str, state_dir: Path
) -> None:
    slow = Reply(chunks=["one ", "two ", "three"], chunk_delay_s=1.0)
    async with world(state_dir, slow) as here:
        await here.start(fault=f"journal.{point}_commit:turn.finished:1:kill")
        here.telegram.user_says(11, "tell me")
        await here.wait_dead()
        assert len(here.telegram.sent(11)) == 1, "a preview was on show when the daemon died"
        await here.start()
        await here.telegram.wait_until(
            lambda: any("three" in m.text and not m.text.endswith("…") for m in here.telegram.sent(11)), 20
        )
        await here.settled()
        sent = here.telegram.sent(11)
        assert [m.text for m in sent] == ["one two three"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("nth", [1, 2])  # the row is reserved; the row is opened
@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_daemon_killed_around_a_preview_shows_the_whole_answer_once_or_marked(
    point: str, nth: int, state_dir: Path
) -> None:
    slow = Reply(chunks=["one ", "two ", "three"], chunk_delay_s=0.8)
    async with world(state_dir, slow) as here:
        await here.start(fault=f"journal.{point}_commit:preview:{nth}:kill")
        here.telegram.user_says(11, "tell me")
        await here.wait_dead()
        await here.start()
        await here.telegram.wait_until(
            lambda: any(m.text.endswith("one two three") for m in here.telegram.sent(11)), 20
        )
        await here.settled()
        whole = [m.text for m in here.telegram.sent(11) if m.text.endswith("one two three")]
        # Where the first send may have arrived, what it left behind stays, and the answer says so.
        unknown = (point, nth) in (("after", 1), ("before", 2))
        assert whole == [f"{MARK}\none two three"] if unknown else whole == ["one two three"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["migration", "recover"])
async def test_a_start_that_is_killed_is_made_good_by_the_next(
    kind: str, moment: str, state_dir: Path
) -> None:
    async with world(state_dir) as here:
        if kind == "recover":
            await here.start(fault="journal.after_commit:claim:1:kill")
            here.say(11, "a-0")
            await here.wait_dead()
        await here.start(fault=f"journal.{moment}_commit:{kind}:1:kill")
        assert await here.wait_dead() == -9
        await here.start()
        here.say(11, "a-1")
        await here.all_answered()
        await here.settled()
        assert not here.judge().broken


KILLED_IN_TEST_KILLS = {"release", "tool.intent"}  # tests/unit/journal: no built-in tool has an effect
KILLED_IN_TEST_KEEPING = {"retention", "delete", "vacuum"}  # tests/unit/journal as well


def test_every_commit_of_the_journal_is_killed_somewhere() -> None:
    here = {"accept", "claim", "llm.intent", "llm.result", "tool.result", "turn.finished", "preview"}
    here |= {"outbox.take", "outbox.mark", "recover", "migration"}
    assert here | KILLED_IN_TEST_KILLS | KILLED_IN_TEST_KEEPING == COMMIT_KINDS


@pytest.mark.timeout(150)
async def test_messages_survive_a_random_series_of_kills_under_load(state_dir: Path) -> None:
    dice = random.Random(20261122)
    async with world(state_dir, Reply(delay_s=0.05)) as here:
        said = 0
        for _ in range(10):
            await here.start()
            for _ in range(dice.randint(2, 8)):
                here.say(dice.randint(11, 15), f"m-{said}")
                said += 1
            await _pause(dice.uniform(0.0, 0.6))
            await here.kill()
        await here.start()
        await here.all_answered(60)
        await here.settled()
        verdict = here.judge()
        assert not verdict.broken, here.tail()
        for chat, texts in here.said.items():
            for text in texts:
                assert answer_to(text) in {a.split("\n")[-1] for a in here.answers(chat)}


async def _pause(seconds: float) -> None:
    """The moment of a kill is what the test is about; nothing can be waited for instead."""
    import asyncio

    await asyncio.sleep(seconds)
