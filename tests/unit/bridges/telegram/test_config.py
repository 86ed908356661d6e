"""What a Telegram section may say, and what is never shown of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bridges.telegram import PLUGIN, TelegramConfig
from tests.fakes.bot_api import TOKEN


def section(**keys: Any) -> TelegramConfig:
    return TelegramConfig.model_validate({"type": "telegram", "token": TOKEN, **keys})


def test_a_token_is_all_it_takes() -> None:
    config = section()
    assert config.token.reveal() == TOKEN
    assert config.api_base == "https://api.telegram.org"
    assert config.stream
    assert PLUGIN.type == "telegram"


@pytest.mark.parametrize(
    "token",
    [
        "123456789:tooshort",
        "123456789:" + "x" * 36,
        "123456789:" + "x" * 34 + " ",
        "123456789" + "x" * 35,
        "botname:" + "x" * 35,
        "123456789:" + "ä" * 35,
        "",
    ],
)
def test_what_botfather_never_gave_out_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        section(token=token)
    assert len(token) < 5 or token not in str(caught.value)
    assert "token" in str(caught.value)


def test_a_refused_token_says_where_to_get_one() -> None:
    with pytest.raises(ValidationError, match="copy it from BotFather's message"):
        section(token="oops")


def test_the_token_is_not_printed_with_the_section() -> None:
    assert TOKEN not in repr(section()) + str(section()) + section().model_dump_json()


@pytest.mark.parametrize(
    "base", ["api.telegram.org", "ftp://x", "https://", "https://x?y=1", "https://x#y", ""]
)
def test_an_address_that_can_not_carry_the_api_is_refused(base: str) -> None:
    with pytest.raises(ValidationError, match="api_base"):
        section(api_base=base)


def test_a_slash_at_the_end_of_the_address_does_no_harm() -> None:
    assert section(api_base="http://127.0.0.1:8081/").api_base == "http://127.0.0.1:8081"


@pytest.mark.parametrize("keys", [{"poll_timeout_s": 0}, {"poll_timeout_s": 51}, {"strem": False}])
def test_wrong_values_and_unknown_keys_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**keys)


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ({}, "needs webhook_url"),
        ({"webhook_url": "http://bot.example.com/bridges/telegram"}, "expected https://"),
        ({"webhook_url": "https://me@bot.example.com/"}, "expected https://"),
        ({"webhook_url": "https://bot.example.com:9000/bridges/telegram"}, "443, 80, 88, 8443"),
        ({"webhook_url": "https://bot.example.com/", "webhook_secret": "short"}, "16 are asked for"),
        (
            {"webhook_url": "https://bot.example.com/", "webhook_secret": "sixteen or more, but spaces"},
            "letters",
        ),
        ({"webhook_url": "https://bot.example.com/", "webhook_connections": 0}, "greater than or equal"),
    ],
)
def test_a_webhook_that_telegram_would_not_call_is_refused(keys: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        section(mode="webhook", **keys)


def test_a_webhook_needs_no_more_than_its_address() -> None:
    config = section(mode="webhook", webhook_url="https://bot.example.com:8443/bridges/telegram")
    assert config.webhook_connections == 1
    assert config.webhook_secret is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", "html"), ("document_over", 8191), ("document_over", 1_000_001), ("document_over", -1)],
)
def test_settings_that_could_not_work_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        TelegramConfig.model_validate({"type": "telegram", "token": TOKEN, key: value})


@pytest.mark.parametrize("over", [0, 8192, 1_000_000])
def test_a_document_may_begin_where_messages_would_be_many_or_never(over: int) -> None:
    section = {"type": "telegram", "token": TOKEN, "document_over": over}
    assert TelegramConfig.model_validate(section).document_over == over


def test_only_a_bot_in_webhook_mode_is_called_through_the_gateway() -> None:
    assert not PLUGIN.is_called(section())
    assert PLUGIN.is_called(section(mode="webhook", webhook_url="https://bot.example.com/bridges/telegram"))
