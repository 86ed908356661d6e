"""The section of OpenTelemetry: what could not work is refused where it stands."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import ValidationError

from clawd.config.base import Secret
from clawd.config.otel import OtelConfig, is_installed

HERE = {"endpoint": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"endpoint": "http://collector:4318"}, "allow_http"),
        ({"endpoint": "ftp://collector"}, "expected a URL"),
        ({"endpoint": "https://me:word@collector"}, "would show up in logs"),
        ({**HERE, "headers": {"Content-Type": Secret("text/plain")}}, "set by clawd itself"),
        ({**HERE, "headers": {"no header": Secret("x")}}, "name of a header"),
        ({**HERE, "headers": {"X-Key": Secret("two\nlines")}}, "printable ASCII"),
        ({**HERE, "service_name": ""}, "at least 1"),
        ({**HERE, "contents": True}, "Extra inputs"),
    ],
)
def test_what_could_not_work_is_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word) as refused:
        OtelConfig.model_validate(settings)
    assert "me:word" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        HERE,
        {"endpoint": "http://[::1]:4318"},
        {"endpoint": "https://10.0.0.7"},
        {"allow_http": True, "endpoint": "http://collector:4318"},
        {},
    ],
)
def test_what_works_is_taken(settings: dict[str, Any]) -> None:
    assert OtelConfig.model_validate(settings).content is False


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed()
    monkeypatch.setitem(sys.modules, "opentelemetry.proto", None)
    with pytest.raises(ValidationError, match=r'pip install "clawd-agent\[otel\]"'):
        OtelConfig.model_validate(HERE)
