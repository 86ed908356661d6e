"""A file as people have it elsewhere, with addresses that look like others' formats, is taken as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clawd import ModelRouter
from clawd.config.loader import load_config
from clawd.models.wire_config import WireConfig
from clawd.plugins import find_plugins
from tests.fakes.openai_api import FakeOpenAI

GIVEN = Path(__file__).with_name("models.yaml")
HOST = "https://api.example.com"


def test_the_file_loads_unchanged_and_nothing_is_added_to_it() -> None:
    environ = {"OPENAI_API_KEY": "sk-nobody-asked", "ANTHROPIC_API_KEY": "sk-nobody-asked"}
    loaded = load_config(GIVEN, environ, find_plugins())
    found = [
        (model.name, model.type, model.url, model.model_id, model.max_tokens, model.temperature)
        for model in loaded.config.models
        if isinstance(model, WireConfig)
    ]
    assert found == [
        ("claude-3", "completion", f"{HOST}/v1/chat", "claude-3", 2000, 0.7),
        ("gpt-4o", "chat", f"{HOST}/v1/completions", "gpt-4o", 1500, 0.5),
    ]
    for model in loaded.config.models:
        assert isinstance(model, WireConfig)
        assert (model.preset, model.api_key, model.price) == (None, None, None)
    assert (loaded.secrets, loaded.notes) == ((), ())
    with ModelRouter(GIVEN, environ=environ) as router:
        assert [info.name for info in router.models()] == ["claude-3", "gpt-4o"]


async def test_each_of_its_models_is_asked_in_its_own_format(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    async with FakeOpenAI() as api:
        path.write_text(GIVEN.read_text().replace(HOST, api.base_url.removesuffix("/v1")))
        router = await asyncio.to_thread(ModelRouter, path, environ={})
        async with router:
            first = await router.ainvoke(model_name="claude-3", prompt="Hello!", user_id="user_123")
            second = await router.ainvoke(model_name="gpt-4o", prompt="Hello!")
            third = await router.ainvoke(prompt="Hello!")
    assert [answer.model for answer in (first, second, third)] == ["claude-3", "gpt-4o", "claude-3"]
    completion, chat, _ = api.requests
    assert (completion.path, chat.path) == ("/v1/chat", "/v1/completions")
    assert "Hello!" in completion.body["prompt"]
    assert chat.body["messages"] == [{"role": "user", "content": "Hello!"}]
    assert [(seen.body["max_tokens"], seen.body["temperature"]) for seen in (completion, chat)] == [
        (2000, 0.7),
        (1500, 0.5),
    ]
