from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.commands import NAMES, UnknownCommand, parse

if TYPE_CHECKING:
    from tests.unit.config.conftest import Files

MODELS = "models:\n- {name: main, type: echo, base_url: x}\n- {name: spare, type: echo, base_url: x}\n"


def test_mistakes_in_models_hide_no_unknown_name_in_routes(files: Files) -> None:
    found = files.problems(
        "models: [{name: main, type: echo, base_ur: x}, {name: main, type: nosuch}]\n"
        "routes:\n"
        "  default: {models: [main, mian], strategy: best}\n"
        "  other: {models: [gone]}\n"
    )
    assert [f"{p.line} {p.key}: {p.message.partition(';')[0]}" for p in found] == [
        "1 models[0].base_url: this key is missing",
        "1 models[0].base_ur: unknown key 'base_ur'",
        f"1 models[1]: the name 'main' is taken by the model at {files.folder}/config.yaml:1:10",
        "1 models[1].type: there is no model type 'nosuch'",
        "3 routes.default.models[1]: there is no model named 'mian'",
        "3 routes.default.strategy: expected 'priority', 'fastest' or 'cheapest', got 'best'",
        "4 routes.other.models[0]: there is no model named 'gone'",
    ]


def test_a_model_without_a_legible_name_may_be_the_one_that_a_route_means(files: Files) -> None:
    text = "models: [{type: echo, base_url: x}, {name: '${NO}', type: echo, base_url: x}]\n"
    found = files.problems(text + "routes: {default: {models: [any]}}\n")
    assert {problem.key for problem in found} == {"models[0].name", "models[1].name"}


@pytest.mark.parametrize("rule", ["{}", "{keyword: []}", "{has_image: null}"])
def test_an_empty_rule_is_a_mistake(files: Files, rule: str) -> None:
    problem = files.problem(f"{MODELS}routes: {{other: {{models: [main], rules: [{rule}]}}}}\n")
    assert problem.key == "routes.other.rules[0]"
    assert problem.message.startswith("an empty rule holds for every message; say one of prefix, keyword")


def test_a_user_without_a_bridge_is_a_mistake(files: Files) -> None:
    problem = files.problem(f"{MODELS}routes: {{other: {{models: [main], rules: [{{user: bob}}]}}}}\n")
    assert "expected BRIDGE:SENDER, such as telegram:12345, got 'bob'" in problem.message


ROUTE = "{models: [main], rules: [%s]}"

NOTES = [
    ("{bridge: [terminal, phne]}", "4:62: this never holds, as there is no bridge named phne; did you mean"),
    ("{user: 'nosuch:1'}", "4:49: this never holds, as there is no bridge named nosuch; known: api, phone"),
    ("{prefix: /new}", "4:51: /new is a command, so no message takes the route other by it; choose another"),
    ("{prefix: /a}, {prefix: /A}", "4:65: messages with /A take the route other, by the rule at "),
]


@pytest.mark.parametrize(("rules", "note"), NOTES, ids=[rules for rules, _ in NOTES])
def test_rule_that_never_holds_is_noted_with_its_place(files: Files, rules: str, note: str) -> None:
    loaded = files.load(
        f"{MODELS}routes: {{other: {ROUTE % rules}}}\nbridges: {{phone: {{token: long enough}}}}"
    )
    assert f"{files.folder}/config.yaml:{note}" in loaded.notes[0]
    assert len(loaded.notes) == 1


@pytest.mark.parametrize(
    "rules",
    [
        "{bridge: api}",
        "{user: 'terminal:me'}",
        "{prefix: /think}",
        "{prefix: /newer}",
        "{prefix: /a, has_image: true}, {prefix: /a}",
    ],
)
def test_rule_that_may_hold_is_not_noted(files: Files, rules: str) -> None:
    assert not files.load(f"{MODELS}routes: {{other: {ROUTE % rules}}}\n").notes


def test_route_that_is_named_like_a_model_is_noted(files: Files) -> None:
    (note,) = files.load(f"{MODELS}routes: {{spare: {{models: [main]}}}}\n").notes
    assert "config.yaml:4:10: a model is named spare too, and /model spare means the model" in note


@pytest.mark.parametrize("breaker", ["{first_token_s: 30}", "{first_token_timeout_s: 5}"])
def test_time_out_that_comes_before_a_model_is_late_is_noted(files: Files, breaker: str) -> None:
    (note,) = files.load(f"breaker: {breaker}\n").notes
    assert "no standby is asked in time; lower first_token_s" in note
    assert "config.yaml:1:" in note


def test_time_out_of_one_model_is_noted_at_that_model(files: Files) -> None:
    (note,) = files.load("models: [{name: main, type: echo, base_url: x, first_token_s: 21}]\n").notes
    assert "config.yaml:1:48: first_token_s (21) is above first_token_timeout_s (20)" in note


def test_every_command_is_known_where_prefixes_are_checked() -> None:
    assert not any(isinstance(parse(f"/{name}"), UnknownCommand) for name in NAMES)
