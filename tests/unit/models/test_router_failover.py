from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clawd.errors import ContextTooLong, ModelAuthError, ModelRateLimited, ModelsExhausted, ModelUnavailable
from clawd.models.base import Completed, ModelResponse, Switched, TextDelta, ToolCall, collect
from clawd.models.candidates import RETRY_DELAYS_S
from clawd.testing import ManualClock, ScriptedModel
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.fakes.routing import router_over
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.ids import Clock
    from clawd.models.base import ManagedProvider, ModelEvent, ModelResponse
    from tests.unit.models.conftest import MakeChat


def _down(model: str = "a", *, transient: bool = True) -> ModelUnavailable:
    return ModelUnavailable(model, "down", why="HTTP 500", transient=transient)


async def _ask(
    *models: ManagedProvider, clock: Clock | None = None
) -> tuple[ModelResponse, list[ModelEvent]]:
    events: list[ModelEvent] = []
    route = router_over(*models, clock=clock or ManualClock())
    return await collect(route, ask(), events.append), events


def _switches(events: Sequence[ModelEvent]) -> list[tuple[str, str]]:
    return [(e.from_model, e.to_model) for e in events if isinstance(e, Switched)]


async def test_the_first_that_answers_is_used_alone() -> None:
    a, b = ScriptedModel("fine", name="a"), ScriptedModel(name="b")
    response, events = await _ask(a, b)
    assert (response.model, response.text) == ("a", "fine")
    assert [(x.model, x.outcome) for x in response.attempts] == [("a", "ok")]
    assert b.requests == []
    assert _switches(events) == []


async def test_a_failure_before_any_text_goes_to_the_next_at_once() -> None:
    a, b = ScriptedModel(_down("a"), name="a"), ScriptedModel("fine", name="b")
    response, events = await _ask(a, b)  # a clock that stands still: nothing was waited for
    assert response.model == "b"
    assert _switches(events) == [("a", "b")]
    assert [(x.model, x.outcome, x.detail) for x in response.attempts] == [
        ("a", "E-MODEL-DOWN", "down: HTTP 500"),
        ("b", "ok", ""),
    ]


async def test_text_of_a_broken_answer_is_void_and_the_next_begins_anew() -> None:
    a, b = ScriptedModel(["half an", _down("a")], name="a"), ScriptedModel("whole", name="b")
    response, events = await _ask(a, b)
    assert response.text == "whole"
    assert [type(e) for e in events[:3]] == [TextDelta, Switched, TextDelta]


async def test_a_wrong_key_disturbs_nobody_else_and_is_not_tried_again() -> None:
    a = ScriptedModel(ModelAuthError("a", "refused"), name="a")
    b = ScriptedModel("fine", name="b")
    response, _ = await _ask(a, b)
    assert response.model == "b"
    assert [x.outcome for x in response.attempts] == ["E-MODEL-AUTH", "ok"]


async def test_all_wrong_keys_end_at_once_with_every_cause() -> None:
    models = [ScriptedModel(ModelAuthError(n, f"refused {n}"), name=n) for n in ("a", "b")]
    with pytest.raises(ModelsExhausted) as caught:
        await _ask(*models)
    assert [cause.model for cause in caught.value.causes] == ["a", "b"]
    assert caught.value.exit_code == 4
    assert [len(m.requests) for m in models] == [1, 1]


async def test_what_can_never_work_is_not_repeated() -> None:
    a = ScriptedModel(_down(transient=False), name="a")
    b = ScriptedModel(ContextTooLong("b", "too long"), name="b")
    with pytest.raises(ContextTooLong) as caught:  # a shorter request may work
        await _ask(a, b)
    assert [len(m.requests) for m in (a, b)] == [1, 1]
    assert [x.outcome for x in caught.value.attempts] == ["E-MODEL-DOWN", "E-CONTEXT"]


