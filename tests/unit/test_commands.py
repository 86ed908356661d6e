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
    behind_prefix,
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
        ("/model standby strict", ChooseModel("standby", strict=True)),
        ("/model standby  STRICT ", ChooseModel("standby", strict=True)),
        ("/model strict", ChooseModel("strict")),
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


@pytest.mark.parametrize("text", ["/think why?", "/THINK", " /think\nwhy?", "/think@clawd_bot why?"])
def test_a_routes_prefix_is_no_command(text: str) -> None:
    assert parse(text, ["/think"]) is None
    assert isinstance(parse(text), UnknownCommand)


def test_a_word_that_only_begins_like_a_prefix_is_an_unknown_command_with_the_prefix_as_its_neighbour() -> (
    None
):
    assert parse("/thinkk why?", ["/think"]) == UnknownCommand("thinkk", "think")
    assert parse("/new why?", ["/new"]) == NewSession(), "a command keeps its name"


@pytest.mark.parametrize(
    ("text", "prefix", "rest"),
    [
        ("/think why?", "/think", "why?"),
        ("  /think  why?\n", "/think", "why?"),
        ("/think", "/think", ""),
        ("/thinking", "/think", None),
        ("/think_more", "/think", None),
        ("/think: why?", "/think", ": why?"),
        ("/think为什么", "/think", "为什么"),
        ("/think@bot why?", "/think", "why?"),
        ("mail a@bot why?", "mail a", "@bot why?"),
        ("深思为什么", "深思", "为什么"),
        ("?why", "?", "why"),
        ("why", "?", None),
        ("I /think so", "/think", None),
    ],
)
def test_a_prefix_stands_at_the_beginning_and_ends_with_its_word(
    text: str, prefix: str, rest: str | None
) -> None:
    assert behind_prefix(text, prefix) == rest
