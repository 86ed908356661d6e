from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from clawd.errors import ConfigError
from clawd.models import anthropic, chat, demo, detect, responses
from clawd.models.base import ModelPlugin
from clawd.models.detect import Found, detect_models
from clawd.models.local import PLUGIN as LOCAL
from clawd.models.local_config import LocalConfig
from clawd.models.presets import ServerPreset, load_presets
from clawd.models.wire_config import WireConfig
from tests.fakes.openai_api import FakeOpenAI

PLUGINS: dict[str, ModelPlugin[Any]] = {
    "anthropic": anthropic.PLUGIN,
    "chat": chat.PLUGIN,
    "demo": demo.PLUGIN,
    "responses": responses.PLUGIN,
}
SECRET = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a server that answers the time for it also where the computer is busy."""
    monkeypatch.setattr(detect, "PROBE_S", 20.0)


async def _detect(environ: dict[str, str], *ports: int) -> list[Found]:
    servers = [ServerPreset(name=f"server-{i}", port=port) for i, port in enumerate(ports)]
    return await detect_models(environ, PLUGINS, servers)


async def test_with_nothing_there_the_demo_answers() -> None:
    (only,) = await _detect({})
    assert (only.config.name, only.config.type, only.found, only.standby) == (
        "demo",
        "demo",
        "built in",
        True,
    )


async def test_keys_in_the_environment_come_first_in_the_order_of_the_table() -> None:
    found = await _detect({"DEEPSEEK_API_KEY": SECRET, "OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": " "})
    assert [(f.config.name, f.found, f.standby) for f in found] == [
        ("openai", "environment OPENAI_API_KEY", True),
        ("deepseek", "environment DEEPSEEK_API_KEY", True),
        ("demo", "built in", False),
    ]
    config = found[0].config
    assert isinstance(config, WireConfig)
    assert config.api_key is not None
    assert config.api_key.hint == "environment OPENAI_API_KEY, ends in …6789"
    assert SECRET not in repr(found)


async def test_a_customary_variable_moves_the_address_and_the_model() -> None:
    environ = {"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": "http://proxy:4000/v1", "OPENAI_MODEL": "mine"}
    config = (await _detect(environ))[0].config
    assert isinstance(config, WireConfig)
    assert (config.url, config.model) == ("http://proxy:4000/v1/chat/completions", "mine")


async def test_a_variable_that_holds_no_address_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        await _detect({"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": "proxy:4000"})
    assert "environment OPENAI_BASE_URL" in str(raised.value)
    assert "begin with https://HOST or http://HOST" in str(raised.value)
    assert SECRET not in str(raised.value)


async def test_what_is_found_has_a_price_where_one_is_known() -> None:
    prices = {f.config.name: f.config.price for f in await _detect({"DEEPSEEK_API_KEY": SECRET})}
    assert prices["deepseek"] is not None
    assert prices["deepseek"].as_of is not None
    assert prices["demo"] is not None
    assert prices["demo"].output == 0


@pytest.mark.parametrize("preset", load_presets().providers, ids=lambda preset: preset.name)
async def test_every_provider_of_the_table_makes_a_valid_model(preset: Any) -> None:
    for variable in preset.keys:
        config = (await _detect({variable: SECRET}))[0].config
        assert isinstance(config, WireConfig)
        assert (config.name, config.model) == (preset.name, preset.model)
        assert config.type == preset.type
        assert config.url.startswith(f"{preset.base_url}/")


async def test_a_server_on_loopback_is_found_with_its_first_model_that_chats() -> None:
    async with FakeOpenAI(models=("nomic-embed-text", "bge-m3", "qwen3:8b", "llama3")) as api:
        found = await _detect({}, api.port)
    config = found[0].config
    assert isinstance(config, WireConfig)
    assert (config.name, config.model, config.base_url) == ("server-0", "qwen3:8b", api.base_url)
    assert found[0].found == "loopback"
    assert [f.standby for f in found] == [True, False]


async def test_a_server_with_embeddings_only_is_passed_over() -> None:
    async with FakeOpenAI(models=("nomic-embed-text", "bge-m3")) as api:
        assert [f.config.name for f in await _detect({}, api.port)] == ["demo"]


async def test_keys_go_before_servers() -> None:
    async with FakeOpenAI() as api:
        found = await _detect({"OPENAI_API_KEY": SECRET}, api.port)
    assert [f.config.name for f in found] == ["openai", "server-0", "demo"]


async def test_servers_that_hang_cost_no_more_than_the_limit_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detect, "PROBE_S", 1.0)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as mute:
        async with FakeOpenAI() as api:
            began = loop.time()
            ports = (silent.getsockname()[1], api.port, mute.getsockname()[1])
            found = await _detect({}, *ports)
            took = loop.time() - began
    assert [f.config.name for f in found] == ["server-1", "demo"]
    assert took < 2.0, "one after the other"


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"SSH-2.0-OpenSSH\r\n", b""],
    ids=["text", "401", "list", "ssh", "closed"],
)  # fmt: skip
async def test_whoever_else_listens_there_is_no_model_server(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        found = await _detect({}, server.sockets[0].getsockname()[1])
    assert [f.config.name for f in found] == ["demo"]


async def test_the_bundled_model_goes_before_the_demo_and_after_everything_real() -> None:
    plugins = {**PLUGINS, "local": LOCAL}
    alone = await detect_models({}, plugins, [])
    assert [(f.config.name, f.found, f.standby) for f in alone] == [
        ("local", "installed", True),
        ("demo", "built in", False),
    ]
    assert isinstance(alone[0].config, LocalConfig)
    beside = await detect_models({"OPENAI_API_KEY": SECRET}, plugins, [])
    assert [(f.config.name, f.standby) for f in beside] == [
        ("openai", True),
        ("local", False),
        ("demo", False),
    ]