async def test_one_model_that_fails_three_times_still_answers() -> None:
    clock = ManualClock()
    a = ScriptedModel(_down(), _down(), _down(), "at last", name="a")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask(a, clock=clock))
        for delay_s in RETRY_DELAYS_S:
            await clock.sleeping()
            assert not asking.done()
            await clock.advance(delay_s)
    response, events = asking.result()
    assert response.text == "at last"
    assert len(response.attempts) == 4
    assert _switches(events) == []  # nothing was shown, and nobody else took over


async def test_one_model_that_keeps_failing_is_given_up_with_its_last_words() -> None:
    clock = ManualClock()
    a = ScriptedModel(*[_down()] * 4, name="a")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the clock moves meanwhile
        async with asyncio.TaskGroup() as group:
            group.create_task(_ask(a, clock=clock))
            for delay_s in RETRY_DELAYS_S:
                await clock.sleeping()
                await clock.advance(delay_s)
    [error] = caught.value.exceptions
    assert isinstance(error, ModelsExhausted)
    assert [cause.why for cause in error.causes] == ["HTTP 500"]
    assert len(a.requests) == 1 + len(RETRY_DELAYS_S)


@pytest.mark.parametrize("wait_s", [7, 60])
async def test_the_shortest_wait_that_a_provider_asks_for_is_kept(wait_s: float) -> None:
    clock = ManualClock()
    a = ScriptedModel(ModelRateLimited("a", retry_after_s=wait_s), "fine", name="a")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_ask(a, clock=clock))
        await clock.sleeping()
        await clock.advance(wait_s - 0.5)
        assert len(a.requests) == 1
        await clock.advance(0.5)
    assert asking.result()[0].text == "fine"


async def test_a_provider_that_wants_too_much_patience_is_not_waited_for() -> None:
    a = ScriptedModel(ModelRateLimited("a", retry_after_s=61), name="a")
    with pytest.raises(ModelsExhausted):
        await _ask(a)
    assert len(a.requests) == 1


async def test_an_empty_answer_goes_to_the_next() -> None:
    class Silent(ScriptedModel):
        async def stream(self, request):  # type: ignore[no-untyped-def]
            yield Completed(ModelResponse(model=self.name, text=" \n"))

    response, events = await _ask(Silent(name="a"), ScriptedModel("fine", name="b"))
    assert response.model == "b"
    assert _switches(events) == [("a", "b")]


async def test_calls_are_made_fit_to_work_with() -> None:
    calls = [ToolCall(id="x", name="one", arguments="{oops"), ToolCall(id="x", name="two", arguments="{}")]
    response, _ = await _ask(ScriptedModel([*calls], name="a"))
    assert [(c.id, c.arguments) for c in response.tool_calls] == [("x", "{oops"), ("x_2", "{}")]


async def test_durations_and_first_tokens_are_measured() -> None:
    clock, gate, end, shown = ManualClock(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    a = ScriptedModel([gate, "text", end], name="a")
    route = router_over(a, clock=clock)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(collect(route, ask(), lambda _: shown.set()))
        await a.asked()
        await clock.advance(2)
        gate.set()
        await shown.wait()
        await clock.advance(3)
        end.set()
    (attempt,) = asking.result().attempts
    assert (attempt.first_token_s, attempt.duration_s) == (2.0, 5.0)
    assert attempt.usage.input_tokens == 1


async def test_closing_early_closes_the_model_in_use() -> None:
    closed = False

    class Watched(ScriptedModel):
        async def stream(self, request):  # type: ignore[no-untyped-def]
            nonlocal closed
            try:
                async for event in super().stream(request):
                    yield event
            finally:
                closed = True

    events = router_over(Watched(["a", "b"], name="a"), clock=ManualClock()).stream(ask())
    await anext(events)
    await events.aclose()
    assert closed


async def test_a_real_server_that_breaks_off_is_followed_by_a_real_one(make_chat: MakeChat) -> None:
    async with (
        FakeOpenAI(Reply(chunks=["ha", "lf"], reset_after=2, null_content=False)) as bad,
        FakeOpenAI() as good,
    ):
        a, b = make_chat(bad.base_url, name="a"), make_chat(good.base_url, name="b")
        response, events = await _ask(a, b)
    assert response.text == "you said: hi"
    assert _switches(events) == [("a", "b")]
