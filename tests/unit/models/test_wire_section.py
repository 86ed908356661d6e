"""What the section of a model adds to its requests, and what it may not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clawd.config.base import Secret
from clawd.config.loader import load_config
from clawd.config.view import view
from clawd.errors import ModelAuthError, ModelUnavailable
from clawd.models.base import KeyedProvider, collect
from clawd.models.chat_config import ChatConfig
from clawd.plugins import find_plugins
from tests.fakes.openai_api import FakeOpenAI, Reply
from tests.unit.models.conftest import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.models.conftest import MakeChat

KEY = "sk-test-0123456789abcdef"


async def test_headers_replace_ours_and_their_secrets_are_never_quoted(make_chat: MakeChat) -> None:
    headers = {"authorization": "Basic dXNlcjpwYXNzd29yZA==", "X-Title": "clawd"}
    async with FakeOpenAI(Reply(status=401, error={"message": "no dXNlcjpwYXNzd29yZA=="})) as api:
        chat = make_chat(api.base_url, headers=headers)
        with pytest.raises(ModelAuthError) as caught:
            await collect(chat, ask())
    seen = api.requests[0].headers
    assert (seen["authorization"], seen["x-title"]) == (headers["authorization"], "clawd")
    assert "dXNlc" not in f"{caught.value} {caught.value.why} {caught.value.what} {chat!r}"
    assert "header authorization" in caught.value.what


def test_a_header_is_a_secret_by_its_origin_or_its_name_and_else_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        'models: [{name: m, type: chat, base_url: "http://h/v1", headers: {X-Title: clawd, X-Tenant: {env: TENANT},\n'
        "  x-api-key: sk-literal-0123}}]\n"
    )
    file.chmod(0o600)
    loaded = load_config(file, {"HOME": "/nonexistent", "TENANT": "tenant-0123"}, find_plugins())
    (config,) = loaded.config.models
    assert isinstance(config, ChatConfig)
    assert config.headers["X-Title"] == "clawd"
    tenant, key = config.headers["X-Tenant"], config.headers["x-api-key"]
    assert isinstance(tenant, Secret)
    assert isinstance(key, Secret)
    assert (tenant.origin, key.origin) == ("environment TENANT", f"{file}:2")
    assert set(loaded.secrets) == {"tenant-0123", "sk-literal-0123"}
    shown = repr(view(loaded.config))
    assert "clawd" in shown
    assert "0123" not in shown


def test_a_text_from_elsewhere_is_a_secret_in_the_body_too(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        'models: [{name: m, type: chat, base_url: "http://h/v1",\n'
        "  extra_body: {seed: 7, user: {token: {env: TENANT}, all: [x, {env: TENANT}]}}}]\n"
    )
    loaded = load_config(file, {"HOME": "/nonexistent", "TENANT": "tenant-0123"}, find_plugins())
    (config,) = loaded.config.models
    assert isinstance(config, ChatConfig)
    shown = repr(view(loaded.config))
    assert "'seed': 7" in shown
    assert "0123" not in f"{shown} {config!r}"
    tenant = Secret("tenant-0123", "environment TENANT")
    assert config.extra_body == {"seed": 7, "user": {"token": tenant, "all": ["x", tenant]}}


async def test_a_secret_in_the_body_is_sent_and_never_quoted(make_chat: MakeChat) -> None:
    tenant = Secret("tenant-0123")
    async with FakeOpenAI(Reply(status=400, error={"message": "bad tenant-0123"})) as api:
        chat = make_chat(api.base_url, extra_body={"user": {"token": tenant, "all": ["x", tenant]}})
        with pytest.raises(ModelUnavailable) as caught:
            await collect(chat, ask())
    assert api.requests[0].body["user"] == {"token": "tenant-0123", "all": ["x", "tenant-0123"]}
    assert "bad [key]" in caught.value.why


async def test_keys_are_added_to_the_body_and_left_out_of_it(make_chat: MakeChat) -> None:
    async with FakeOpenAI() as api:
        chat = make_chat(
            api.base_url,
            temperature=0.5,
            extra_body={"provider": {"order": ["a"]}, "temperature": 1},
            omit="stream_options",
        )
        await collect(chat, ask())
    body = api.requests[0].body
    assert (body["provider"], body["temperature"]) == ({"order": ["a"]}, 1)
    assert "stream_options" not in body


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"headers": {"a b": "x"}}, "not a header's name"),
        ({"headers": {"X": "a\nb"}}, "one line"),
        ({"headers": {"X": 5}}, "expected a text"),
        ({"api_key": "sk-a\nb"}, "line end"),
        ({"base_url": "http://u:p@h/v1", "api_key": "sk-x"}, "not in both"),
        ({"base_url": "http://u:p@h/v1", "headers": {"Authorization": "x"}}, "not in both"),
    ],
)
def test_what_no_request_can_carry_is_a_mistake_of_the_configuration(
    wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ChatConfig(**{"name": "m", "type": "chat", "base_url": "http://h/v1", **wrong})


async def test_models_share_a_key_by_host_and_key_and_it_can_not_be_read_from_that(
    make_chat: MakeChat,
) -> None:
    one, same = make_chat("http://h/v1", "a", api_key=KEY), make_chat("http://h/v2", "b", api_key=KEY)
    others = [
        make_chat("http://h/v1", api_key=KEY + "x"),
        make_chat("http://h:81/v1", api_key=KEY),
        make_chat("http://h/v1", headers={"api-key": KEY + "y"}),
        make_chat("http://h/v1"),
    ]
    assert isinstance(one, KeyedProvider)
    ids = [provider.key_id for provider in (one, *others) if isinstance(provider, KeyedProvider)]
    assert len(set(ids)) == 5
    assert isinstance(same, KeyedProvider)
    assert same.key_id == one.key_id
    assert not any(KEY[:4] in key_id for key_id in ids)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"base_url": "http://h/v1", "endpoint": "http://h/x"},
        {"base_url": "h/v1"},
        {"endpoint": "ftp://h/x"},
    ],
)
def test_exactly_one_http_address_is_asked_for(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"exactly one of|begin with"):
        ChatConfig(name="m", type="chat", **settings)  # type: ignore[arg-type]
