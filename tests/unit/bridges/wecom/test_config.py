"""The section of a WeCom bridge refuses what could not work, and says what would."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import ValidationError

from bridges.wecom import PLUGIN, WecomConfig


def config(**settings: Any) -> WecomConfig:
    section = {"type": "wecom", "bot_id": "aib1", "secret": "a-secret", **settings}
    return WecomConfig.model_validate(section)


def test_bot_id_and_secret_are_enough() -> None:
    section = config()
    assert section.ws_url == "wss://openws.work.weixin.qq.com"
    assert (section.stream, section.welcome, section.reconnect_after_kick_s) == (True, None, None)
    assert "a-secret" not in repr(section)
    assert PLUGIN.type == "wecom"


@pytest.mark.parametrize(
    "settings",
    [
        {"bot_id": ""},
        {"bot_id": "a b"},
        {"secret": ""},
        {"ws_url": "https://openws.work.weixin.qq.com"},
        {"ws_url": "wss://"},
        {"heartbeat_s": 0},
        {"ack_timeout_s": 0},
        {"reconnect_after_kick_s": 1},
        {"welcome": ""},
        {"corpid": "ww1"},
    ],
)
def test_what_could_not_work_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**settings)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ValidationError, match="pip install 'clawd-agent\\[wechat\\]'"):
        config()
    assert not config(enabled=False).enabled, "a bridge that is off needs nothing"


@pytest.mark.parametrize("key", ["corp_id", "corpsecret", "encoding_aes_key", "token", "agent_id"])
def test_keys_of_an_app_of_ones_own_are_answered_with_where_the_bot_has_its_keys(key: str) -> None:
    assert "AI bot's long connection" in WecomConfig.foreign_keys[key]
