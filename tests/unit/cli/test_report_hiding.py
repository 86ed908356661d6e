"""What a bug report hides of texts and settings."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from clawd.cli.report_hiding import Hider
from clawd.cli.report_log import trace_of
from clawd.observability.redact import Redactor

TEXTS = ("tea for two", "walrus", "purple elephant")


@pytest.fixture
def hider() -> Hider:
    hider = Hider(Redactor(["hunter-2-secret"]), b"key", "/home/ann")
    hider.know(["712345678", "Zoe Quux", "al", "*"])
    return hider


def test_one_person_is_one_hash_and_another_installation_has_another(hider: Hider) -> None:
    assert hider.id("7") == hider.id("7") != hider.id("8")
    assert hider.id("7") != Hider(Redactor(), b"other").id("7")
    assert hider.address("telegram:99:712345678") == f"telegram:{hider.id('99')}:{hider.id('712345678')}"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("the key hunter-2-secret is bad", "the key *** is bad"),
        ("Zoe Quux wrote, said Quux", "{Zoe Quux} wrote, said {Quux}"),
        ("always Quuxes, al", "always Quuxes, al"),
        ("chat -1001234567890 not found", "chat {-1001234567890} not found"),
        ("mail ann@example.com", "mail {ann@example.com}"),
        ("by @ann_smith", "by {ann_smith}"),
        ("openid oABCdef-123456789012345678_x", "openid {oABCdef-123456789012345678_x}"),
        ("/home/ann/state/clawd.db is full", "~/state/clawd.db is full"),
        ("at 2026-01-31T12:00:00.123456Z, 1048576 bytes, 1500000 ms", None),
        (
            "POST https://u:p@api.example.com:8443/v1/T0x9/chat?x=1 failed",
            "POST https://api.example.com:8443/v1/…/chat?… failed",
        ),
        ("https://hooks.slack.com/services/T00/B00/XyZ", "https://hooks.slack.com/services/…/…/…"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("turn:ab12-1-2 of delivery:ab12-77", None),
    ],
)
def test_a_text_keeps_what_helps_and_loses_who_it_was(hider: Hider, text: str, left: str | None) -> None:
    wanted = text if left is None else left
    for name in ("Zoe Quux", "Quux", "-1001234567890", "ann@example.com", "ann_smith"):
        wanted = wanted.replace(f"{{{name}}}", hider.id(name))
    wanted = wanted.replace("{oABCdef-123456789012345678_x}", hider.id("oABCdef-123456789012345678_x"))
    assert hider.text(text) == wanted


def test_a_long_text_is_cut(hider: Hider) -> None:
    assert hider.text("x " * 400).endswith("… (400 more characters)")


def test_of_a_setting_only_words_of_ours_are_shown(hider: Hider) -> None:
    config: dict[str, Any] = {
        "agent": {"instructions": "be nice", "max_steps": 40, "busy": "queue"},
        "models": [{"name": "main", "model": "big-1", "headers": {"X-Team": "ann"}, "api_key": "**********"}],
        "bridges": {"tg": {"type": "telegram", "allow": ["712345678", "*"], "welcome": "hi", "phone": "+49"}},
        "tools": {"shell": {"allow": ["git *"]}},
        "state_dir": "/home/ann/state",
        "gateway": {"tokens": [{"name": "ann", "scopes": ["chat"]}], "tls": None},
        "network": {"proxy": "socks5://u:p@proxy:1080"},
        "access": {"owners": ["telegram:712345678"]},
    }
    friend = hider.id("712345678")
    assert hider.config(config) == {
        "agent": {"instructions": "<7 characters>", "max_steps": 40, "busy": "queue"},
        "models": [
            {"name": "main", "model": "big-1", "headers": {"X-Team": "<3 characters>"}, "api_key": "***"}
        ],
        "bridges": {
            "tg": {
                "type": "telegram",
                "allow": [friend, "*"],
                "welcome": "<2 characters>",
                "phone": "<3 characters>",
            }
        },
        "tools": {"shell": {"allow": ["<5 characters>"]}},
        "state_dir": "~/state",
        "gateway": {"tokens": [{"name": hider.id("ann", "name"), "scopes": ["chat"]}], "tls": None},
        "network": {"proxy": "socks5://proxy:1080"},
        "access": {"owners": [f"telegram:{friend}"]},
    }


def test_a_traceback_keeps_places_and_kinds(hider: Hider) -> None:
    def drink(*things: str) -> None:
        raise ExceptionGroup(things[0], [KeyError(things[1]), ValueError(things[2])])

    lines: tuple[str, ...] = ()
    try:
        drink(*TEXTS)
    except ExceptionGroup as group:
        lines = trace_of("".join(traceback.format_exception(group)), hider)
    text = "\n".join(lines)
    assert [line for line in lines if not line.startswith(" ")] == [
        "Exception Group Traceback (most recent call last):",
        "ExceptionGroup",
        "KeyError",
        "ValueError",
    ]
    assert "    drink(*TEXTS)" in lines
    assert [word for word in TEXTS if word in text] == []
