"""Writes configuration files and loads them with plugins made for the purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pytest
from pydantic import AfterValidator, Field

from clawd.config.base import ConfigPath, PluginConfig, Secret
from clawd.config.loader import LoadedConfig, load_config
from clawd.config.schema import BridgeConfig, ModelConfig, ToolConfig
from clawd.errors import ConfigError, ConfigProblem
from clawd.models.presets import Presets, load_presets

if TYPE_CHECKING:
    from collections.abc import Mapping


def _long_enough(secret: Secret) -> Secret:
    """Refuse also what stands for a value that could not be had: such a mistake must be told only once."""
    if len(secret.reveal()) < 8 or not {" ", "-"} & set(secret.reveal()):
        raise ValueError("not two words of 8 characters")
    return secret


class PhoneConfig(BridgeConfig):
    foreign_keys: ClassVar[dict[str, str]] = {"line_id": "a line is lines: 1"}

    token: Annotated[Secret, AfterValidator(_long_enough)]
    ring: bool = True
    pass_code: int = 0
    lines: Annotated[int, Field(ge=1)] = 1


class EchoConfig(ModelConfig):
    preset: str | None = None
    base_url: str
    api_key: Secret | None = None
    temperature: float | None = None
    file: ConfigPath | None = None
    more: dict[str, Any] = {}


class LampConfig(ToolConfig):
    room: str = "hall"


@dataclass(frozen=True)
class FakePlugin:
    config: Any
    called: bool = False

    def is_called(self, config: Any) -> bool:
        return self.called


@dataclass(frozen=True)
class FakePlugins:
    bridges: Mapping[str, FakePlugin] = field(
        default_factory=lambda: {"phone": FakePlugin(PhoneConfig), "odd": FakePlugin(PluginConfig)}
    )
    models: Mapping[str, FakePlugin] = field(default_factory=lambda: {"echo": FakePlugin(EchoConfig)})
    tools: Mapping[str, FakePlugin] = field(default_factory=lambda: {"lamp": FakePlugin(LampConfig)})
    presets: Presets = field(default_factory=load_presets)


@dataclass
class Files:
    """A folder of configuration files and the environment they are read in."""

    folder: Path
    environ: dict[str, str]
    plugins: FakePlugins = field(default_factory=FakePlugins)

    def write(self, text: str | bytes, name: str = "config.yaml", mode: int = 0o600) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def load(self, text: str | bytes | None = None) -> LoadedConfig:
        path = self.folder / "config.yaml" if text is None else self.write(text)
        return load_config(path, self.environ, self.plugins)

    def problems(self, text: str | bytes | None = None) -> tuple[ConfigProblem, ...]:
        with pytest.raises(ConfigError) as raised:
            self.load(text)
        return raised.value.problems

    def problem(self, text: str | bytes | None = None) -> ConfigProblem:
        found = self.problems(text)
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, {"HOME": str(tmp_path / "home")})
