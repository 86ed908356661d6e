"""Long conversations with a small window: no request is above it, and what was said first is still found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clawd.agent.compact import INSTRUCTIONS
from clawd.config.schema import AgentConfig
from clawd.ids import SystemClock
from clawd.messages import Accepted, Text
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolCall, ToolMessage, UserMessage
from clawd.models.chat import PLUGIN as CHAT
from clawd.models.chat_config import ChatConfig
from clawd.models.tokens import TokenCounter, VocabularySize, estimate_text
from clawd.models.windows import ModelSize, Windows
from clawd.response import JsonObject
from clawd.tools.base import ToolContext, ToolResult, ToolSpec
from clawd.tools.history import HistoryTool
from tests.fakes.inner import Inner, message
from tests.fakes.openai_api import FakeOpenAI, Reply, Seen
from tests.fakes.routing import router_over
from tests.fakes.tokenizer import MISSING, real_tokenizer
from tests.unit.models.conftest import make_context

if TYPE_CHECKING:
    from clawd.ids import TurnId
    from clawd.journal.reading import TurnView

WINDOW = 2000
STEPS = 500
ENGLISH = "The code of the vault is KESTREL 7391."
CHINESE = "口令是青鸾四十七，请记住。"
SUMMARY = INSTRUCTIONS[:30]


class Lookup:
    """A tool whose every result is some forty tokens, and whose first one matters."""

    spec = ToolSpec(
        name="lookup",
        description="Look up entry n.",
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}},
        effect="pure",
    )

    async def call(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        if arguments["n"] == 1:
            return ToolResult(f"{ENGLISH} {CHINESE}")
        return ToolResult(f"Entry {arguments['n']}: nothing of note in the ledger of that day, weather fair.")


def is_summary(seen: Seen) -> bool:
    return str(seen.body["messages"][0]["content"]).startswith(SUMMARY)


def results(seen: Seen) -> list[str]:
    return [m["content"] for m in seen.body["messages"] if m["role"] == "tool"]


def search(number: int, query: str) -> dict[str, str]:
    return {"id": f"s{number}", "name": "search_history", "arguments": json.dumps({"query": query})}


class OneLongTurn:
    """Two calls a step, then the two searches, then an answer made of what they found."""

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps
        self.asked = 0

    def __call__(self, seen: Seen) -> Reply:
        if is_summary(seen):
            return Reply(chunks=["Summary: entries were looked up one by one. " + "More to come. " * 40])
        self.asked += 1
        if self.asked <= self.steps // 2:
            numbers = (2 * self.asked - 1, 2 * self.asked)
            calls = [{"id": f"c{n}", "name": "lookup", "arguments": json.dumps({"n": n})} for n in numbers]
            return Reply(text="", tool_calls=calls)
        if self.asked == self.steps // 2 + 1:
            return Reply(text="", tool_calls=[search(1, "vault code"), search(2, "青鸾")])
        return Reply(chunks=[" / ".join(results(seen)[-2:])])


def many_short_turns(seen: Seen) -> Reply:
    if is_summary(seen):
        return Reply(chunks=["总结：聊了很多小事。"])
    found = results(seen)
    if seen.last_user_text.startswith("What was"):
        if found:
            return Reply(chunks=[" / ".join(found[-2:])])
        return Reply(text="", tool_calls=[search(1, "vault code"), search(2, "口令")])
    return Reply(chunks=[f"Noted: {seen.last_user_text[:40]}"])


def body_of(seen: Seen) -> list[ChatMessage]:
    """Return a request's messages as they were before they became JSON."""
    messages: list[ChatMessage] = []
    for m in seen.body["messages"]:
        text = m.get("content") or ""
        match m["role"]:
            case "system":
                messages.append(SystemMessage(text))
            case "user":
                messages.append(UserMessage((Text(text),)))
            case "tool":
                messages.append(ToolMessage(call_id=m["tool_call_id"], name="", text=text))
            case _:
                calls = [(c["id"], c["function"]) for c in m.get("tool_calls", ())]
                made = tuple(ToolCall(id=i, name=f["name"], arguments=f["arguments"]) for i, f in calls)
                messages.append(AssistantMessage(text=text, tool_calls=made))
    return messages


