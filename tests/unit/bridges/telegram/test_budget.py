from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridges.telegram.budget import BOT, GROUP, PRIVATE, CallBudget, Urgency
from clawd.testing import ManualClock

GROUP_CHAT = -100123
PERSON = 7


def exhausted(budget: CallBudget, chat: int | str, urgency: Urgency, most: int = 1000) -> int:
    """Return how many calls pass at once."""
    return next((n for n in range(most) if budget.admit(chat, urgency) > 0), most)


async def test_a_group_takes_no_more_than_twenty_calls_in_any_minute() -> None:
    clock = ManualClock()
    budget = CallBudget(clock)
    passed: list[float] = []
    for _ in range(3000):  # five minutes of somebody who always wants to
        if budget.admit(GROUP_CHAT, "answer") == 0:
            passed.append(clock.monotonic())
        await clock.advance(0.1)
    assert len(passed) >= 90, "what is allowed is used"
    for began in passed:
        assert sum(began <= at < began + 60 for at in passed) <= 20


def test_previews_and_asides_leave_room_for_answers() -> None:
    budget = CallBudget(ManualClock())
    asides = exhausted(budget, GROUP_CHAT, "aside")
    previews = exhausted(budget, GROUP_CHAT, "preview")
    answers = exhausted(budget, GROUP_CHAT, "answer")
    assert asides > 0
    assert previews > 0
    assert asides + previews == GROUP.calls - GROUP.kept
    assert answers == GROUP.kept


async def test_the_wait_is_exactly_as_long_as_it_takes() -> None:
    clock = ManualClock()
    budget = CallBudget(clock)
    await clock.advance(5)
    exhausted(budget, GROUP_CHAT, "answer")
    wait_s = budget.admit(GROUP_CHAT, "answer")
    assert wait_s == GROUP.seconds
    await clock.advance(wait_s - 0.01)
    assert budget.admit(GROUP_CHAT, "answer") > 0
    await clock.advance(0.01)
    assert budget.admit(GROUP_CHAT, "answer") == 0


def test_a_reply_to_a_person_never_waits_but_leaves_no_room_for_what_is_nice_to_have() -> None:
    budget = CallBudget(ManualClock())
    assert exhausted(budget, PERSON, "answer", most=100) == 100
    assert budget.admit(PERSON, "preview") > 0
    assert budget.admit(PERSON, "aside") > 0


async def test_a_private_chats_previews_keep_within_its_allowance() -> None:
    clock = ManualClock()
    budget = CallBudget(clock)
    passed = 0
    for _ in range(300):
        passed += budget.admit(PERSON, "preview") == 0
        await clock.advance(0.1)
    assert passed <= PRIVATE.calls


async def test_previews_in_all_chats_together_keep_within_the_bots_own_allowance() -> None:
    clock = ManualClock()
    budget = CallBudget(clock)
    passed = sum(budget.admit(chat, "preview") == 0 for chat in range(1, 200))
    assert passed == BOT.calls - BOT.kept
    assert budget.admit(600, "answer") == 0, "a reply does not wait for the previews of others"
    await clock.advance(1)
    assert budget.admit(500, "preview") == 0


async def test_a_frozen_chat_waits_alone() -> None:
    clock = ManualClock()
    budget = CallBudget(clock)
    budget.freeze(PERSON, 30)
    budget.freeze(PERSON, 5)  # the longer one holds
    assert budget.admit(PERSON, "answer") == 30
    assert budget.admit(PERSON + 1, "answer") == 0
    await clock.advance(30)
    assert budget.admit(PERSON, "answer") == 0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20),
            st.sampled_from([GROUP_CHAT, PERSON, "@channel"]),
            st.sampled_from(["answer", "preview", "aside"]),
        ),
        max_size=200,
    )
)
def test_no_window_is_ever_overrun(steps: list[tuple[float, int | str, Urgency]]) -> None:
    clock = ManualClock()
    budget = CallBudget(clock)
    passed: list[tuple[float, int | str]] = []
    for wait_s, chat, urgency in steps:
        clock._move_to(clock.monotonic() + wait_s)
        if budget.admit(chat, urgency) == 0 and (chat != PERSON or urgency != "answer"):
            passed.append((clock.monotonic(), chat))
    for began, chat in passed:
        allowed = PRIVATE if chat == PERSON else GROUP
        same = [at for at, other in passed if other == chat and began <= at < began + allowed.seconds]
        assert len(same) <= allowed.calls
