"""What is told beside an answer, and to whom."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from clawd.agent.ending import no_model
from clawd.agent.notices import Notices, spent_text
from clawd.errors import (
    EXIT_TRY_LATER,
    BudgetSpent,
    ContextTooLong,
    ModelAuthError,
    ModelRateLimited,
    ModelsExhausted,
    ModelUnavailable,
)
from clawd.journal.items import Right
from clawd.models.ledger import Room
from clawd.response import ModelAttempt
from clawd.texts import say

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def spent(budget: str, model: str = "main", ends_at: datetime | None = MIDNIGHT) -> BudgetSpent:
    return BudgetSpent(model, budget=budget, limit_usd=5, ends_at=ends_at)


@pytest.mark.parametrize("budget", ["day", "month", "user", "conversation", "model"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_spent_budget_is_told_in_words_and_its_amount_to_owners_alone(budget: str, language: str) -> None:
    told = spent_text(spent(budget), "chat", language)
    assert told is not None
    assert say(f"budget_{budget}", language, model="main") in told
    assert "2026-01-02 00:00 UTC" in told
    assert "$" not in told
    assert "$5.00" in (spent_text(spent(budget), "owner", language) or "")


def test_of_several_spent_budgets_the_one_that_begins_anew_first_is_told() -> None:
    causes = [spent("month", ends_at=LATER), spent("model", "b"), spent("day", "c", ends_at=None)]
    told = spent_text(ModelsExhausted("default", causes), "chat", "en")
    assert told is not None
    assert "today's budget of the model b" in told


def test_other_failures_beside_a_spent_budget_are_told_with_it() -> None:
    mixed = ModelsExhausted("default", [spent("model"), ModelUnavailable("b", "down")])
    assert spent_text(mixed, "owner", "en") is None
    assert no_model(mixed, "en").text == (
        f"{say('failed_models')}\nBesides, today's budget of the model main is spent, so not every model could be "
        "asked. It begins anew at 2026-01-02 00:00 UTC."
    )
    assert no_model(mixed, "en", "owner").text.endswith("(The limit is $5.00.)")
    assert "main: the model budget of $5.00 is spent" in (no_model(mixed, "en").error or "")
    assert "b: down" in (no_model(mixed, "en").error or "")
    refused = ModelsExhausted("default", [spent("day"), ModelAuthError("b", "HTTP 401")])
    assert no_model(refused, "en").text.startswith(say("failed_auth"))
    busy = ModelsExhausted("default", [spent("day"), ModelRateLimited("b", retry_after_s=7)])
    assert no_model(busy, "en").text.startswith(say("failed_busy", seconds=7))
    assert spent_text(ModelsExhausted("default", []), "owner", "en") is None


def test_amounts_and_the_model_are_told_as_they_are() -> None:
    room = Room(budget="model", model="main", limit_usd=0.0125, spent_usd=0.01)
    (line,) = Notices().of_budget(room, "owner", "en", NOW)
    assert line == "(Note: 80 % of today's budget of the model main is used: $0.01 of $0.0125.)"
    error = BudgetSpent("main", budget="conversation", limit_usd=0.035, ends_at=None)
    assert "the conversation budget of $0.035 is spent" in str(error)
    assert (spent_text(error, "owner", "en") or "").endswith("(The limit is $0.035.)")


def test_what_is_left_but_too_little_is_told_as_such() -> None:
    error = BudgetSpent("main", budget="user", limit_usd=1, ends_at=MIDNIGHT, left_usd=0.1, input_usd=0.2)
    told = spent_text(error, "chat", "en") or ""
    assert told.startswith("Sorry, too little is left of your budget for today")


def test_two_models_that_come_to_their_end_are_both_kept_for_an_owner() -> None:
    notices = Notices()
    for name in ("a", "b"):
        room = Room(budget="model", model=name, limit_usd=1, spent_usd=0.9, ends_at=MIDNIGHT)
        assert notices.of_budget(room, "chat", "en", NOW) == []
    lines = [*notices.of_budget(None, "owner", "en", NOW), *notices.of_budget(None, "owner", "en", NOW)]
    assert len(lines) == 2


def test_a_turn_without_money_asks_to_try_later() -> None:
    ending = no_model(ModelsExhausted("default", [spent("day")]), "en")
    assert (ending.outcome, ending.exit_code) == ("failed", EXIT_TRY_LATER)
    assert ending.text.startswith("Sorry, today's budget is spent")


def test_a_conversation_that_fits_no_model_is_told_so() -> None:
    error = ModelsExhausted("default", [ContextTooLong("a", "too long"), ModelUnavailable("b", "down")])
    assert no_model(error, "en").text == say("failed_context")


@pytest.mark.parametrize(
    ("budget", "right", "is_told"),
    [
        ("day", "owner", True),
        ("day", "tools", False),
        ("month", "chat", False),
        ("model", "chat", False),
        ("user", "chat", True),
        ("conversation", "tools", True),
        ("", "owner", False),
    ],
)
def test_a_budget_near_its_end_is_told_to_whom_it_concerns(budget: str, right: Right, is_told: bool) -> None:
    room = Room(budget=budget, limit_usd=10, spent_usd=8.37)
    lines = Notices().of_budget(room, right, "en", NOW)
    assert bool(lines) is is_told
    for line in lines:
        assert "83 %" in line
        assert ("$8.37 of $10.00" in line) == (right == "owner")
    assert Notices().of_budget(None, right, "en", NOW) == []


def test_a_budget_that_came_up_in_a_guests_turn_is_kept_for_the_owners_next_one() -> None:
    notices, room = Notices(), Room(budget="day", limit_usd=10, spent_usd=9, ends_at=MIDNIGHT)
    assert notices.of_budget(room, "chat", "en", NOW) == []
    assert notices.of_budget(None, "tools", "en", NOW) == []
    assert len(notices.of_budget(None, "owner", "en", NOW)) == 1
    assert notices.of_budget(None, "owner", "en", NOW) == []
    notices.of_budget(room, "chat", "en", NOW)
    assert notices.of_budget(None, "owner", "en", LATER) == [], "it has begun anew"


def refused(model: str = "main") -> ModelAttempt:
    return ModelAttempt(
        model=model, outcome=ModelAuthError.code, detail="the key (environment KEY) is refused"
    )


def test_a_refused_key_is_told_to_an_owner_once_and_again_when_it_was_good_meanwhile() -> None:
    keys = Notices()
    assert keys.of_keys([refused()], "tools", "en") == []
    (line,) = keys.of_keys([refused(), refused()], "owner", "en")
    assert line == say("key_refused", model="main", detail="the key (environment KEY) is refused")
    assert keys.of_keys([refused()], "owner", "en") == []
    assert len(keys.of_keys([refused("other")], "owner", "zh")) == 1
    assert keys.of_keys([ModelAttempt(model="main", outcome="ok")], "chat", "en") == []
    assert len(keys.of_keys([refused()], "owner", "en")) == 1


def test_a_turn_that_failed_for_its_keys_names_each_of_them() -> None:
    errors = [
        ModelAuthError(
            "a", "the provider refuses the API key (environment A)", remedy="put a valid key there"
        ),
        ModelUnavailable("b", "down"),
    ]
    keys = Notices()
    assert keys.of_error(ModelsExhausted("default", errors), "chat", "en") == []
    (line,) = keys.of_error(ModelsExhausted("default", errors), "owner", "en")
    assert "a: the provider refuses the API key (environment A); put a valid key there" in line
