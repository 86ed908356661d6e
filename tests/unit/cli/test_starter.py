"""The first configuration, as `clawd init` writes it for each choice, loads and means what was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.cli.starter import ChoiceRefused, Choices, starter_files
from clawd.config.loader import load_config
from clawd.models.presets import load_presets
from clawd.models.wire_config import WireConfig
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from pathlib import Path

TABLE = load_presets()
KEY = "sk-secret-0123456789"


def _model(folder: Path, environ: dict[str, str], **choices: Any) -> WireConfig:
    for name, text in starter_files(Choices(**choices), TABLE).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    (model,) = load_config(folder / "config.yaml", environ, find_plugins()).config.models
    assert isinstance(model, WireConfig)
    return model


@pytest.mark.parametrize("preset", TABLE.providers, ids=lambda preset: preset.name)
def test_a_provider_is_written_with_its_key_and_the_model_of_today(tmp_path: Path, preset: Any) -> None:
    model = _model(tmp_path, {}, provider=preset.name, key=KEY)
    assert (model.name, model.preset, model.base_url) == (preset.name, preset.name, preset.base_url)
    assert model.model == preset.model
    assert model.api_key is not None
    assert model.api_key.origin == f"file {tmp_path}/secrets/{preset.name}_api_key"


def test_a_key_may_stay_in_the_environment(tmp_path: Path) -> None:
    model = _model(
        tmp_path, {"GEMINI_API_KEY": KEY}, provider="gemini", key_variable="GEMINI_API_KEY", model="g"
    )
    assert model.api_key is not None
    assert (model.api_key.origin, model.model) == ("environment GEMINI_API_KEY", "g")


def test_a_model_server_needs_no_key_but_the_name_of_a_model(tmp_path: Path) -> None:
    model = _model(tmp_path, {}, provider="ollama", model="qwen3:8b")
    assert (model.base_url, model.model, model.api_key) == ("http://127.0.0.1:11434/v1", "qwen3:8b", None)
    with pytest.raises(ChoiceRefused, match="needs the name of one"):
        starter_files(Choices(provider="ollama"), TABLE)
    assert _model(tmp_path, {}, provider="llama-cpp").model is None


@pytest.mark.parametrize("provider", ["opnai", "ftp://x"])
def test_what_there_is_not_is_refused_with_what_there_is(provider: str) -> None:
    with pytest.raises(ChoiceRefused, match=f"no provider {provider!r}") as raised:
        starter_files(Choices(provider=provider), TABLE)
    assert "openai" in raised.value.remedy
    assert "ollama" in raised.value.remedy
