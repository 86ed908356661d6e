"""How presets show in a configuration: what is loaded, what is told, where values are from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from clawd.config.jsonschema import config_schema
from clawd.config.loader import load_config
from clawd.config.view import leaves, view
from clawd.errors import ConfigError
from clawd.models.wire_config import WireConfig
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.config.loader import LoadedConfig
    from clawd.errors import ConfigProblem

KEY = "sk-secret-0123456789"


class Loader:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.yaml"
        self.environ: dict[str, str] = {"HOME": str(folder)}

    def load(self, models: str) -> LoadedConfig:
        self.path.write_text(f"models:\n{models}\n")
        self.path.chmod(0o600)
        return load_config(self.path, self.environ, find_plugins())

    def model(self, entry: str) -> WireConfig:
        (config,) = self.load(f"- {entry}").config.models
        assert isinstance(config, WireConfig)
        return config

    def problem(self, entry: str) -> ConfigProblem:
        with pytest.raises(ConfigError) as raised:
            self.load(f"- {entry}")
        (problem,) = raised.value.problems
        return problem


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


def test_a_name_is_enough(loader: Loader) -> None:
    loader.environ["DEEPSEEK_API_KEY"] = KEY
    loaded = loader.load("- {name: deepseek}")
    (config,) = loaded.config.models
    assert isinstance(config, WireConfig)
    assert config.url == "https://api.deepseek.com/v1/chat/completions"
    assert config.model_id == "deepseek-flash"
    assert config.api_key is not None
    assert config.api_key.hint == "environment DEEPSEEK_API_KEY, ends in …6789"
    assert config.price is not None
    assert config.price.as_of is not None
    assert KEY in loaded.secrets


def test_the_name_of_a_model_is_enough(loader: Loader) -> None:
    loader.environ["ANTHROPIC_API_KEY"] = KEY
    config = loader.model("{name: claude-sonnet-5-5}")
    assert config.url.startswith("https://api.anthropic.com/v1/")
    assert (config.preset, config.model_id) == ("anthropic", "claude-sonnet-5-5")


def test_what_the_entry_says_goes_first(loader: Loader) -> None:
    loader.environ["OPENAI_API_KEY"] = KEY
    config = loader.model(
        "{name: big, preset: openai, max_tokens: 4000, price: {input: 1, output: 2}, model: gpt-5.4}"
    )
    assert (config.max_tokens, config.model_id) == (4000, "gpt-5.4")
    assert config.price is not None
    assert (config.price.input, config.price.as_of) == (1, None)


def test_every_value_tells_its_origin(loader: Loader) -> None:
    loader.environ["DEEPSEEK_API_KEY"] = KEY
    origins = loader.load("- name: deepseek\n  max_tokens: 100").origins
    assert origins["models[0].max_tokens"] == f"{loader.path}:3"
    assert origins["models[0].base_url"] == "preset deepseek"
    assert origins["models[0].preset"] == "preset deepseek"
    assert origins["models[0].price.input"] == "preset deepseek"
    assert origins["models[0].price.as_of"] == "preset deepseek"
    assert origins["models[0].api_key"] == "environment DEEPSEEK_API_KEY"


def test_every_value_that_is_shown_has_an_origin_and_a_json_form(loader: Loader) -> None:
    loader.environ["MISTRAL_API_KEY"] = KEY
    loaded = loader.load("- name: mistral")
    values = dict(leaves(json.loads(json.dumps(view(loaded.config)))))
    assert values["models[0].price.as_of"] == "2026-11-09"
    assert KEY not in str(values)
    filled = {key: loaded.origins.get(key) for key, value in values.items() if key.startswith("models")}
    assert filled["models[0].omit[0]"] == "preset mistral"
    assert filled["models[0].model"] == "preset mistral"


def test_a_missing_key_is_a_mistake_with_its_line(loader: Loader) -> None:
    problem = loader.problem("{name: main, preset: gemini}")
    assert (problem.line, problem.key) == (2, "models[0].api_key")
    assert "none of GEMINI_API_KEY, GOOGLE_API_KEY is set" in problem.message
    assert problem.remedy.startswith("set GEMINI_API_KEY")


def test_a_key_of_white_space_is_no_key(loader: Loader) -> None:
    loader.environ["DEEPSEEK_API_KEY"] = "  "
    assert "DEEPSEEK_API_KEY is not set" in loader.problem("{name: deepseek}").message


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{name: m, preset: depseek}", "there is no preset 'depseek'; did you mean 'deepseek'?"),
        ("{name: m, preset: [deepseek]}", "expected the name of a preset, got a list"),
        ("{name: depseek}", "it says no type, and no preset is named 'depseek'"),
        ("{name: depseek}", "did you mean 'deepseek'?"),
        ("{name: ollama}", "does not say which"),
        ("{preset: ollama, model: q}", "this key is missing"),
        ("{name: [deepseek], type: chat, base_url: 'http://x'}", "expected text, got a list"),
        ("{name: m, type: demo, preset: openai}", "a model of type 'demo' has no address"),
        ("{name: m, preset: ollama, model: q, temperatur: 1}", "unknown key 'temperatur'"),
    ],
)
def test_mistakes_are_told_in_words(loader: Loader, entry: str, words: str) -> None:
    problem = loader.problem(entry)
    assert words in problem.message
    assert problem.line == 2


def test_local_servers_need_no_key(loader: Loader) -> None:
    config = loader.model("{name: qwen, preset: ollama, model: 'qwen3:8b'}")
    assert config.url == "http://127.0.0.1:11434/v1/chat/completions"
    assert config.api_key is None
    assert config.price is not None
    assert config.price.output == 0


def test_an_entry_with_its_own_address_is_not_touched(loader: Loader) -> None:
    loader.environ["OPENAI_API_KEY"] = KEY
    loaded = loader.load(
        "- {name: gpt-4o, type: chat, endpoint: 'https://api.example.com/v1/completions', max_tokens: 1500}"
    )
    (config,) = loaded.config.models
    assert isinstance(config, WireConfig)
    assert config.url == "https://api.example.com/v1/completions"
    assert (config.preset, config.api_key, config.model, config.price) == (None, None, None, None)
    assert loaded.secrets == ()


def test_the_price_is_known_behind_the_providers_own_host_without_a_preset(loader: Loader) -> None:
    config = loader.model(
        "{name: m, type: chat, base_url: 'https://api.deepseek.com/v1', model: deepseek-flash}"
    )
    assert config.price is not None
    assert config.price.input == 0.3


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        ({"name": "deepseek"}, True),
        ({"name": "claude-sonnet-5-5", "max_tokens": 10}, True),
        ({"name": "m", "preset": "openai"}, True),
        ({"name": "m", "model": "gpt-5.4"}, True),
        ({"name": "m", "type": "chat", "preset": "openai"}, True),
        ({"name": "m", "preset": "opnai"}, False),
        ({"name": "m", "preset": "openai", "temperatur": 1}, False),
        ({"name": "m", "model": "llama3"}, False),
    ],
)
def test_the_schema_for_editors_knows_presets(entry: dict[str, Any], good: bool) -> None:
    schema, _ = config_schema(find_plugins())
    found = list(jsonschema.Draft202012Validator(schema).iter_errors({"models": [entry]}))
    assert (found == []) is good