def above(seen: Seen, limit: int, vocabulary: VocabularySize = "large") -> bool:
    counter = TokenCounter(vocabulary)
    tools = json.dumps(seen.body.get("tools", []), ensure_ascii=False) if "tools" in seen.body else ""
    return counter.messages(body_of(seen)) + estimate_text(tools, vocabulary) > limit


def chat_ml(body: dict[str, Any]) -> str:
    """Return the text that a model reads of a request, in the most common template."""
    tools = json.dumps(body.get("tools", []), ensure_ascii=False)
    turns = [
        f"<|im_start|>{m['role']}\n{m.get('content') or ''}{json.dumps(m.get('tool_calls', ''))}<|im_end|>\n"
        for m in body["messages"]
    ]
    return tools + "".join(turns) + "<|im_start|>assistant\n"


@asynccontextmanager
async def inside(
    state_dir: Path, api: FakeOpenAI, vocabulary: VocabularySize = "large"
) -> AsyncIterator[Inner]:
    provider = CHAT.create(
        make_context(SystemClock()), ChatConfig(name="main", type="chat", base_url=api.base_url)
    )
    routes = {"default": ("main",)}
    inner = Inner(
        state_dir,
        model=router_over(provider),
        windows=Windows({"main": ModelSize(context_tokens=WINDOW, vocabulary=vocabulary)}, routes),
        tools=(Lookup(), HistoryTool()),
        agent=AgentConfig(max_steps=1000, instructions="You are a careful clerk."),
    )
    async with inner:
        yield inner
    await provider.close()


async def ended(inner: Inner, turn: TurnId) -> TurnView:
    """Return the turn once it is over, however long that takes: the test's own limit holds."""
    while (view := await inner.views.turn(turn)).finished_at is None:
        await asyncio.sleep(0.1)
    return view


async def long_turn(
    state_dir: Path, choose: Callable[[Seen], Reply], vocabulary: VocabularySize
) -> FakeOpenAI:
    async with FakeOpenAI(choose=choose) as api, inside(state_dir, api, vocabulary) as inner:
        view = await ended(inner, await inner.say("Look everything up, then tell me the code."))
        assert view.state == "answered", view.error
        assert ENGLISH in view.answer
        assert "青鸾四十七" in view.answer
    return api


@pytest.mark.timeout(300)
async def test_a_turn_of_five_hundred_steps_stays_within_a_small_window_and_finds_its_first(
    state_dir: Path,
) -> None:
    api = await long_turn(state_dir, OneLongTurn(), "large")
    summaries = [seen for seen in api.requests if is_summary(seen)]
    assert 5 < len(summaries) < 100
    assert not [n for n, seen in enumerate(api.requests) if above(seen, WINDOW - WINDOW // 4)]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_five_hundred_short_turns_stay_within_a_small_window_and_find_their_first(
    state_dir: Path,
) -> None:
    texts = [f"Small talk number {n}: it is {n} degrees, and the ferry was late again." for n in range(STEPS)]
    texts[0], texts[-1] = f"{ENGLISH} {CHINESE}", "What was the code?"
    async with FakeOpenAI(choose=many_short_turns) as api, inside(state_dir, api) as inner:
        accepted = await inner.inbox.accept([message(text, bridge="terminal") for text in texts])
        last = accepted[-1]
        assert isinstance(last, Accepted)
        view = await ended(inner, last.turn)
        assert ENGLISH in view.answer
        assert "青鸾四十七" in view.answer
    assert any(map(is_summary, api.requests))
    assert not [n for n, seen in enumerate(api.requests) if above(seen, WINDOW - WINDOW // 4)]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"install: {MISSING}")
@pytest.mark.timeout(300)
async def test_the_real_tokenizer_agrees_that_no_request_is_above_the_window(state_dir: Path) -> None:
    api = await long_turn(state_dir, OneLongTurn(steps=120), "small")
    async with real_tokenizer() as count:
        sizes = [await count(chat_ml(seen.body)) for seen in api.requests]
    assert max(sizes) <= WINDOW - WINDOW // 4, max(sizes)
    assert max(sizes) > WINDOW // 4  # the window is put to use
