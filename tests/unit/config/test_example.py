"""`config.example.yaml` is the reference: complete, valid, and honest about defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from clawd.config.jsonschema import config_schema
from clawd.config.loader import load_config
from clawd.config.schema import Config
from clawd.models.wire_config import WireConfig
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from clawd.config.loader import LoadedConfig

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"
ENVIRON = {
    "HOME": "/nonexistent",
    "EXAMPLE_API_KEY": "sk-example-0123456789",
    "TELEGRAM_BOT_TOKEN": "12345:" + "A" * 35,
    "HOOK_SECRET": "a secret of more than 24 bytes",
    "HOOK_CALLBACK_SECRET": "another secret of enough bytes",
    "WECOM_SECRET": "the secret of a WeCom bot",
    "WECHAT_APP_SECRET": "0123456789abcdef0123456789abcdef",
    "WECHAT_TOKEN": "exampletoken",
    "WECHAT_AES_KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    "ALERTS_SECRET": "a secret of the monitoring",
    "ALERTS_URL": "https://example.com/alerts",
    "ALERTS_TOKEN": "a token of the alerts' receiver",
    "ALERTS_SIGNING": "a secret that signs alerts",
    "ALERTS_SCOPE": "the scope of the alerts",
    "CHAT_KEY": "a key of the chat service",
    "FEISHU_KEY": "an encrypt key of Feishu",
    "FEISHU_SECRET": "a secret of an app of Feishu",
    "SLACK_SIGNING_SECRET": "a signing secret of Slack",
    "SLACK_BOT_TOKEN": "xoxb-of-a-bot-of-slack",
    "CLAWD_TOKEN": "t" * 32,
    "SHOP_TOKEN": "s" * 32,
    "SHOP_CALLBACK_SECRET": "a secret for the callbacks of the shop",
    "CALLBACK_SECRET": "a secret for callbacks to anybody",
    "OTEL_KEY": "a key of the collector",
}


@pytest.fixture
def loaded() -> LoadedConfig:
    return load_config(EXAMPLE, ENVIRON, find_plugins())


@pytest.fixture
def written() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return data


def test_example_loads_with_the_real_loader(loaded: LoadedConfig) -> None:
    assert set(ENVIRON.values()) - {"/nonexistent"} == set(loaded.secrets)


def test_example_has_every_key_of_every_section(written: dict[str, Any]) -> None:
    missing = [key for key in _keys(Config) if not _has(written, key)]
    assert missing == []


@pytest.mark.parametrize("kind", ["bridges", "models", "tools"])
def test_example_has_every_key_of_every_builtin_plugin(kind: str, written: dict[str, Any]) -> None:
    missing = []
    for name, plugin in getattr(find_plugins(), kind).items():
        if plugin.create.__module__.partition(".")[0] not in ("clawd", "bridges"):
            continue
        keys = set(plugin.config.model_fields)
        if name != "chat" and issubclass(plugin.config, WireConfig):
            keys -= set(WireConfig.model_fields)  # shown once, with `chat`
        missing += [f"{name}.{key}" for key in keys if key not in _used(kind, name, written)]
    assert missing == []


def test_example_says_the_defaults_where_it_does_not_say_otherwise(written: dict[str, Any]) -> None:
    defaults = Config().model_dump(mode="json")
    for section in (
        "network",
        "agent",
        "breaker",
        "budgets",
        "access",
        "delivery",
        "journal",
        "logging",
        "shutdown",
    ):
        shown = {"otel"} if section == "logging" else set()
        values = {key: value for key, value in written[section].items() if key not in shown}
        assert values == {key: value for key, value in defaults[section].items() if key not in shown}, section
    shown = {"tokens", "apps", "callbacks"}
    gateway = {key: value for key, value in written["gateway"].items() if key not in shown}
    assert gateway == {key: value for key, value in defaults["gateway"].items() if key not in shown}


def test_example_says_nothing_that_needs_a_note(loaded: LoadedConfig) -> None:
    assert loaded.notes == ()


def test_example_passes_the_json_schema_that_editors_get(written: dict[str, Any]) -> None:
    schema, broken = config_schema(find_plugins())
    assert broken == []
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(written)), schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent": {"max_stepz": 3}},
        {"bridges": {"telegram": {"tokn": "x"}}},
        {"bridges": {"b": {"type": "nothing"}}},
        {"models": [{"name": "a"}]},
        {"models": [{"name": "a", "type": "chat", "temperatur": 1}]},
        {"tools": {"tim": {}}},
        {"gateway": {"port": "eighty"}},
    ],
)
def test_json_schema_refuses_what_the_loader_refuses(wrong: dict[str, Any]) -> None:
    schema, _ = config_schema(find_plugins())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def _keys(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the key path of every field below a model; plugins' sections end at their own key."""
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        path = (*prefix, name)
        if path in {("models",), ("bridges",), ("tools", "settings")}:
            continue
        found.append(path)
        if path == ("gateway", "tls"):
            continue  # off, as its files are not there; a comment shows its keys
        if path[:2] == ("alerts", "rules") and len(path) == 3 and name != "error_rate":
            continue  # one rule shows the keys of all
        for below in _models_in(field.annotation):
            found += _keys(below, path)
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]


def _has(data: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if isinstance(data, list):
        return any(_has(part, path) for part in data)
    if not isinstance(data, dict):
        return False
    if path[0] in data:
        return _has(data[path[0]], path[1:])
    return any(_has(part, path) for part in data.values() if isinstance(part, dict))  # a name in between


def _used(kind: str, name: str, written: dict[str, Any]) -> set[str]:
    if kind == "tools":
        return set(written["tools"].get(name, {}))
    parts = written["models"] if kind == "models" else written["bridges"].values()
    return {key for part in parts if part.get("type") == name for key in part}
