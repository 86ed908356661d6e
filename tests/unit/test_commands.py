"""Slash commands, the same at every door."""

from __future__ import annotations

import pytest

from clawd.commands import (
    ChooseLanguage,
    ChooseModel,
    Command,
    NewSession,
    Query,
    Stop,
    UnknownCommand,
    parse,
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/stop", Stop()),
        ("  /STOP  ", Stop()),
        ("/stop@clawd_bot", Stop()),
        ("/new", NewSession()),
        ("/model", ChooseModel(None)),
        ("/model standby", ChooseModel("standby")),
        ("/lang ZH", ChooseLanguage("zh")),
        ("/lang", ChooseLanguage(None)),
        ("/status", Query("status")),
        ("/usage", Query("usage")),
        ("/help me", Query("help")),
        ("/start pair-1", Query("welcome")),
        ("/stpo", UnknownCommand("stpo", "stop")),
        ("/xyzzy", UnknownCommand("xyzzy", None)),
    ],
)
def test_a_command_is_understood(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize("text", ["hello", "/usr/bin/env is missing", "/", "/ new", "a /new", "//new", ""])
def test_other_text_is_for_the_model(text: str) -> None:
    assert parse(text) is None
