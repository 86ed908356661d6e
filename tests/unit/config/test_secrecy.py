from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from clawd.config.base import Secret
from clawd.config.secrecy import is_plain_url, mask_paths, names_secret, secrets_in
from clawd.config.view import view

if TYPE_CHECKING:
    from tests.unit.config.conftest import Files

SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "key",
        "token",
        "botToken",
        "access_tokens",
        "apikey",
        "X-Api-Key",
        "Authorization",
        "client_secret",
        "secret_id",
        "password",
        "proxy_pass",
        "passwd",
        "encoding_aes_key",
        "api_keys",
        "api_kye",
        "credentials",
        "keys",
        "tokenn",
        "authToken",
        "pass_code",
    ],
)
def test_key_that_names_a_secret_is_known(key: str) -> None:
    assert names_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "keyword",
        "keywords",
        "thinking_tokens",
        "max_tokens",
        "tokens_per_min",
        "context_tokens",
        "monkey",
        "first_token_s",
        "api_base",
        "first_token_timeout_s",
        "key_id",
        "name",
        "compass",
        "keep_days",
        "author",
    ],
)
def test_key_that_only_sounds_like_a_secret_is_none(key: str) -> None:
    assert not names_secret(key)


GIVEN_OUT = "https://hooks.example.com/services/T00000000/B00000000/XXXXabcd1234efgh5678ijkl?code=x"


def test_an_address_that_was_given_out_is_secret_by_what_a_server_may_quote_of_it() -> None:
    whole = {"/services/T00000000/B00000000/XXXXabcd1234efgh5678ijkl", "XXXXabcd1234efgh5678ijkl", "x"}
    assert set(secrets_in({"callback_url": GIVEN_OUT})) == whole
    assert set(secrets_in({"target": Secret(GIVEN_OUT)})) == {GIVEN_OUT, *whole - {"x"}}
    assert set(secrets_in({"callback_url": "https://example.com/hooks/clawd"})) == set()
    assert set(secrets_in({"base_url": "https://example.com/v1/gemini-2.0-flash-latest"})) == set()


def test_of_an_address_that_was_given_out_the_key_in_its_path_is_masked() -> None:
    masked = "https://hooks.example.com/services/T00000000/B00000000/**********?code=x"
    assert mask_paths("callback_url", GIVEN_OUT) == masked
    assert mask_paths("base_url", GIVEN_OUT) == GIVEN_OUT
    assert mask_paths("url", "https://example.com/hooks/clawd") == "https://example.com/hooks/clawd"


def test_secrets_are_masked_at_any_depth_by_the_name_of_their_key(files: Files) -> None:
    loaded = files.load(
        f"models: [{{name: a, type: echo, base_url: 'https://h/x?code={SECRET}&v=1', more: "
        f"{{headers: {{X-Api-Key: {SECRET}}}, list: [{{password: [{SECRET}]}}], max_tokens: 7}}}}]"
    )
    shown = json.dumps(view(loaded.config))
    assert SECRET not in shown
    assert '"max_tokens": 7' in shown
    assert "https://h/x?code=**********&v=**********" in shown
    assert set(loaded.secrets) == {SECRET}
    assert list(secrets_in(loaded.config)) == [SECRET] * 3


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://a.example/api/v2/alerts", True),
        ("http://a.example:9093", True),
        ("https://me:pw@a.example/in", False),
        ("https://me@a.example/in", False),
        ("https://a.example/in?token=x", False),
        ("https://a.example/in?id=0f3a9c17d2b84e65", False),
        ("https://a.example/0f3a9c17d2b84e65", False),
        ("swordfish", False),
        ("redis://a.example/1", False),
    ],
)
def test_a_plain_url_carries_neither_a_password_nor_a_key_nor_what_looks_random(
    text: str, plain: bool
) -> None:
    assert is_plain_url(text) is plain
