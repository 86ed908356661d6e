"""What a model thought on the way to its calls goes back to it, also after a restart, and to no other model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from clawd.config.schema import AccessConfig
from clawd.models import anthropic, responses
from clawd.models.anthropic_config import AnthropicConfig
from clawd.models.responses_config import ResponsesConfig
from tests.fakes import anthropic_api, responses_api
from tests.fakes.inner import Inner
from tests.fakes.tools import ScriptedTool
from tests.unit.models.conftest import make_context

if TYPE_CHECKING:
    from pathlib import Path

OPEN_TO_TOOLS = AccessConfig(default="allow", grant="tools", rate="100000/s")


async def test_anthropics_blocks_go_back_as_they_were_also_after_a_restart(state_dir: Path) -> None:
    blocks = [
        anthropic_api.thinking("Two places."),
        anthropic_api.said("I look."),
        anthropic_api.tool_use("a", "act", text="ü"),
        anthropic_api.redacted("x"),
        anthropic_api.tool_use("b", "act"),
    ]
    answers = (anthropic_api.Answer(blocks=blocks), anthropic_api.Answer(text="Done."))
    async with anthropic_api.FakeAnthropic(*answers, binds=True) as api:
        config = AnthropicConfig(name="it", type="anthropic", base_url=api.base_url, thinking_tokens=2048)
        model = anthropic.PLUGIN.create(make_context(), config)
        tool = ScriptedTool("one", asyncio.Event(), "two", effect="idempotent")
        async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
            turn = await inner.say("look")
            await tool.called(2)
            await inner.restart()
            assert (await inner.ended(turn)).answer == "I look.\n\nDone."
        await model.close()
    assert [seen.refused for seen in api.requests] == ["", ""]
    sent: Any = api.requests[1].body["messages"]
    assert sent[1]["content"] == blocks


async def test_responses_reasoning_goes_back_sealed(state_dir: Path) -> None:
    items = [responses_api.reasoning("rs_1", "Hm.", "So."), responses_api.call("a", "act")]
    answers = (responses_api.Answer(items=items), responses_api.Answer(text="Done."))
    async with responses_api.FakeResponses(*answers) as api:
        config = ResponsesConfig(name="it", type="responses", base_url=api.base_url, reasoning={})  # type: ignore[arg-type]
        model = responses.PLUGIN.create(make_context(), config)
        tool = ScriptedTool("one")
        async with Inner(state_dir, model=model, tools=[tool], access=OPEN_TO_TOOLS) as inner:
            assert (await inner.ask("look")).answer == "Done."
        await model.close()
    assert [seen.refused for seen in api.requests] == ["", ""]
    assert api.requests[1].body["input"][1] == items[0]
