from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.schema import PriceConfig
from clawd.errors import ModelAuthError, ModelsExhausted, ModelUnavailable
from clawd.models.base import (
    Completed,
    ModelResponse,
    Progress,
    RequestTags,
    Switched,
    TextDelta,
    ToolCall,
    collect,
)
from clawd.models.ledger import NoBudgets, Room
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.routing import member_of, router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clawd.models.base import ModelEvent, ModelRequest
    from clawd.models.router import Router

CALL = ToolCall(id="1", name="time", arguments="{}")


def down(name: str) -> ModelUnavailable:
    return ModelUnavailable(name, "down", why="HTTP 500")


class Spoken(ScriptedModel):
    """Yields what a test says, when it says so; knows whether it was let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self._said: asyncio.Queue[ModelEvent | Exception] = asyncio.Queue()
        self.let_go = asyncio.Event()

    def say(self, *events: ModelEvent | Exception | str) -> None:
        for event in events:
            self._said.put_nowait(TextDelta(event) if isinstance(event, str) else event)

    def end(self, text: str = "whole", *calls: ToolCall) -> None:
        self.say(Completed(ModelResponse(model=self.name, text=text, tool_calls=calls)))

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        self._asked.set()
        try:
            while True:
                event = await self._said.get()
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.let_go.set()


class Race:
    """A request to a route over spoken models, under a clock that a test moves."""

    def __init__(self, *names: str, first_token_s: float = 8, **settings: Any) -> None:
        self.clock = ManualClock()
        self.models = {name: Spoken(name) for name in names}
        self.members = {
            name: member_of(
                model, self.clock, first_token_s=first_token_s, price=PriceConfig(input=10, output=20)
            )
            for name, model in self.models.items()
        }
        self.router: Router = router_over(*self.members.values(), clock=self.clock, **settings)
        self.events: list[ModelEvent] = []
        self.seen = asyncio.Event()

    def __getitem__(self, name: str) -> Spoken:
        return self.models[name]

    async def ask(self, **request: Any) -> ModelResponse:
        return await collect(self.router, ask(**request), self._hear)

    def _hear(self, event: ModelEvent) -> None:
        self.events.append(event)
        self.seen.set()

    def asked(self) -> list[str]:
        return [name for name, model in self.models.items() if model.requests]

    def state(self, name: str) -> str:
        return self.members[name].breaker.state.state


def outcomes(response: ModelResponse) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.outcome) for attempt in response.attempts]


async def test_without_a_first_token_in_time_the_next_model_is_asked_and_the_first_to_answer_wins() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(7.9)
        assert race.asked() == ["a"]
        await race.clock.advance(0.1)
        assert race.asked() == ["a", "b"]
        race["b"].say("who", "le")
        race["b"].end()
    response = asking.result()
    assert (response.model, response.text) == ("b", "whole")
    assert race.events[:2] == [
        Switched(from_model="a", to_model="b", reason="hedge"),
        TextDelta("who"),
    ]
    assert outcomes(response) == [("a", "hedge"), ("b", "ok")]
    lead, standby = (attempt.begun_at for attempt in response.attempts)
    assert lead is not None
    assert standby is not None
    assert (standby - lead).total_seconds() == 8
    assert race["a"].let_go.is_set()
    assert race.state("a") == "rest"


async def test_the_first_model_still_wins_if_it_answers_before_its_standby() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["a"].say("mine")
        await race["b"].let_go.wait()
        race["a"].end("mine")
    response = asking.result()
    assert response.text == "mine"
    assert outcomes(response) == [("a", "ok"), ("b", "hedge")]
    assert not any(isinstance(event, Switched) for event in race.events)
    assert race.state("a") == "rest", "its token came, and too late"
    assert race.state("b") == "closed", "it had no time to be slow"


@pytest.mark.parametrize("what", ["thinking", "keepalive", "tool_call"])
async def test_a_sign_of_life_in_time_holds_the_standby_off(what: str) -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        race["a"].say(Progress(what))  # type: ignore[arg-type]
        await race.seen.wait()
        await race.clock.advance(100)
        race["a"].end()
    assert asking.result().model == "a"
    assert race.asked() == ["a"]


async def test_a_keep_alive_does_not_win_against_a_standby_and_thinking_does() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["a"].say(Progress("keepalive"))
        race["b"].say(Progress("keepalive"))
        await race.clock.advance(0.1)
        assert not race["a"].let_go.is_set()
        assert not race["b"].let_go.is_set()
        race["b"].say(Progress("thinking"))
        await race["a"].let_go.wait()
        race["b"].end()
    assert asking.result().model == "b"
    assert race.events[1] == Progress("thinking")


async def test_a_keep_alive_of_the_standby_keeps_a_third_model_from_being_asked() -> None:
    race = Race("a", "b", "c")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["b"].say(Progress("keepalive"))
        await race.clock.advance(20)
        assert race.asked() == ["a", "b"]
        race["b"].end()
    assert asking.result().model == "b"


async def test_when_the_standby_is_late_too_the_third_is_asked() -> None:
    race = Race("a", "b", "c")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        await race.clock.advance(8)
        assert race.asked() == ["a", "b", "c"]
        race["c"].end()
    assert outcomes(asking.result()) == [("a", "hedge"), ("b", "hedge"), ("c", "ok")]
    assert all(race[name].let_go.is_set() for name in "ab")
    assert [race.state(name) for name in "abc"] == ["rest", "rest", "closed"]


async def test_a_standby_that_fails_is_followed_by_the_next_and_the_first_may_still_win() -> None:
    race = Race("a", "b", "c")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["b"].say(down("b"))
        await race["c"].asked()
        race["c"].say(down("c"))
        await race.clock.advance(1)
        assert not asking.done()
        race["a"].end()
    assert outcomes(asking.result()) == [("a", "ok"), ("b", "E-MODEL-DOWN"), ("c", "E-MODEL-DOWN")]


async def test_a_first_model_that_fails_late_leaves_the_answer_to_its_standby() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["a"].say(down("a"))
        await race.clock.advance(1)
        race["b"].end()
    response = asking.result()
    assert outcomes(response) == [("a", "E-MODEL-DOWN"), ("b", "ok")]
    assert race.events[0] == Switched(from_model="a", to_model="b", reason="E-MODEL-DOWN")


async def test_calls_of_the_loser_are_never_seen() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["b"].end("", CALL)
        race["a"].end("", ToolCall(id="2", name="never", arguments="{}"))
    response = asking.result()
    assert [call.name for call in response.tool_calls] in (["time"], ["never"])
    assert sum(isinstance(event, Completed) for event in race.events) == 1
    assert len(response.attempts) == 2


async def test_both_first_tokens_in_one_moment_make_one_winner() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        race = Race("a", "b")
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(race.ask())
            await race["a"].asked()
            await race.clock.advance(8)
            race[first].say("x")
            race[second].say("y")
            await race.seen.wait()
            for model in race.models.values():
                model.end()
        winner = asking.result().model
        texts = [event for event in race.events if isinstance(event, TextDelta)]
        assert texts == [TextDelta("x" if winner == first else "y")]
        assert sorted(outcome for _, outcome in outcomes(asking.result())) == ["hedge", "ok"]


async def test_nothing_is_switched_after_visible_text_however_long_it_takes() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        race["a"].say("so ")
        await race.seen.wait()
        await race.clock.advance(200)
        assert race.asked() == ["a"]
        race["a"].end("so far")
    assert asking.result().text == "so far"


async def test_a_winner_that_breaks_off_gives_the_loser_another_chance() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["b"].say("half", down("b"))
        await race["a"].asked(2)
        race["a"].end()
    response = asking.result()
    assert outcomes(response) == [("a", "hedge"), ("b", "E-MODEL-DOWN"), ("a", "ok")]
    switches = [event for event in race.events if isinstance(event, Switched)]
    assert [(s.from_model, s.to_model) for s in switches] == [("a", "b"), ("b", "a")]


async def test_beside_a_late_one_that_failed_before_is_asked_once_more() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        race["a"].say(down("a"))
        await race["b"].asked()
        await race.clock.advance(8)
        await race["a"].asked(2)
        race["a"].end()
    assert outcomes(asking.result()) == [("a", "E-MODEL-DOWN"), ("b", "hedge"), ("a", "ok")]


async def test_beside_a_late_one_that_is_open_is_asked_if_there_is_nobody_else() -> None:
    race = Race("a", "b")
    breaker = race.members["b"].breaker
    breaker.failed(breaker.begin(), ModelAuthError("b", "refused"))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        race["b"].end()
    assert outcomes(asking.result()) == [("a", "hedge"), ("b", "ok")]
    assert race.state("b") == "closed"


async def test_without_hedges_a_slow_model_is_waited_for() -> None:
    race = Race("a", "b", hedge=False)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(19)
        race["a"].end()
    assert asking.result().model == "a"
    assert race.asked() == ["a"]


async def test_a_strict_request_has_no_standby() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask(strict=True))
        await race["a"].asked()
        await race.clock.advance(19)
        assert race.clock.sleepers == 0
        race["a"].end()
    assert race.asked() == ["a"]
    assert asking.result().model == "a"


class Tight(NoBudgets):
    """A budget that is used to this share."""

    def __init__(self, used: float) -> None:
        self._room = Room(budget="day", limit_usd=10, spent_usd=10 * used)

    def room(self, model: str, tags: RequestTags, usd: float = 0.0) -> Room:
        return self._room


@pytest.mark.parametrize(("used", "asked"), [(0.79, ["a", "b"]), (0.8, ["a"])])
async def test_above_four_fifths_of_a_budget_nobody_is_asked_beside_another(
    used: float, asked: list[str]
) -> None:
    race = Race("a", "b", ledger=Tight(used))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        assert race.asked() == asked
        race["a"].end()
    assert asking.result().model == "a"


async def test_what_the_loser_may_have_cost_is_kept_with_the_answer() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask(input_tokens=1000))
        await race["a"].asked()
        await race.clock.advance(8)
        race["b"].end()
    lost, won = asking.result().attempts
    assert lost.possible_usd == pytest.approx(0.01)
    assert lost.cost_usd is None
    assert (won.cost_usd, round(won.possible_usd, 3)) == (None, 0.01)  # nobody counted that one either


async def test_a_caller_that_goes_away_frees_all_of_them() -> None:
    race = Race("a", "b")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(race.ask())
        await race["a"].asked()
        await race.clock.advance(8)
        await race["b"].asked()
        asking.cancel()
        await race["a"].let_go.wait()
        await race["b"].let_go.wait()
    assert race.clock.sleepers == 0
    assert race.state("b") == "closed"


async def test_closing_the_stream_frees_the_winner() -> None:
    race = Race("a", "b")
    events = race.router.stream(ask())
    race["a"].say("text")
    assert await anext(events) == TextDelta("text")
    await events.aclose()
    assert race["a"].let_go.is_set()
    assert race.clock.sleepers == 0


async def test_a_bug_in_a_model_keeps_its_type_and_frees_the_others() -> None:
    for bug in (RuntimeError("a bug"), TimeoutError("its own")):
        race = Race("a", "b")
        race["b"].say(bug)
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the clock moves meanwhile
            async with asyncio.TaskGroup() as group:
                group.create_task(race.ask())
                await race["a"].asked()
                await race.clock.advance(8)
        assert caught.value.exceptions == (bug,)
        assert race["a"].let_go.is_set()


async def test_when_all_fail_every_attempt_is_on_the_error() -> None:
    race = Race("a", "b")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the clock moves meanwhile
        async with asyncio.TaskGroup() as group:
            group.create_task(race.ask())
            await race["a"].asked()
            await race.clock.advance(8)
            race["b"].say(ModelUnavailable("b", "gone", transient=False))
            race["a"].say(ModelUnavailable("a", "gone", transient=False))
    [error] = caught.value.exceptions
    assert isinstance(error, ModelsExhausted)
    assert [(x.model, x.outcome) for x in error.attempts] == [
        ("a", "E-MODEL-DOWN"),
        ("b", "E-MODEL-DOWN"),
    ]


async def test_a_good_call_costs_one_task_and_leaves_none() -> None:
    race = Race("a", "b")
    before = asyncio.all_tasks()
    events = race.router.stream(ask())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(anext(events))
        await race["a"].asked()
        await race.clock.sleeping()
        assert len(asyncio.all_tasks() - before) == 2, "the test's own, and the standby's clock"
        race["a"].say("x")
        await first
    assert asyncio.all_tasks() == before
    await events.aclose()
