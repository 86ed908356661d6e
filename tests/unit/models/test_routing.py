"""Which route a message takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawd.config.schema import RouteConfig, RouteRule
from clawd.messages import File, Image, Text
from clawd.models.routing import RouteFacts, choose_route, facts_of, prefix_remover, prefixes_of
from tests.fakes.inner import message

FACTS = RouteFacts(text="hello", bridge="tg", conversation="tg:bot:1", user="tg:42")


def routes(**rules: RouteRule | tuple[RouteRule, ...]) -> dict[str, RouteConfig]:
    return {
        name: RouteConfig(models=("m",), rules=rule if isinstance(rule, tuple) else (rule,))
        for name, rule in rules.items()
    }


def taken(rule: RouteRule, **facts: Any) -> bool:
    return choose_route(routes(deep=rule), replace(FACTS, **facts)).route == "deep"


@pytest.mark.parametrize(
    ("rule", "facts", "holds"),
    [
        (RouteRule(prefix="/think"), {"text": "/think why"}, True),
        (RouteRule(prefix="/think"), {"text": "why /think"}, False),
        (RouteRule.model_validate({"keyword": "prove"}), {"text": "Please PROVE it."}, True),
        (RouteRule(keyword=("prove", "derive")), {"text": "derive it"}, True),
        (RouteRule(keyword=("prove",)), {"text": "an improvement, unproven"}, False),
        (RouteRule(keyword=("prove",)), {"text": "请prove一下"}, True),
        (RouteRule(keyword=("证明",)), {"text": "请证明这个定理"}, True),
        (RouteRule(keyword=("C++",)), {"text": "in c++, please"}, True),
        (RouteRule(keyword=("C++",)), {"text": "abc++"}, False),
        (RouteRule(keyword=("step by step",)), {"text": "Step by step!"}, True),
        (RouteRule(keyword=("größe",)), {"text": "Die GRÖSSE, die Größe"}, True),
        (RouteRule(has_image=True), {"has_image": True}, True),
        (RouteRule(has_image=True), {}, False),
        (RouteRule(has_image=False), {}, True),
        (RouteRule(length=5), {}, True),
        (RouteRule(length=6), {}, False),
        (RouteRule(bridge=("tg", "hook")), {}, True),
        (RouteRule(bridge=("hook",)), {}, False),
        (RouteRule(conversation=("tg:bot:1",)), {}, True),
        (RouteRule(conversation=("tg:bot:2",)), {}, False),
        (RouteRule(user=("tg:42",)), {}, True),
        (RouteRule(user=("hook:42",)), {}, False),
        (RouteRule(user=("tg:42",), keyword=("hello",)), {}, True),
        (RouteRule(user=("tg:42",), keyword=("bye",)), {}, False),
    ],
)
def test_of_a_rule_all_that_is_set_must_hold(rule: RouteRule, facts: dict[str, Any], holds: bool) -> None:
    assert taken(rule, **facts) is holds


def test_the_first_route_with_a_rule_that_holds_is_taken_and_default_where_there_is_none() -> None:
    found = routes(
        default=(),
        one=(RouteRule(length=100), RouteRule(keyword=("hello",))),
        two=RouteRule(user=("tg:42",)),
    )
    assert choose_route(found, FACTS).route == "one"
    assert choose_route(found, replace(FACTS, text="bye")).route == "two"
    assert choose_route(found, replace(FACTS, text="bye", user="tg:1")).route == "default"
    assert choose_route({}, FACTS).route == "default"


def test_the_choice_has_the_text_without_the_prefix_that_led_there() -> None:
    rule = RouteRule(prefix="/think", user=("tg:42",))
    facts = replace(FACTS, text="/think why?")
    assert choose_route(routes(deep=rule), facts).text == "why?"
    assert choose_route(routes(deep=rule), replace(facts, user="tg:1")).text == "/think why?"


def test_messages_that_are_answered_together_are_looked_at_together() -> None:
    first, second = message("/think"), message("about this")
    picture = replace(second, parts=(Text("about this"), Image(ref="r")))
    facts = facts_of([first, picture])
    assert (facts.text, facts.has_image) == ("/think\nabout this", True)
    assert (facts.bridge, facts.conversation, facts.user) == ("chat", str(first.address), "chat:42")
    assert not facts_of([first, second]).has_image
    assert facts_of([replace(first, parts=(File(ref="r", mime="image/png"),))]).has_image


def test_a_model_is_shown_a_message_without_its_prefix() -> None:
    found = routes(
        mine=RouteRule(prefix="/think", user=("tg:1",)), deep=RouteRule(prefix="?", bridge=("chat",))
    )
    remove = prefix_remover(found)
    assert remove(message("? why")).text == "why"
    assert remove(message("? why", bridge="tg")).text == "? why", "its rule does not hold"
    assert remove(message("/think why")).text == "why", "what looks like a command goes in any case"
    assert remove(message("/think")).text == "/think", "there is nothing else to show"
    assert remove(message("plain")).text == "plain"
    picture = replace(message(), parts=(Image(ref="r"), Text("/think")))
    assert remove(picture).parts == (Image(ref="r"),)


def test_the_prefixes_of_all_routes_are_known_with_their_first_route() -> None:
    rule = RouteRule(prefix="/think")
    assert prefixes_of(routes(a=RouteRule(length=3), b=rule, c=rule)) == {"/think": "b"}
