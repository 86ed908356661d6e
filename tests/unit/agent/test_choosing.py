"""Whom a turn asks: by its message's wish, the conversation's, or the rules of routes."""

from __future__ import annotations

import pytest

from clawd.agent.choosing import Choice, beginning, choose, names_of
from clawd.agent.turn import fold
from clawd.config.schema import RouteConfig, RouteRule
from clawd.journal.base import ConversationSettings
from clawd.journal.records import TurnMerged
from tests.fakes.inner import message

MODELS = ("a", "b", "both")
ROUTES = {
    "default": RouteConfig(models=("a", "b")),
    "deep": RouteConfig(models=("b", "a"), rules=(RouteRule(prefix="/think"),)),
    "only": RouteConfig(models=("b", "a"), strict=True),
    "quick": RouteConfig(models=("b", "a"), strict=True, strategy="fastest"),
    "both": RouteConfig(models=("a",)),
}


@pytest.mark.parametrize(
    ("text", "wish", "pin", "strict", "choice"),
    [
        ("hi", None, None, False, Choice()),
        ("/think", None, None, False, Choice(route="deep")),
        ("hi", None, "b", False, Choice(pin="b")),
        ("hi", None, "b", True, Choice(pin="b", strict=True, alone=True)),
        ("/think", None, "a", False, Choice(route="deep", pin="a")),
        ("hi", None, "deep", False, Choice(route="deep")),
        ("hi", None, "deep", True, Choice(route="deep", strict=True, alone=True)),
        ("/think", None, "default", False, Choice()),
        ("hi", "a", "b", True, Choice(pin="a")),
        ("/think", "default", "b", True, Choice()),
        ("hi", "only", None, False, Choice(route="only", strict=True, alone=True)),
        ("hi", "quick", None, False, Choice(route="quick", strict=True)),
        ("hi", "both", None, False, Choice(pin="both")),
        ("hi", None, "gone", False, Choice(gone="gone", kept=True)),
        ("/think", None, "gone", False, Choice(route="deep", gone="gone", kept=True)),
        ("hi", "gone", "b", True, Choice(gone="gone")),
        ("hi", None, "gone", True, Choice(pin="gone", strict=True, alone=True, gone="gone", kept=True)),
    ],
)
def test_a_messages_wish_comes_first_then_the_pin_then_the_rules(
    text: str, wish: str | None, pin: str | None, strict: bool, choice: Choice
) -> None:
    settings = ConversationSettings(model=pin, strict=strict)
    assert choose([message(text, model=wish)], settings, ROUTES, MODELS) == choice


def test_the_first_of_several_wishes_counts() -> None:
    asked = [message("hi"), message("more", model="b"), message("more", model="a")]
    assert choose(asked, ConversationSettings(), ROUTES, MODELS) == Choice(pin="b")


def test_only_what_was_merged_before_the_first_step_decides() -> None:
    own, early, late = message("one"), message("two"), message("three")
    turn = fold([TurnMerged(step=1, seqs=(2,)), TurnMerged(step=3, seqs=(3,))])
    assert beginning([own], turn, {2: early, 3: late}) == [own, early]


def test_models_and_routes_may_be_asked_for_each_name_once() -> None:
    assert names_of(("a", "b"), ("default", "b", "deep")) == ("a", "b", "default", "deep")
