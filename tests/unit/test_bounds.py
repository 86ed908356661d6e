"""What long-lived objects keep in memory stays bounded, whatever comes from outside. docs/limits.md has the table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridges.telegram.budget import CallBudget
from bridges.telegram.pieces import Pieces
from bridges.telegram.refusals import Refusals
from bridges.wechat.callback import Nonces
from bridges.wechat.open_requests import OpenRequests
from bridges.wecom.account import ReplyTo
from bridges.wecom.config import WecomConfig
from bridges.wecom.line import Line
from bridges.wecom.streams import MOST, Streams
from bridges.weixin.contexts import MAX_USERS, Context, Contexts
from clawd.config.base import Secret
from clawd.config.schema import JournalConfig
from clawd.delivery.callbacks import Callbacks
from clawd.gateway.limits import Limits
from clawd.gateway.shown import Telling
from clawd.gateway.token import Token
from clawd.gateway.token_use import TokenUse
from clawd.ids import QuestionId, TurnId, to_ms
from clawd.journal.base import OpenQuestion
from clawd.journal.endpoints import MAX_ROWS, DisabledEndpoint, EndpointRows
from clawd.journal.opening import open_journal
from clawd.messages import Address, InboundMessage, MessageId, Sender
from clawd.models.pauses import LONGEST_S, KeyPauses
from clawd.models.states import BreakerState, RecentStates
from clawd.observability.counts import MAX_LABELS, Counts
from clawd.testing import ManualClock
from tests.fakes.bridge_context import bridge_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = Address(bridge="api", account="a", chat="c")


def question(number: int) -> OpenQuestion:
    return OpenQuestion(
        id=QuestionId(f"approval:x-1-{number}-1"),
        turn=TurnId(f"turn:x-1-{number}"),
        conversation=PLACE,
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


async def test_messages_that_a_stream_may_answer_are_kept_up_to_a_number() -> None:
    clock = ManualClock(WHEN)
    config = WecomConfig(type="wecom", bot_id="b", secret=Secret("a-secret-of-a-bot"))
    line = Line(bridge_context("wecom"), config, lambda: 0.5)
    streams = Streams(line, clock)
    for number in range(MOST + 100):
        streams.accepted(str(ReplyTo(req_id=f"r{number}", received_ms=to_ms(clock.now()))), PLACE)
    assert len(streams._streams) == MOST
    await clock.advance(7200)
    streams.accepted(str(ReplyTo(req_id="new", received_ms=to_ms(clock.now()))), PLACE)
    assert list(streams._streams) == ["new"]


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


def filled(add: Callable[[int], object], held: Callable[[], int], most: int) -> bool:
    """Whether what is held stays within its bound while half as many again are added."""
    for number in range(most + most // 2):
        add(number)
        if held() > most:
            return False
    return held() > most // 2


def test_programs_chats_and_messages_beyond_a_number_push_the_oldest_out() -> None:
    clock = ManualClock(WHEN)
    limits = Limits(clock, TokenUse(clock, None))

    def request(number: int) -> None:
        limits.request(Token(name=f"t{number}", scopes=frozenset(), digest=b"", rate="5/s"))

    assert filled(request, lambda: len(limits._windows), 10_000)
    calls = CallBudget(clock)
    assert filled(lambda number: calls.freeze(number, 1), lambda: len(calls._chats), 2000)
    refusals = Refusals()
    assert filled(refusals.add, lambda: len(refusals._chats), 2000)
    pieces = Pieces()

    def album(number: int) -> None:
        message = InboundMessage(
            id=MessageId(str(number)),
            address=PLACE,
            sender=Sender(id="1"),
            parts=(),
            sent_at=WHEN,
            group=True,
            piece_of=f"album-{number}",
        )
        pieces.addressed([message])

    assert filled(album, lambda: len(pieces._known), 100)


def test_what_wechat_repeats_is_known_again_up_to_a_number() -> None:
    nonces = Nonces(keep_s=3600)
    assert filled(lambda n: nonces.check("1", str(n), b"", 1.0), lambda: len(nonces._seen) - 2, 20_000)
    requests = OpenRequests(ManualClock(WHEN))

    def ask(number: int) -> None:
        with requests.opened(MessageId(str(number)), PLACE, "me"):
            pass

    assert filled(ask, lambda: len(requests._kept) - 2, 10_000)
    assert not requests._open


def test_models_and_labels_beyond_a_number_are_not_told_apart() -> None:
    states = RecentStates(ManualClock(WHEN))
    state = BreakerState(state="open", since=WHEN)
    assert filled(lambda n: states.note(f"m{n}", state), lambda: len(states._states), 256)
    counter = Counts().requests
    assert filled(lambda n: counter.add("r", "GET", str(n)), lambda: len(counter.numbers()) - 1, MAX_LABELS)
    assert counter.numbers()["other", "other", "other"] == MAX_LABELS // 2
