"""Requests that are too long: for the smaller models of a route, or by what a provider says of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from clawd.config.schema import AgentConfig
from clawd.errors import EXIT_FAILED, ContextTooLong, ModelError, ModelsExhausted, ModelUnavailable
from clawd.fanout import Reset
from clawd.messages import Earlier, text_of
from clawd.models.base import Completed, ModelEvent, ModelRequest, ModelResponse, TextDelta, UserMessage
from clawd.models.tokens import TokenCounter
from clawd.models.windows import ModelSize, Windows
from clawd.response import ModelAttempt
from clawd.texts import say
from tests.fakes.inner import Inner

LONG = "BEGIN " + "middle " * 3000 + "END"
Answer = str | ModelError


class Model:
    """Answers each request by what it holds; keeps them all."""

    name = "main"

    def __init__(self, choose: Callable[[ModelRequest], Answer]) -> None:
        self.requests: list[ModelRequest] = []
        self.choose = choose
        self.attempts: tuple[ModelAttempt, ...] = ()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        answer = self.choose(request)
        if isinstance(answer, ModelError):
            raise answer
        yield Completed(ModelResponse(model="main", text=answer, attempts=self.attempts))


def size(request: ModelRequest) -> int:
    return TokenCounter().messages(request.messages)


def told(request: ModelRequest) -> str:
    return "\n".join(text_of(m.parts) for m in request.messages if isinstance(m, UserMessage))


def inner(state_dir: Path, model: Model, **models: int | None) -> Inner:
    sizes = {name: ModelSize(context_tokens=tokens) for name, tokens in models.items()}
    windows = Windows(sizes, {"default": tuple(models)})
    return Inner(state_dir, model=model, windows=windows, agent=AgentConfig(context_tokens=32_000))


def holds(tokens: int, words: str = "context_length_exceeded") -> Callable[[ModelRequest], Answer]:
    """Return how a model with this window answers."""
    error = ModelsExhausted("default", [ContextTooLong("main", "too long", why=words)])
    return lambda request: "S" if size(request) <= tokens else error


async def test_what_does_not_fit_the_smallest_model_goes_whole_to_the_larger_ones(state_dir: Path) -> None:
    model = Model(lambda _: "ok")
    async with inner(state_dir, model, small=1200, big=20_000, huge=100_000) as here:
        await here.ask("short")
        await here.ask(LONG)
    short, *summaries, long = model.requests
    assert short.min_context_tokens is None
    assert {request.route for request in summaries} <= {"summary"}
    assert long.min_context_tokens == 20_000
    assert told(long).endswith(LONG), "nothing is cut"


async def test_what_fits_nobody_is_shortened_for_the_largest(state_dir: Path) -> None:
    model = Model(lambda _: "ok")
    async with inner(state_dir, model, small=1200, big=4000) as here:
        await here.ask(LONG)
    request = model.requests[-1]
    assert request.min_context_tokens == 4000
    assert "characters are not shown" in told(request)
    assert 900 < size(request) <= 3000


async def test_when_the_larger_models_fail_the_smaller_one_is_asked_with_what_it_can_hold(
    state_dir: Path,
) -> None:
    down = ModelUnavailable("big", "down", transient=False)
    model = Model(lambda request: down if request.min_context_tokens else "ok")
    async with inner(state_dir, model, small=1200, big=20_000) as here:
        assert (await here.ask(LONG)).answer == "ok"
    assert size(model.requests[-1]) <= 900


@pytest.mark.parametrize(
    ("words", "requests"), [("maximum context length is 4000 tokens", 2), ("context_length_exceeded", 3)]
)
async def test_a_window_that_a_provider_finds_too_small_is_learnt_and_the_request_made_shorter(
    state_dir: Path, words: str, requests: int
) -> None:
    model = Model(holds(3800, words))
    async with inner(state_dir, model, main=None) as here:
        assert (await here.ask(LONG * 3)).answer == "S"
        assert len(model.requests) == requests
        assert "characters are not shown" in told(model.requests[-1])
        await here.ask("and now?")
    assert all(size(request) <= 3800 for request in model.requests[requests:]), "it is known from now on"


async def test_a_conversation_that_is_too_long_is_summed_up_and_asked_again(state_dir: Path) -> None:
    model = Model(holds(100_000))
    async with inner(state_dir, model, main=None) as here:
        for n in range(6):
            await here.ask(f"Number {n}: " + "a word and another one " * 40)
        model.choose = holds(1500, "maximum context length is 1500 tokens")
        before = len(model.requests)
        assert (await here.ask("and now?")).answer == "S"
    refused, *summaries, last = model.requests[before:]
    assert size(refused) > 1500
    assert summaries
    assert all(request.route == "summary" for request in summaries)
    assert "Summary of the conversation so far" in told(last)
    assert "Number 5:" in told(last) or "Number 5:" in "".join(map(told, summaries))


async def test_a_request_is_made_shorter_three_times_and_then_ends_in_a_sentence(state_dir: Path) -> None:
    model = Model(holds(0))
    async with inner(state_dir, model, main=None) as here:
        view = await here.ask("word " * 12_000, language="zh")
        assert (view.state, view.answer) == ("failed", say("failed_context", "zh"))
        assert view.exit_code == EXIT_FAILED
        assert len(model.requests) == 4


async def test_who_wrote_more_than_fits_is_told_how_much_of_it_was_read(state_dir: Path) -> None:
    model = Model(lambda _: "ok")
    async with inner(state_dir, model, main=3000) as here:
        view = await here.ask("word " * 2000)
        assert view.answer == "ok"
        read = model.requests[-1].messages[-1]
        assert isinstance(read, UserMessage)
        assert view.notice == say("question_cut", shown=f"{len(text_of(read.parts)):,}", whole="10,000")
        assert (await here.ask("short")).notice == ""


async def test_a_short_request_that_is_called_too_long_for_no_reason_is_not_asked_again(
    state_dir: Path,
) -> None:
    model = Model(lambda _: ContextTooLong("main", "too long", why="context length is 100 tokens"))
    async with inner(state_dir, model, main=None) as here:
        assert (await here.ask("hi")).answer == say("failed_context")
        assert len(model.requests) == 1
        assert here.windows.found("main") is None


async def test_a_summary_that_is_too_long_for_its_model_is_made_in_more_requests(state_dir: Path) -> None:
    model = Model(lambda _: "ok")
    async with inner(state_dir, model, main=8000) as here:
        for n in range(10):
            await here.ask(f"Number {n}: " + "a word and another one " * 20)
        model.choose = holds(900, "maximum context length is 900 tokens")
        before = len(model.requests)
        assert (await here.ask("/compact")).state == "answered"
    refused, *made = model.requests[before:]
    assert size(refused) > 900
    assert len(made) > 1
    assert all(size(request) <= 900 for request in made)


async def test_text_of_a_request_that_is_made_again_is_taken_back(state_dir: Path) -> None:
    class Breaks(Model):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            if not self.requests:
                yield TextDelta("half an ans")
            async for event in super().stream(request):
                yield event

    down = ModelUnavailable("big", "broke off", transient=False)
    model = Breaks(lambda request: down if request.min_context_tokens else "ok")
    async with inner(state_dir, model, small=1200, big=20_000) as here, asyncio.TaskGroup() as tasks:
        void = tasks.create_task(here.seen(Reset))
        await asyncio.sleep(0)
        assert (await here.ask(LONG)).answer == "ok"
        await void


async def test_all_models_that_found_a_request_too_long_are_learnt_from_one_error(state_dir: Path) -> None:
    error = ContextTooLong("big", "too long", why="maximum context length is 9000 tokens")
    detail = "maximum context length is 3000 tokens"
    error.attempts = (ModelAttempt(model="small", outcome=error.code, detail=detail),)
    model = Model(lambda request: "ok" if size(request) <= 2250 else error)
    async with inner(state_dir, model, small=16_000, big=32_000) as here:
        assert (await here.ask(LONG * 2)).answer == "ok"
        assert [here.windows.tokens_of(name, 1) for name in ("small", "big")] == [3000, 9000]


async def test_what_was_asked_for_nothing_is_settled_with_the_answer_or_the_turns_end(
    state_dir: Path,
) -> None:
    error = ContextTooLong("main", "too long")
    error.attempts = (ModelAttempt(model="main", outcome=error.code, cost_usd=0.01),)
    model = Model(lambda _: error if len(model.requests) < 3 else "ok")
    model.attempts = (ModelAttempt(model="main", outcome="ok", cost_usd=0.02),)
    async with inner(state_dir, model, main=None) as here:
        await here.ask("word " * 12_000)
        model.choose = lambda _: error
        await here.ask("word " * 12_000)
        rows = await here.opened.store.read(
            "SELECT body FROM journal WHERE kind IN ('llm.result', 'turn.finished') ORDER BY id"
        )
    answered, _, failed = (str(body).count('"cost_usd":0.01') for (body,) in rows)
    assert (answered, failed) == (2, 4)


async def test_a_standby_that_took_over_a_request_too_long_for_the_first_teaches_the_same(
    state_dir: Path,
) -> None:
    model = Model(lambda _: "ok")
    detail = "maximum context length is 2000 tokens"
    model.attempts = (ModelAttempt(model="main", outcome=ContextTooLong.code, detail=detail),)
    async with inner(state_dir, model, main=None) as here:
        await here.ask(LONG)
        model.attempts = ()
        await here.ask(LONG)
    assert size(model.requests[0]) > 2000
    assert size(model.requests[-1]) <= 1500


async def test_what_a_client_tells_of_earlier_is_left_out_from_the_oldest_on_where_it_does_not_fit(
    state_dir: Path,
) -> None:
    model = Model(lambda _: "ok")
    earlier = [Earlier(role="user", text=f"number {n} " + "word " * 100) for n in range(40)]
    async with inner(state_dir, model, main=4000) as here:
        told_before = (Earlier(role="system", text="Be brief."), *earlier)
        await here.ask("now?", context=told_before)
    [request] = model.requests
    assert size(request) <= 3000
    assert "earlier messages are not shown" in told(request)
    assert ("number 39 " in told(request), "number 0 " in told(request)) == (True, False)
    assert "Be brief." in str(request.messages[0])


async def test_a_question_that_is_asked_again_keeps_what_its_client_told_the_model(state_dir: Path) -> None:
    model = Model(lambda _: "ok")
    told_before = (
        Earlier(role="system", text="Be brief."),
        Earlier(role="user", text="I am Ann."),
    )
    async with inner(state_dir, model, main=None) as here:
        await here.ask("who am I?", context=told_before)
        await here.ask("/retry")
        await here.ask("and now?")
    first, again, later = model.requests
    assert again.messages == first.messages
    assert "Be brief." not in str(later.messages[0])  # it was for that question alone
