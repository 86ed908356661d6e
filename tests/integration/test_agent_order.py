"""Who is served when: order within a conversation, fairness across, suspects, dead letters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.config.schema import AgentConfig
from clawd.errors import JournalUnavailable
from clawd.fanout import Held, Started
from clawd.journal.base import SUSPECT_ATTEMPTS
from clawd.journal.sqlite_inbox import SETTLE_MS
from clawd.models.base import UserMessage
from clawd.testing import ManualClock, ScriptedModel, Step
from clawd.texts import say
from tests.fakes.inner import PATIENCE_S, Inner


def questions(model: ScriptedModel) -> list[str]:
    """Return the last user text of every request, in the order of asking."""
    found = []
    for request in model.requests:
        last = [m for m in request.messages if isinstance(m, UserMessage)][-1]
        found.append("".join(getattr(part, "text", "") for part in last.parts))
    return found


async def test_messages_of_one_conversation_are_answered_one_after_the_other(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "first"], "second", "third")
    async with Inner(state_dir, model=model) as inner:
        turns = [await inner.say(text) for text in ("a", "b", "c")]
        await model.asked()
        assert [(await inner.views.turn(turn)).position for turn in turns] == [0, 1, 2]
        held.set()
        await inner.delivered("first", "second", "third")
        assert questions(model) == ["a", "b", "c"]
        assert [m.turn for m in inner.bridge.sends] == turns


async def test_a_conversation_with_many_messages_does_not_keep_others_waiting(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "ok"])
    agent = AgentConfig(concurrency=1)
    async with Inner(state_dir, model=model, agent=agent) as inner:
        await inner.say("busy-0", chat="busy")
        await model.asked()
        for n in range(1, 6):
            await inner.say(f"busy-{n}", chat="busy")
        await inner.say("quiet", chat="quiet")
        held.set()
        await inner.settled()
    assert questions(model).index("quiet") <= 2, questions(model)
    assert [q for q in questions(model) if q != "quiet"] == [f"busy-{n}" for n in range(6)]


async def test_thirty_two_turns_are_in_work_at_once_and_no_more(state_dir: Path) -> None:
    held = asyncio.Event()
    answers: list[list[Step]] = [[held, "ok"]] * 33
    model = ScriptedModel(*answers)
    async with Inner(state_dir, model=model) as inner:
        for n in range(33):
            await inner.say(chat=str(n))
        await model.asked(32)
        await inner.workers.ping()
        assert len(inner.workers.tasks()) == 32
        assert len(model.requests) == 32
        held.set()
        await inner.settled()
    assert len(model.requests) == 33


async def test_turns_that_are_suspected_of_killing_the_process_run_one_at_a_time(state_dir: Path) -> None:
    held = asyncio.Event()
    answers: list[list[Step]] = [[held, "ok"]] * 20
    model = ScriptedModel(*answers)
    async with Inner(state_dir, model=model) as inner:
        for chat in ("a", "b"):
            await inner.say(f"poison {chat}", chat=chat)
        for attempt in range(1, SUSPECT_ATTEMPTS):
            await model.asked(2 * attempt)
            await inner.restart()
        await inner.say("bystander", chat="c")
        begun = 2 * (SUSPECT_ATTEMPTS - 1)
        await model.asked(begun + 2)
        await inner.workers.ping()
        assert len(inner.workers.tasks()) == 2, "one suspect and the bystander"
        assert "bystander" in questions(model)[begun:]
        held.set()
        await inner.settled()
        assert inner.bridge.texts("b") == ["ok"]


async def test_a_message_that_ends_every_attempt_is_given_up_and_its_user_told(state_dir: Path) -> None:
    model = ScriptedModel(*([[asyncio.Event()]] * 2), "next")
    agent = AgentConfig(max_attempts=2)
    async with Inner(state_dir, model=model, agent=agent) as inner:
        turn = await inner.say("poison")
        later = await inner.say("after it")
        for attempt in (1, 2):
            await model.asked(attempt)
            await inner.restart()
        view = await inner.ended(turn)
        assert (view.state, view.answer) == ("dead", say("dead", attempts=2))
        assert (await inner.ended(later)).answer == "next"
        await inner.delivered(say("dead", attempts=2), "next")
        assert [dead.id for dead in await inner.views.dead()] == [turn]
    assert "poison" not in str(model.requests[-1].messages), "a dead message must not poison the next one"


async def test_a_turn_handed_back_at_a_stop_is_not_counted(state_dir: Path) -> None:
    model = ScriptedModel(*([[asyncio.Event()]] * 4), "at last")
    agent = AgentConfig(max_attempts=2)
    async with Inner(state_dir, model=model, agent=agent) as inner:
        turn = await inner.say()
        for attempt in range(1, 5):
            await model.asked(attempt)
            await inner.stop()
            await inner.start()
        assert (await inner.ended(turn)).answer == "at last"


async def test_work_that_came_while_nobody_worked_is_taken_up_at_the_start(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()], "one", "two")
    async with Inner(state_dir, model=model) as inner:
        first, second = await inner.say("1"), await inner.say("2")
        await model.asked()  # what hangs is this request, and not the first one after the start
        await inner.restart()
        assert [(await inner.ended(turn)).answer for turn in (first, second)] == ["one", "two"]


async def test_a_turn_in_work_is_visible_with_its_attempt(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()], "ok")
    async with Inner(state_dir, model=model) as inner:
        turn = await inner.say(bridge="api")
        await model.asked()
        await inner.restart()
        live = inner.fanout.live((await inner.views.turn(turn)).conversation)
        if live is None:  # answered already
            assert (await inner.ended(turn)).attempts == 0
        else:
            assert live.attempt == 2


async def test_claiming_goes_on_after_the_journal_could_not_commit(state_dir: Path) -> None:
    async with Inner(state_dir, model=ScriptedModel("ok")) as inner:
        async with inner.locked():
            with pytest.raises(JournalUnavailable):
                await inner.say("refused")
            inner.journal.work.set()
            await asyncio.sleep(0.2)  # a claim fails meanwhile; only the absence of a crash shows it
        assert (await inner.ask("taken")).answer == "ok"


async def test_who_watches_is_told_once_that_the_journal_holds_the_turn(state_dir: Path) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, "ok"])
    async with Inner(state_dir, model=model) as inner, asyncio.TaskGroup() as tasks:
        turn = await inner.say()
        await model.asked()
        async with inner.locked():
            held = tasks.create_task(inner.seen(Held))
            await asyncio.sleep(0)
            gate.set()
            event = await held
            assert isinstance(event, Held)
            assert event.turn == turn
            assert event.why
        assert (await inner.ended(turn)).answer == "ok"


async def test_who_watches_a_queued_turn_is_told_once_that_nobody_can_take_it(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, model=ScriptedModel("ok"), clock=clock) as inner:
        turn = await inner.say("a piece, whose rest may follow", piece_of="album")
        await inner.say("behind it")
        with inner.fanout.subscribe() as events:
            async with inner.locked():
                await clock.advance(SETTLE_MS / 1000 + 0.1)
                inner.journal.work.set()
                _, event = await asyncio.wait_for(events.get(), PATIENCE_S)
                assert isinstance(event, Held)
                assert event.turn == turn
                assert event.why
                for _ in range(3):
                    await inner.workers.ping()  # each time a claim fails
            inner.journal.work.set()
            _, event = await asyncio.wait_for(events.get(), PATIENCE_S)
            assert isinstance(event, Started), "once is enough"
        assert (await inner.ended(turn)).answer == "ok"


async def test_started_is_told_before_anything_else_of_a_turn(state_dir: Path) -> None:
    async with Inner(state_dir) as inner, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(inner.seen(Started))
        await asyncio.sleep(0)
        turn = await inner.say()
        event = await first
        assert isinstance(event, Started)
        assert event.lease.turn == turn
