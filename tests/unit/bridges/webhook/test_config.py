"""The section of a webhook bridge, validated."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from bridges.webhook import PLUGIN, WebhookConfig
from tests.fakes.webhook_sender import ROTATED, SECRET


def problem(**section: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        WebhookConfig.model_validate(section)
    return str(caught.value)


def test_one_secret_or_a_list_for_rotation() -> None:
    one = WebhookConfig.model_validate({"secret": SECRET})
    two = WebhookConfig.model_validate({"secret": [SECRET, ROTATED]})
    assert one.inbound_keys == (bytes(range(32)),)
    assert two.inbound_keys == (bytes(range(32)), bytes(range(32, 64)))


def test_callbacks_are_signed_with_their_own_secret_when_there_is_one() -> None:
    assert WebhookConfig.model_validate({"secret": SECRET}).outbound_keys == (bytes(range(32)),)
    both = WebhookConfig.model_validate({"secret": SECRET, "callback_secret": "quite other words"})
    assert both.outbound_keys == (b"quite other words",)


def test_everybody_who_signs_is_let_in_unless_the_section_says_less() -> None:
    assert WebhookConfig.model_validate({"secret": SECRET}).allow == ("*",)
    assert WebhookConfig.model_validate({"secret": SECRET, "allow": ["u1"]}).allow == ("u1",)


@pytest.mark.parametrize(
    "section", [{}, {"secret": ""}, {"secret": []}, {"secret": [SECRET] * 5}, {"secret": 7}]
)
def test_without_a_usable_secret_there_is_no_bridge(section: dict[str, Any]) -> None:
    assert "secret" in problem(**section)


def test_a_secret_that_is_not_base64_is_named_and_never_shown() -> None:
    text = problem(secret="whsec_very*secret")
    assert "not base64" in text
    assert "very" not in text


def test_a_callback_into_a_private_network_needs_permission() -> None:
    assert "allow_private" in problem(secret=SECRET, callback_url="https://192.168.1.1/cb")
    assert "allow_http" in problem(secret=SECRET, callback_url="http://example.com/cb")


def test_the_schema_offers_one_secret_or_several() -> None:
    shape = WebhookConfig.model_json_schema()["properties"]["secret"]
    assert "array" in str(shape)
    assert "env" in str(shape)


def test_the_plugin_names_its_type_and_section() -> None:
    assert (PLUGIN.type, PLUGIN.config) == ("webhook", WebhookConfig)


def test_reading_a_configuration_loads_no_http_client() -> None:
    code = "import sys, bridges.webhook; print([m for m in ('aiohttp', 'cryptography', 'yarl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
