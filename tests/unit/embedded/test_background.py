"""The thread with the models: what goes wrong in it is told to whoever asks."""

from __future__ import annotations

from typing import Any

import pytest

from clawd.config.schema import Config, ModelConfig
from clawd.embedded.background import Background, RouterClosed
from clawd.models.base import ModelPlugin
from clawd.models.registry import ModelSet
from clawd.testing import ScriptedModel


async def _names(models: ModelSet) -> tuple[str, ...]:
    return tuple(models.names)


def _background(create: Any) -> Background:
    plugin: ModelPlugin[Any] = ModelPlugin(type="scripted", config=ModelConfig, create=create)
    return Background(Config(models=(ModelConfig(name="a", type="scripted"),)), {"scripted": plugin}, {})


def test_a_bug_in_a_provider_is_told_to_everybody_who_asks() -> None:
    def broken(_context: Any, _config: Any) -> ScriptedModel:
        raise ZeroDivisionError("a bug")

    background = _background(broken)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="a bug"):
            background.submit(_names).result(10)
    background.stop()


def test_whoever_asks_after_the_end_is_told_that_it_is_closed() -> None:
    background = _background(lambda _context, config: ScriptedModel(name=config.name))
    assert background.submit(_names).result(10) == ("a",)
    background.stop()
    with pytest.raises(RouterClosed):
        background.submit(_names)
