from __future__ import annotations

import json

from clawd.models.base import AssistantMessage, ModelRequest, TextDelta, ToolMessage, collect
from clawd.models.demo import LABEL, PLUGIN, DemoConfig
from clawd.tools.calculator import PLUGIN as CALCULATOR
from tests.unit.models.conftest import ask, make_context
from tests.unit.tools.context import SITE

DEMO = PLUGIN.create(make_context(), DemoConfig(name="demo"))
SPEC = CALCULATOR.create(SITE, CALCULATOR.config()).spec


async def test_it_says_what_it_is_and_echoes_in_several_pieces() -> None:
    events: list[object] = []
    response = await collect(DEMO, ask("hello there"), events.append)
    assert response.text == f"{LABEL} You said: hello there"
    assert LABEL == "(demo model, no model is configured: run clawd init)"
    assert sum(isinstance(event, TextDelta) for event in events) > 3


async def test_the_same_question_gets_the_same_answer() -> None:
    assert await collect(DEMO, ask("twice")) == await collect(DEMO, ask("twice"))


async def test_a_sum_goes_through_the_calculator_and_its_result_into_the_answer() -> None:
    question = ask("what is 2+2 please", tools=(SPEC,))
    first = await collect(DEMO, question)
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments), first.finish) == (
        "calculator",
        {"expression": "2+2"},
        "tool_calls",
    )

    told = ToolMessage(call_id=call.id, name=call.name, text="4")
    messages = (*question.messages, AssistantMessage(text="", tool_calls=first.tool_calls), told)
    second = await collect(DEMO, ModelRequest(messages=messages, tools=(SPEC,)))
    assert second.text == f"{LABEL} The calculator says: 4"
    assert second.tool_calls == ()


async def test_without_the_tool_a_sum_is_echoed() -> None:
    assert (await collect(DEMO, ask("2+2"))).text == f"{LABEL} You said: 2+2"
