"""What the table of providers says, and how it finds and fills an entry."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from clawd.models.presets import load_presets
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from clawd.config.presets import Filled

TABLE = load_presets()


def _found(**entry: Any) -> str | None:
    preset = TABLE.find(entry)
    return preset.name if preset is not None else None


def _filled(environ: dict[str, str], fields: set[str] | None = None, **entry: Any) -> Filled:
    preset = TABLE.find(entry)
    assert preset is not None
    every = {"preset", "type", "base_url", "model", "api_key", "max_tokens_field", "first_token_timeout_s"}
    return preset.fill(entry, every if fields is None else fields, environ.get)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5.4-mini", "openai"),
        ("o3", "openai"),
        ("claude-sonnet-5-5", "anthropic"),
        ("deepseek-reasoner", "deepseek"),
        ("gemini-flash-latest", "gemini"),
        ("qwen3.8-max", "qwen"),
        ("qwen-plus", "qwen"),
        ("kimi-k3", "moonshot"),
        ("glm-5.3", "zai"),
        ("GLM-5.3", "zai"),
        ("mistral-small-latest", "mistral"),
        ("openrouter/auto", "openrouter"),
        ("gpt-oss-120b", None),
        ("openai/gpt-oss-120b", None),
        ("deepseek-r1:8b", None),
        ("qwen3:8b", None),
        ("llama3", None),
        ("main", None),
    ],
)
def test_a_model_name_stands_for_its_provider_only_where_nobody_else_has_it(
    model: str, provider: str | None
) -> None:
    assert _found(name="main", model=model) == provider
    assert _found(name=model) == provider


def test_no_pattern_of_one_provider_covers_names_of_another() -> None:
    for one, other in combinations(TABLE.providers, 2):
        for name in other.names:
            assert not any(fnmatchcase(name, pattern) for pattern in one.names), (one.name, name)


@pytest.mark.parametrize("key", ["base_url", "endpoint"])
def test_an_entry_with_an_address_is_left_alone_unless_it_names_a_preset(key: str) -> None:
    address = {key: "https://api.example.com/v1"}
    assert _found(name="gpt-4o", type="chat", **address) is None
    assert _found(name="deepseek", **address) is None
    assert _found(name="x", preset="deepseek", **address) == "deepseek"


def test_a_preset_fills_what_the_entry_leaves_open_and_says_where_from() -> None:
    filled = _filled({"DEEPSEEK_API_KEY": "sk-1"}, name="deepseek")
    assert {key: (a.value, a.origin, a.secret) for key, a in filled.additions.items()} == {
        "preset": ("deepseek", "preset deepseek", False),
        "type": ("chat", "preset deepseek", False),
        "base_url": ("https://api.deepseek.com/v1", "preset deepseek", False),
        "model": ("deepseek-flash", "preset deepseek", False),
        "api_key": ("sk-1", "environment DEEPSEEK_API_KEY", True),
    }
    assert filled.lacks == ()


def test_what_the_entry_says_goes_first_key_by_key() -> None:
    entry: dict[str, Any] = {"name": "main", "preset": "openai", "type": "chat", "model": "mine"}
    filled = _filled({"OPENAI_API_KEY": "sk-1"}, **entry, api_key="own")
    assert set(filled.additions) == {"base_url", "max_tokens_field"}


def test_a_name_that_is_a_model_of_the_preset_is_the_model() -> None:
    assert "model" not in _filled({}, name="claude-opus-5", preset="anthropic").additions
    assert _filled({}, name="big", preset="anthropic").additions["model"].value == "claude-sonnet-5-5"
    assert _filled({}, name="qwen").additions["model"].value == "qwen-plus"


def test_settings_that_the_type_does_not_have_are_not_added() -> None:
    assert set(_filled({}, {"base_url", "model"}, name="openai").additions) == {"base_url", "model"}


def test_customary_variables_move_the_address_and_the_model() -> None:
    environ = {"OPENAI_BASE_URL": "http://proxy:4000/v1", "OPENAI_MODEL": "mine"}
    filled = _filled(environ, name="openai")
    assert (filled.additions["base_url"].value, filled.additions["base_url"].origin) == (
        "http://proxy:4000/v1",
        "environment OPENAI_BASE_URL",
    )
    assert filled.additions["model"].origin == "environment OPENAI_MODEL"
    assert filled.lacks == ()  # a proxy may need no key


def test_behind_another_address_openai_speaks_chat_completions() -> None:
    preset = TABLE.find({"name": "openai"})
    assert preset is not None
    proxy = "http://proxy:4000/v1"
    unset: dict[str, str] = {}
    assert preset.type_of({"name": "openai"}, unset.get) == "responses"
    assert preset.type_of({"name": "openai"}, {"OPENAI_BASE_URL": proxy}.get) == "chat"
    assert preset.type_of({"name": "openai", "base_url": proxy}, unset.get) == "chat"
    assert preset.type_of({"name": "openai", "type": "completion"}, unset.get) == "completion"


def test_a_missing_key_names_every_variable_that_could_hold_it() -> None:
    (lack,) = _filled({"GEMINI_API_KEY": ""}, name="gemini").lacks
    assert lack.message == "gemini needs a key, and none of GEMINI_API_KEY, GOOGLE_API_KEY is set"
    assert lack.remedy == "set GEMINI_API_KEY, or api_key: {file: PATH}"


def test_the_second_variable_counts_when_the_first_is_not_set() -> None:
    filled = _filled({"GOOGLE_API_KEY": "g"}, name="gemini")
    assert filled.additions["api_key"].origin == "environment GOOGLE_API_KEY"


def test_no_key_is_a_word_too() -> None:
    filled = _filled({"DEEPSEEK_API_KEY": "sk-1"}, name="deepseek", api_key=None)
    assert ("api_key" in filled.additions, filled.lacks) == (False, ())


@pytest.mark.parametrize("server", TABLE.servers, ids=lambda server: server.name)
def test_model_servers_need_no_key_and_know_their_port(server: Any) -> None:
    filled = _filled({}, name="main", preset=server.name, model="qwen3:8b")
    assert filled.lacks == ()
    assert filled.additions["base_url"].value == f"http://127.0.0.1:{server.port}/v1"
    assert "api_key" not in filled.additions


def test_a_server_of_many_models_wants_to_know_which() -> None:
    (lack,) = _filled({}, name="ollama").lacks
    assert lack.key == "model"
    assert _filled({}, name="llama-cpp").lacks == ()
    assert _filled({}, name="gemma3", preset="ollama").lacks == ()


def test_every_setting_of_a_preset_is_a_key_of_some_type() -> None:
    known = {key for plugin in find_plugins().models.values() for key in plugin.config.model_fields}
    said = {key for provider in TABLE.providers for key in provider.settings}
    said |= {key for server in TABLE.servers for key in server.settings}
    assert said <= known


# --- prices -----------------------------------------------------------------------------------------------


def _price(**entry: Any) -> Any:
    price = TABLE.price(entry)
    return price.value if price is not None else None


def test_a_price_has_a_date_and_says_where_it_is_from() -> None:
    entry = {"name": "m", "type": "chat", "base_url": "https://api.openai.com/v1", "model": "gpt-5.4-mini"}
    price = TABLE.price(entry)
    assert price is not None
    assert price.origin == "preset openai"
    assert price.value == {"input": 0.75, "output": 4.5, "cached": 0.075, "as_of": "2026-11-09"}


def test_a_snapshot_costs_what_its_model_costs_and_a_sibling_does_not() -> None:
    openai = {"type": "responses", "base_url": "https://api.openai.com/v1"}
    mini = _price(name="gpt-5.4-mini", **openai)
    assert _price(name="gpt-5.4-mini-2026-03-17", **openai) == mini
    anthropic = {"type": "chat", "base_url": "https://api.anthropic.com/v1"}
    assert _price(name="claude-sonnet-4-5-20250929", **anthropic) == _price(
        name="claude-sonnet-4-5", **anthropic
    )
    assert _price(name="gpt-5.4-turbo", **openai) is None


@pytest.mark.parametrize(
    "address",
    [
        "https://proxy.example.com/v1",
        "https://api.openai.com.example.com/v1",
        "https://example.com/api.openai.com/v1",
        "http://127.0.0.1:4000/v1",
        "https://[bad",
    ],
)
def test_no_price_is_taken_for_a_proxy_or_another_host(address: str) -> None:
    assert _price(name="gpt-5.4-mini", type="chat", preset="openai", base_url=address) is None
    assert _price(name="gpt-5.4-mini", type="chat", endpoint=address) is None


def test_local_models_cost_nothing() -> None:
    nothing = {"input": 0.0, "output": 0.0}
    assert _price(name="l", type="local") == nothing
    assert _price(name="d", type="demo") == nothing
    assert _price(name="q", type="chat", preset="ollama", base_url="http://127.0.0.1:11434/v1") == nothing
    assert _price(name="q", type="chat", preset="vllm", base_url="https://gpu.example.com/v1") is None


def test_the_usual_model_of_a_provider_has_a_price_where_one_is_known() -> None:
    without = {"openrouter", "gemini", "qwen"}  # chosen by the provider, an alias, and billed in yuan
    for provider in TABLE.providers:
        known = _price(name="m", type="chat", base_url=provider.base_url, model=provider.model)
        assert (known is None) == (provider.name in without), provider.name


def test_prices_are_of_providers_in_the_table_and_plausible() -> None:
    for prices in TABLE.prices:
        assert prices.provider in TABLE.names
        for model, price in prices.models.items():
            assert model == model.lower()
            assert 0 < price.input <= price.output, model
            assert price.cached is None or price.cached < price.input, model
            assert price.cache_write is None or price.cache_write >= price.input, model


def test_nothing_is_asked_of_the_environment_but_what_the_table_names() -> None:
    asked: list[str] = []

    def variables(name: str) -> None:
        asked.append(name)

    for preset in TABLE.providers:
        preset.fill({"name": preset.name}, {"base_url", "api_key", "model"}, variables)
        named = {*preset.keys, preset.model_env, preset.base_url_env}
        assert set(asked) <= named, preset.name
        asked.clear()
