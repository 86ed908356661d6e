"""Messages that come while a turn is in work: queued, steering it, or taking its place; and pieces of one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from clawd.config.schema import AccessConfig, AgentConfig
from clawd.ids import TurnId
from clawd.messages import SPLIT_TEXT, Accepted
from clawd.models.base import ToolMessage, UserMessage
from clawd.testing import ManualClock, ScriptedModel
from clawd.texts import say
from tests.fakes.inner import Inner, message
from tests.fakes.tools import ScriptedTool, call
from tests.integration.test_agent_order import questions

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")
STEER = AgentConfig(busy="steer")
INTERRUPT = AgentConfig(busy="interrupt")


async def answers_of(inner: Inner) -> dict[int, list[TurnId]]:
    """Return which finished turns name each accepted message."""
    named: dict[int, list[TurnId]] = {}
    rows = await inner.opened.store.read("SELECT conv, seq, body FROM journal WHERE kind = 'turn.finished'")
    for conv, seq, body in rows:
        for answered in json.loads(body)["answers"]:
            named.setdefault(answered, []).append(inner.opened.journal._context.turn(conv, seq))
    return named


async def test_a_steered_turn_takes_in_what_came_at_its_next_step(state_dir: Path) -> None:
    held = asyncio.Event()
    tool, model = ScriptedTool(held), ScriptedModel([call()], "Both done.")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS, agent=STEER) as inner:
        turn = await inner.say("first")
        await tool.called()
        more = await inner.say("and also this")
        held.set()
        assert (await inner.ended(turn)).answer == "Both done."
        merged = await inner.views.turn(more)
        assert (merged.state, merged.answer, merged.merged_into) == ("answered", "Both done.", turn)
        last = model.requests[-1].messages
        assert isinstance(last[-2], ToolMessage)
        assert isinstance(last[-1], UserMessage)
        assert "and also this" in str(last[-1])
        await inner.settled()
        assert await answers_of(inner) == {1: [turn], 2: [turn]}
        await inner.delivered("Both done.")


async def test_what_comes_after_the_last_model_request_starts_its_own_turn(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "first"], "second")
    async with Inner(state_dir, model=model, agent=STEER) as inner:
        one = await inner.say("a")
        await model.asked()
        two = await inner.say("b")
        held.set()
        assert (await inner.ended(two)).answer == "second"
        assert await answers_of(inner) == {1: [one], 2: [two]}


async def test_a_merge_outlives_a_crash(state_dir: Path) -> None:
    held = asyncio.Event()
    tool, model = ScriptedTool(held), ScriptedModel([call()], [asyncio.Event()], "Both.")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS, agent=STEER) as inner:
        turn = await inner.say("first")
        await tool.called()
        more = await inner.say("more")
        held.set()
        await model.asked(2)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "Both."
        assert "more" in str(model.requests[-1].messages[-1])
        await inner.settled()
        assert (await inner.views.turn(more)).answer == "Both."
        assert await answers_of(inner) == {1: [turn], 2: [turn]}


async def test_a_dead_letter_names_what_was_merged_into_it(state_dir: Path) -> None:
    held = asyncio.Event()
    tool, model = ScriptedTool(held), ScriptedModel([call()], [asyncio.Event()], [asyncio.Event()])
    agent = AgentConfig(busy="steer", max_attempts=1)
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS, agent=agent) as inner:
        turn = await inner.say("first")
        await tool.called()
        more = await inner.say("more")
        held.set()
        await model.asked(2)
        await inner.restart()
        await model.asked(3)
        await inner.restart()
        assert (await inner.ended(turn)).state == "dead"
        assert (await inner.views.turn(more)).state == "dead"
        assert await answers_of(inner) == {1: [turn], 2: [turn]}
        assert (await inner.ask("next")).state == "answered"


@pytest.mark.parametrize(
    ("text", "sender"), [("/model other", "42"), ("mine", "7")], ids=["command", "another sender"]
)
async def test_commands_and_others_messages_are_never_merged(state_dir: Path, text: str, sender: str) -> None:
    held = asyncio.Event()
    tool, model = ScriptedTool(held), ScriptedModel([call()], "Done.")
    async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS, agent=STEER) as inner:
        turn = await inner.say("first")
        await tool.called()
        other = await inner.say(text, sender=sender)
        held.set()
        await inner.ended(turn)
        view = await inner.ended(other)
        assert view.merged_into is None
        assert await answers_of(inner) == {1: [turn], 2: [other]}


async def test_a_newer_message_takes_the_running_turns_place(state_dir: Path) -> None:
    model = ScriptedModel(["Once upon", asyncio.Event()], "Short.")
    async with Inner(state_dir, model=model, agent=INTERRUPT) as inner:
        long = await inner.say("a story")
        await model.asked()
        await inner.shown("Once upon")
        short = await inner.say("rather a word")
        cut = await inner.ended(long)
        assert (cut.state, cut.answer) == ("cancelled", f"Once upon\n\n{say('cut')}")
        assert cut.error is not None
        assert cut.error.startswith("E-SUPERSEDED")
        assert (await inner.ended(short)).answer == "Short."
        assert await answers_of(inner) == {1: [long], 2: [short]}


async def test_an_interruption_that_a_crash_swallowed_is_made_good(state_dir: Path) -> None:
    model = ScriptedModel([asyncio.Event()], "New.")
    async with Inner(state_dir, model=model, agent=INTERRUPT) as inner:
        old = await inner.say("old")
        await model.asked()
        inner.inbox._on_message = lambda _message: None  # the word does not reach the turn before the crash
        new = await inner.say("new")
        await inner.restart()
        assert (await inner.ended(old)).state == "cancelled"
        assert (await inner.ended(new)).answer == "New."
        assert len(model.requests) == 2


async def test_somebody_elses_message_interrupts_nothing(state_dir: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([held, "first"], "second")
    async with Inner(state_dir, model=model, agent=INTERRUPT) as inner:
        one = await inner.say("a")
        await model.asked()
        await inner.say("b", sender="7")
        held.set()
        assert (await inner.ended(one)).answer == "first"


# --- pieces ----------------------------------------------------------------------------------------------


async def test_an_album_is_one_turn(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("Three pictures.")
    async with Inner(state_dir, model=model, clock=clock) as inner:
        pieces = [message(f"p{n}", bridge="chat", piece_of="album:1") for n in range(3)]
        turns = [r.turn for r in await inner.inbox.accept(pieces) if isinstance(r, Accepted)]
        first, second, third = turns
        await inner.workers.ping()
        assert not model.requests, "the next piece may still come"
        await clock.advance(1.1)
        await inner.workers.ping()
        assert (await inner.ended(first)).answer == "Three pictures."
        for other in (second, third):
            assert (await inner.views.turn(other)).merged_into == first
        assert await answers_of(inner) == {1: [first], 2: [first], 3: [first]}
        assert len(model.requests) == 1


async def test_each_piece_waits_for_the_next_one(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("All of it.")
    async with Inner(state_dir, model=model, clock=clock) as inner:
        for n in range(4):
            await inner.say(f"p{n}", piece_of="album:1")
            await clock.advance(0.7)
            await inner.workers.ping()
            assert not model.requests
        await clock.advance(0.5)
        await inner.workers.ping()
        await inner.settled()
        assert len(model.requests) == 1
        assert questions(model) == ["p3"]


async def test_a_text_that_a_client_cut_is_one_turn(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("Long.", "Other.")
    async with Inner(state_dir, model=model, clock=clock) as inner:
        turn = await inner.say("x" * 4096, piece_of=SPLIT_TEXT)
        rest = await inner.say("the end")
        await clock.advance(1.1)
        await inner.workers.ping()
        assert (await inner.ended(turn)).answer == "Long."
        assert (await inner.views.turn(rest)).merged_into == turn
        assert (await inner.ask("another")).answer == "Other."


async def test_pieces_that_come_behind_a_running_turn_wait_for_each_other_too(state_dir: Path) -> None:
    clock, held = ManualClock(), asyncio.Event()
    model = ScriptedModel([held, "first"], "album")
    async with Inner(state_dir, model=model, clock=clock) as inner:
        first = await inner.say("a")
        await model.asked()
        one = await inner.say("p1", piece_of="album:1")
        held.set()
        await inner.ended(first)
        await inner.workers.ping()
        await inner.workers.ping()
        assert (await inner.views.turn(one)).state == "queued"
        two = await inner.say("p2", piece_of="album:1")
        await inner.workers.ping()
        assert len(model.requests) == 1
        await clock.advance(1.1)
        await inner.workers.ping()
        assert (await inner.ended(one)).answer == "album"
        assert (await inner.views.turn(two)).merged_into == one


async def test_a_clock_set_back_does_not_keep_pieces_for_a_day(state_dir: Path) -> None:
    clock, model = ManualClock(), ScriptedModel("ok")
    async with Inner(state_dir, model=model, clock=clock) as inner:
        turn = await inner.say("p", piece_of="album:1")
        clock.jump(-86_400)
        await clock.advance(1.1)
        await inner.workers.ping()
        assert (await inner.ended(turn)).answer == "ok"


# --- retry and undo --------------------------------------------------------------------------------------


async def test_retry_asks_the_last_message_again_and_forgets_its_answer(state_dir: Path) -> None:
    model = ScriptedModel("one", "bad", "better", "still better", "new")
    async with Inner(state_dir, model=model) as inner:
        await inner.ask("first")
        await inner.ask("second")
        assert (await inner.ask("/retry")).answer == "better"
        assert questions(model)[-1] == "second"
        assert "bad" not in str(model.requests[-1].messages)
        assert (await inner.ask("/retry")).answer == "still better"
        assert questions(model)[-1] == "second"
        await inner.ask("third")
        shown = str(model.requests[-1].messages)
        assert "still better" in shown
        assert "'better'" not in shown
        assert "bad" not in shown


async def test_a_retry_that_a_crash_cut_off_asks_the_same_message(state_dir: Path) -> None:
    model = ScriptedModel("bad", [asyncio.Event()], "better")
    async with Inner(state_dir, model=model) as inner:
        await inner.ask("question")
        again = await inner.say("/retry")
        await model.asked(2)
        await inner.restart()
        assert (await inner.ended(again)).answer == "better"
        assert questions(model) == ["question"] * 3


async def test_undo_forgets_the_last_exchange(state_dir: Path) -> None:
    model = ScriptedModel("one", "two", "three")
    async with Inner(state_dir, model=model) as inner:
        await inner.ask("first")
        await inner.ask("second")
        assert (await inner.ask("/undo")).answer == say("undone", text="second")
        await inner.ask("third")
        shown = str(model.requests[-1].messages)
        assert "first" in shown
        assert "second" not in shown
        await inner.ask("/undo")
        assert (await inner.ask("/undo")).answer == say("undone", text="first")
        assert (await inner.ask("/undo")).answer == say("nothing_to_undo")
        assert (await inner.ask("/retry")).answer == say("nothing_to_retry")
