"""The example of two models: dialogue goes to one and reasoning to the other, by its file alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.config.loader import LoadedConfig, load_config
from clawd.ids import SystemClock
from clawd.models.base import ModelContext
from clawd.models.registry import build_models
from clawd.plugins import find_plugins
from tests.fakes.inner import Inner
from tests.fakes.openai_api import FakeOpenAI, Reply

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "dialogue-and-reasoning.yaml"
PLUGINS = find_plugins()
KEYS = {"DIALOGUE_API_KEY": "key-of-the-talker", "REASONING_API_KEY": "key-of-the-thinker"}


def load(folder: Path, talker: FakeOpenAI, thinker: FakeOpenAI) -> LoadedConfig:
    """Read the example with the addresses of two servers of this test in it."""
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("https://dialogue.example.com/v1", talker.base_url)
    text = text.replace("https://reasoning.example.com/v1", thinker.base_url)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return load_config(folder / "config.yaml", KEYS, PLUGINS)


def test_the_example_loads_without_a_remark() -> None:
    loaded = load_config(EXAMPLE, KEYS, PLUGINS)
    assert loaded.notes == ()
    assert list(loaded.config.routes) == ["default", "reasoning"]


@pytest.mark.parametrize(
    "text", ["/think is 91 prime?", "Please PROVE that 91 is prime.", "请证明这个定理", "why? " * 400 + "!"]
)
async def test_dialogue_goes_to_one_model_and_reasoning_to_the_other(state_dir: Path, text: str) -> None:
    talks, thinks = Reply(text="I talk."), Reply(text="I think.")
    async with FakeOpenAI(default=talks) as talker, FakeOpenAI(default=thinks) as thinker:
        loaded = await asyncio.to_thread(load, state_dir, talker, thinker)
        config, clock = loaded.config, SystemClock()
        context = ModelContext(
            network=config.network, limits=config.breaker, clock=clock, version="1", environ={}
        )
        models = await build_models(config, PLUGINS.models, context)
        try:
            async with Inner(
                state_dir, model=models.router, windows=models.windows, routes=dict(config.routes)
            ) as inner:
                assert [(await inner.ask(said)).answer for said in ("hello", text, "goodbye")] == [
                    "I talk.",
                    "I think.",
                    "I talk.",
                ]
        finally:
            await models.close()
    (thought,) = thinker.requests
    assert thought.headers["authorization"] == "Bearer key-of-the-thinker"
    assert thought.last_user_text == text.removeprefix("/think").strip()
    assert talker.requests[0].headers["authorization"] == "Bearer key-of-the-talker"
