"""Who may be written to, how often, and what of it survives a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridges.weixin.contexts import MAX_USERS, Context, Contexts, read_state, write_state
from clawd.errors import DeliveryParked
from clawd.ids import to_ms

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float, token: str, seq: int = 0) -> Context:
    """A context that came so long ago."""
    return Context(token=token, at_ms=to_ms(NOW) - int(seconds * 1000), seq=seq)


def permit(contexts: Contexts, *, sends: int = 1, budget: int = 8, now: datetime = NOW) -> None:
    contexts.permit("weixin", "u", now, sends=sends, budget=budget, window_s=86400)


def test_the_newest_token_wins_in_whatever_order_they_come() -> None:
    contexts = Contexts()
    for context in (at(5, "b", 2), at(9, "a", 1), at(1, "d", 4), at(1, "c", 3)):
        contexts.offer("u", context)
    assert contexts.token("u") == "d"


def test_nothing_is_sent_to_somebody_who_never_wrote() -> None:
    with pytest.raises(DeliveryParked, match="has to write first"):
        permit(Contexts())


def test_a_quota_is_used_up_and_begins_anew_with_the_next_message() -> None:
    contexts = Contexts({"u": at(1, "a")})
    for _ in range(8):
        permit(contexts)
        contexts.count("u", "a")
    with pytest.raises(DeliveryParked, match="8 of 8"):
        permit(contexts)
    permit(contexts, budget=10)
    contexts.offer("u", at(0, "b"))
    permit(contexts)


def test_what_needs_several_messages_is_not_begun_when_they_no_longer_fit() -> None:
    contexts = Contexts({"u": at(1, "a")})
    permit(contexts, sends=9)  # it has to begin somewhere
    for _ in range(6):
        contexts.count("u", "a")
    permit(contexts, sends=2)
    with pytest.raises(DeliveryParked):
        permit(contexts, sends=3)


@pytest.mark.parametrize(("age_s", "open_"), [(-7200, True), (0, True), (86400, True), (86401, False)])
def test_the_window_closes_a_day_after_the_last_message_also_when_the_clock_was_set_back(
    age_s: float, open_: bool
) -> None:
    contexts = Contexts({"u": at(0, "a")})
    if open_:
        permit(contexts, now=NOW + timedelta(seconds=age_s))
    else:
        with pytest.raises(DeliveryParked, match="86400 s"):
            permit(contexts, now=NOW + timedelta(seconds=age_s))


def test_a_context_that_the_server_ended_is_not_tried_again() -> None:
    contexts = Contexts({"u": at(1, "a")})
    contexts.end("u", "a")
    with pytest.raises(DeliveryParked):
        permit(contexts)
    contexts.offer("u", at(0, "b"))
    permit(contexts)


def test_a_fresh_token_of_the_server_is_used_and_an_equal_one_is_none() -> None:
    contexts = Contexts({"u": at(1, "a")})
    assert not contexts.renew("u", "a")
    assert not contexts.renew("u", "")
    assert not contexts.renew("stranger", "b")
    contexts.end("u", "a")
    assert contexts.renew("u", "b")
    permit(contexts)


def test_the_state_survives_as_text_and_holds_the_newest_users() -> None:
    contexts = Contexts()
    for n in range(MAX_USERS + 5):
        contexts.offer(f"u{n}", at(1000 - n, f"t{n}", 2**64 - 1))
    cursor, again = read_state(write_state('buf "x" 字', contexts))
    assert cursor == 'buf "x" 字'
    assert again.known() == contexts.known()
    assert len(again.known()) == MAX_USERS
    assert again.token("u4") is None
    assert again.token(f"u{MAX_USERS + 4}") == f"t{MAX_USERS + 4}"


@pytest.mark.parametrize(
    "value", [None, "", "[]", "{}", "null", "not json", '{"v":2}', '{"v":1,"buf":"b","contexts":{"u":[1]}}']
)
def test_a_state_of_another_version_is_an_empty_start(value: str | None) -> None:
    cursor, contexts = read_state(value)
    assert cursor == ""
    assert not contexts.known()
