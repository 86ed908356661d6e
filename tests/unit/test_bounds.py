"""What long-lived objects keep in memory stays bounded, whatever comes from outside. docs/limits.md has the table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridges.weixin.contexts import MAX_USERS, Context, Contexts
from clawd.config.schema import JournalConfig
from clawd.delivery.callbacks import Callbacks
from clawd.gateway.shown import Telling
from clawd.ids import QuestionId, TurnId
from clawd.journal.base import OpenQuestion
from clawd.journal.endpoints import MAX_ROWS, DisabledEndpoint, EndpointRows
from clawd.journal.opening import open_journal
from clawd.messages import Address, Sender
from clawd.models.pauses import LONGEST_S, KeyPauses
from clawd.testing import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def question(number: int) -> OpenQuestion:
    return OpenQuestion(
        id=QuestionId(f"approval:x-1-{number}-1"),
        turn=TurnId(f"turn:x-1-{number}"),
        conversation=Address(bridge="api", account="a", chat="c"),
        about="approval",
        tool="shell",
        subject="ls",
        asker=Sender(id="1"),
        asked_at=WHEN,
        deadline=WHEN,
    )


def test_a_subscription_that_stays_for_a_year_does_not_keep_all_questions() -> None:
    telling = Telling("c", "0")
    for number in range(5000):
        assert telling.frame_of(question(number)) is not None
        assert telling.frame_of(question(number)) is None, "it was told"
    assert len(telling._asked) <= 1000


async def test_keys_that_were_paused_once_and_are_used_no_more_are_forgotten() -> None:
    clock = ManualClock()
    pauses = KeyPauses(clock)
    for number in range(200):
        pauses.refused(f"key-{number}", 5.0, began=clock.monotonic())
        await clock.advance(LONGEST_S / 10)
    assert len(pauses._pauses) <= 12
    assert pauses.rest_s("key-199") == 0


def test_a_send_to_somebody_who_was_forgotten_meanwhile_leaves_nothing() -> None:
    contexts = Contexts()
    for number in range(3 * MAX_USERS):
        contexts.offer(f"u{number}", Context(token="t", at_ms=number))
        contexts.count("u0", "t")
        contexts.count(f"u{number}", "t")
    assert len(contexts.known()) == MAX_USERS
    assert len(contexts._use) <= MAX_USERS


async def test_endpoints_that_are_gone_are_kept_up_to_the_number_of_their_rows(state_dir: Path) -> None:
    clock = ManualClock(WHEN)
    opened = await open_journal(state_dir, JournalConfig(), clock)
    try:
        callbacks = Callbacks(EndpointRows(opened.store), clock, version="1", chance=lambda: 0.5)
        for number in range(MAX_ROWS + 50):
            url = f"https://example.com/{number}"
            await callbacks.keep_disabled(DisabledEndpoint(url=url, settings="s", since=clock.now()))
        assert len(callbacks._disabled) == MAX_ROWS
        assert f"https://example.com/{MAX_ROWS + 49}" in callbacks._disabled
    finally:
        await opened.close()
