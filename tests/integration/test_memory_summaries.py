"""What a conversation that outgrows its window becomes: summaries, `/compact`, and what is left when they fail."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from clawd.config.schema import AgentConfig
from clawd.errors import ModelError, ModelUnavailable
from clawd.messages import text_of
from clawd.models.base import Completed, ModelEvent, ModelRequest, ModelResponse, TextDelta, UserMessage
from clawd.models.tokens import TokenCounter
from clawd.models.windows import ModelSize, Windows
from clawd.response import JsonObject, ToolCall, Usage
from clawd.texts import say
from clawd.tools.base import ToolContext, ToolResult, ToolSpec
from clawd.tools.history import HistoryTool
from tests.fakes.inner import Inner

WINDOW = 1200
TOOLS = (HistoryTool(),)
Answer = str | ToolCall | ModelError


class Talker:
    """A model that answers each request by what it holds; keeps them all."""

    name = "talker"

    def __init__(self, choose: Callable[[ModelRequest], Answer] | None = None) -> None:
        self.requests: list[ModelRequest] = []
        self.choose = choose or (lambda _: "ok")
        self.gate = asyncio.Event()  # summaries wait for it
        self.gate.set()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        if request.route == "summary":
            await self.gate.wait()
        answer = self.choose(request)
        if isinstance(answer, ModelError):
            raise answer
        if isinstance(answer, ToolCall):
            yield Completed(ModelResponse(model="main", text="", tool_calls=(answer,), finish="tool_calls"))
            return
        yield TextDelta(answer)
        yield Completed(ModelResponse(model="main", text=answer, usage=Usage(input_tokens=5)))

    def asked(self, route: str) -> list[ModelRequest]:
        return [request for request in self.requests if request.route == route]


class Flood:
    """A tool whose result is longer than any small window."""

    spec = ToolSpec(name="flood", description="d", parameters={"type": "object"}, effect="pure")

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        return ToolResult("first " + "filler " * 3000 + "last")


class Entries:
    """A tool with short results; the call for `hangs_at` hangs the first time."""

    spec = ToolSpec(name="entry", description="d", parameters={"type": "object"}, effect="pure")

    def __init__(self, hangs_at: int) -> None:
        self.hangs_at = hangs_at
        self.hanging = asyncio.Event()

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        if arguments["n"] == self.hangs_at and not self.hanging.is_set():
            self.hanging.set()
            await asyncio.Event().wait()
        return ToolResult(f"Entry {arguments['n']}: " + "nothing of note there " * 6)


def told(request: ModelRequest) -> set[int]:
    """Return the entries that a request speaks of."""
    return {int(n) for n in re.findall(r"Entry (\d+):", str(request.messages))}


def users(request: ModelRequest) -> str:
    return "\n".join(text_of(m.parts) for m in request.messages if isinstance(m, UserMessage))


def fits(request: ModelRequest, window: int = WINDOW) -> bool:
    counter = TokenCounter()
    return counter.messages(request.messages) + counter.tools(request.tools) <= window - window // 4


def small(state_dir: Path, model: Talker, *tools: Flood | Entries) -> Inner:
    windows = Windows({"main": ModelSize(context_tokens=WINDOW)}, {"default": ("main",)})
    return Inner(
        state_dir, model=model, windows=windows, tools=(*TOOLS, *tools), agent=AgentConfig(max_steps=100)
    )


def long(number: int) -> str:
    return f"Number {number}: " + "a word and another one " * 12


async def test_the_oldest_turns_become_a_summary_that_is_made_once(state_dir: Path) -> None:
    model = Talker(lambda request: "SUMMARY OF OLD" if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        for n in range(10):
            await inner.ask(long(n))
        made = len(model.asked("summary"))
        last = model.requests[-1]
        await inner.restart()
        await inner.ask("and now?")
    assert 0 < made < 5
    assert len(model.asked("summary")) == made
    assert "SUMMARY OF OLD" in users(last)
    assert "Number 0:" not in users(last)
    assert users(model.requests[-1]).startswith(users(last))
    assert all(map(fits, model.requests))
    assert "Number 0:" in users(model.asked("summary")[0])


async def test_when_no_summary_can_be_made_the_model_is_told_what_is_missing_and_a_later_turn_tries_again(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = ModelUnavailable("main", "down", transient=False)
    model = Talker(lambda request: broken if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        for n in range(8):
            assert (await inner.ask(long(n))).state == "answered"
        shown = users(model.asked("default")[-1])
        assert "earlier messages are not shown; search_history finds them" in shown
        assert "Number 0:" not in shown
        assert "Number 7:" in shown
        failures = [r for r in caplog.records if r.getMessage() == "summary_failed"]
        assert len(failures) == len(model.asked("summary")) > 1  # one in each turn
        model.choose = lambda request: "AT LAST" if request.route == "summary" else "ok"
        await inner.ask("once more")
    assert "AT LAST" in users(model.requests[-1])
    assert "not shown" not in users(model.requests[-1])
    assert all(map(fits, model.requests))


async def test_what_was_said_before_a_summary_failed_is_in_the_one_that_succeeds(state_dir: Path) -> None:
    broken = ModelUnavailable("main", "down", transient=False)
    model = Talker(lambda request: broken if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        for n in range(20):
            await inner.ask(long(n))
        before = len(model.requests)
        model.choose = lambda request: "AT LAST" if request.route == "summary" else "ok"
        await inner.ask("once more")
    told = "\n".join(users(r) for r in model.requests[before:] if r.route == "summary")
    assert all(f"Number {n}:" in told for n in range(16))
    assert len([r for r in model.requests[before:] if r.route == "summary"]) > 1  # too much for one
    assert all(map(fits, model.requests))


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_compact_summarises_now_and_says_how_many_messages_that_stands_for(
    state_dir: Path, language: str
) -> None:
    model = Talker(lambda request: "THE SUMMARY" if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        nothing = await inner.ask("/compact", language=language)
        assert nothing.answer == say("nothing_to_compact", language)
        await inner.ask("one", language=language)
        await inner.ask("two", language=language)
        done = await inner.ask("/compact", language=language)
        assert done.answer == say("compacted", language, messages=3)  # the first /compact is one, too
        await inner.restart()
        await inner.ask("three", language=language)
    shown = users(model.requests[-1])
    assert "THE SUMMARY" in shown
    assert "one" not in shown.split()
    assert shown.endswith("three")


async def test_compact_fails_visibly_when_no_model_answers(state_dir: Path) -> None:
    down = ModelUnavailable("main", "down", transient=False)
    model = Talker(lambda request: down if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        await inner.ask("one")
        ended = await inner.ask("/compact")
        assert (ended.state, ended.answer) == ("failed", say("failed_models", "en"))
        await inner.ask("two")
    assert "one" in users(model.requests[-1])


async def test_a_message_that_is_too_long_alone_loses_its_middle_visibly(state_dir: Path) -> None:
    model = Talker()
    async with small(state_dir, model) as inner:
        await inner.ask("BEGIN " + "middle " * 5000 + "END")
    (request,) = model.requests
    assert fits(request)
    shown = users(request)
    assert shown.startswith("BEGIN")
    assert shown.endswith("END")
    assert "characters are not shown" in shown


async def test_a_tool_result_that_is_too_long_loses_its_middle_visibly(state_dir: Path) -> None:
    def choose(request: ModelRequest) -> Answer:
        tools = [m for m in request.messages if not isinstance(m, UserMessage)]
        return "done" if len(tools) > 2 else ToolCall(id="c", name="flood", arguments="{}")

    model = Talker(choose)
    async with small(state_dir, model, Flood()) as inner:
        assert (await inner.ask("go")).answer == "done"
    assert all(map(fits, model.requests))
    last = model.requests[-1].messages[-1]
    assert "characters are not shown" in getattr(last, "text", "")


async def test_an_undone_exchange_is_not_in_the_summary(state_dir: Path) -> None:
    model = Talker(lambda request: "S" if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        await inner.ask("keep this")
        await inner.ask("a secret slip")
        await inner.ask("/undo")
        await inner.ask("/compact")
    (asked,) = model.asked("summary")
    assert "keep this" in users(asked)
    assert "secret slip" not in users(asked)


async def test_a_question_asked_again_is_never_summed_up_while_it_is_being_answered(state_dir: Path) -> None:
    model = Talker(lambda request: "S" if request.route == "summary" else "ok")
    async with small(state_dir, model) as inner:
        for n in range(3):
            await inner.ask(long(n))
        await inner.ask("/retry")
        assert users(model.requests[-1]).endswith(long(2).strip()) or "Number 2:" in users(model.requests[-1])
        await inner.ask("/retry")
        assert "Number 2:" in users(model.requests[-1])
        for n in range(3, 8):
            await inner.ask(long(n))
    assert all(map(fits, model.requests))


async def test_steps_of_a_turn_that_a_summary_stands_for_stay_so_after_a_restart_and_in_the_history(
    state_dir: Path,
) -> None:
    numbers = iter(range(1, 31))

    def choose(request: ModelRequest) -> Answer:
        if request.route == "summary":
            return "S"
        n = next(numbers, None)
        return ToolCall(id=f"c{n}", name="entry", arguments=json.dumps({"n": n})) if n else "done"

    model, entries = Talker(choose), Entries(hangs_at=25)
    async with small(state_dir, model, entries) as inner:
        turn = await inner.say("go through all of it")
        async with asyncio.timeout(30):
            await entries.hanging.wait()
        before = len(model.requests)
        await inner.restart()
        assert (await inner.ended(turn)).answer == "done"
        await inner.ask("and now?")
    assert all(map(fits, model.requests))
    summed = [told(request) for request in model.asked("summary")]
    assert len(summed) > 2
    assert sum(map(len, summed)) == len(set().union(*summed))  # each once, before and after the restart
    covered = set().union(*(told(r) for r in model.requests[:before] if r.route == "summary"))
    shown = [told(request) for request in model.requests[before:] if request.route == "default"]
    assert covered
    assert not [entries for entries in shown if entries & covered]
    assert all("go through all of it" in users(r) for r in model.asked("default"))


async def test_no_request_is_made_with_a_summary_before_that_is_committed(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = Talker(lambda request: "S" if request.route == "summary" else "ok")
    model.gate.clear()
    async with small(state_dir, model) as inner, asyncio.timeout(50):
        turns = [await inner.say(long(n)) for n in range(8)]
        while not model.asked("summary"):
            await asyncio.sleep(0.01)
        async with inner.locked():  # nothing can be committed
            model.gate.set()
            while not any(r.getMessage() == "turn_paused" for r in caplog.records):
                await asyncio.sleep(0.01)
            assert model.requests[-1].route == "summary"
        assert (await inner.ended(turns[-1])).state == "answered"
    assert "S" in users(model.requests[-1])
