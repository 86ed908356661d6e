"""The section of a WeChat bridge: what is refused before anything runs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import ValidationError

from bridges.wechat import WeChatConfig
from bridges.wechat.menu import menu_of
from tests.fakes.wechat_sender import AES_KEY, APP_ID, TOKEN


def config(**section: Any) -> WeChatConfig:
    return WeChatConfig.model_validate({"type": "wechat", "app_id": APP_ID, "token": TOKEN} | section)


@pytest.mark.parametrize(
    ("section", "encrypted"),
    [
        ({}, False),
        ({"aes_key": AES_KEY}, True),
        ({"aes_key": AES_KEY, "mode": "plain"}, False),
        ({"aes_key": AES_KEY, "mode": "safe"}, True),
    ],
)
def test_the_configuration_decides_whether_callbacks_are_encrypted(
    section: dict[str, Any], encrypted: bool
) -> None:
    assert config(**section).encrypted is encrypted


@pytest.mark.parametrize(
    ("section", "passive"),
    [({}, True), ({"app_secret": "s" * 32}, False), ({"app_secret": "s" * 32, "replies": "passive"}, True)],
)
def test_without_a_secret_replies_are_passive(section: dict[str, Any], passive: bool) -> None:
    assert config(**section).passive is passive


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"app_id": "gh_clawd"}, "pattern"),
        ({"token": "a b"}, "not a callback token"),
        ({"token": "x" * 33}, "not a callback token"),
        ({"aes_key": "short"}, "43 letters and digits"),
        ({"aes_key": AES_KEY + "="}, "43 letters and digits"),
        ({"mode": "safe"}, "needs `aes_key`"),
        ({"reply_wait_s": 5}, "less than or equal to 4.8"),
        ({"api_base": "api.weixin.qq.com"}, "expected http"),
        ({"menu": [{"name": "a", "text": "b"}]}, "needs `app_secret`"),
        ({"menu": [{"name": "a"}], "app_secret": "s"}, "one of `text`"),
        ({"menu": [{"name": "a", "text": "b", "url": "https://a.example"}], "app_secret": "s"}, "one of"),
        ({"menu": [{"name": "a", "buttons": [{"name": "b"}]}], "app_secret": "s"}, "either `text`"),
        ({"menu": [{"name": "a", "text": "b"}] * 4, "app_secret": "s"}, "at most 3"),
    ],
)
def test_what_can_not_work_is_refused_and_no_secret_is_told(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        config(**section)
    assert "x" * 33 not in str(caught.value)


def test_without_the_extra_only_plain_callbacks_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ValidationError, match="pip install 'clawd-agent\\[wechat\\]'"):
        config(aes_key=AES_KEY)
    assert not config(aes_key=AES_KEY, enabled=False).enabled, "a bridge that is off needs nothing"
    assert not config(aes_key=AES_KEY, mode="plain").encrypted
    assert not config().encrypted


def test_a_menu_is_made_of_words_and_links() -> None:
    made = config(
        app_secret="s" * 32,
        menu=[
            {"name": "新对话", "text": "/new"},
            {
                "name": "更多",
                "buttons": [{"name": "帮助", "text": "/help"}, {"name": "网站", "url": "https://a.example"}],
            },
        ],
    )
    assert menu_of(made.menu) == {
        "button": [
            {"type": "click", "name": "新对话", "key": "/new"},
            {
                "name": "更多",
                "sub_button": [
                    {"type": "click", "name": "帮助", "key": "/help"},
                    {"type": "view", "name": "网站", "url": "https://a.example"},
                ],
            },
        ]
    }
