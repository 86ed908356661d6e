"""The spans of a turn: what took how long, also where the process died or the clock was set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.ids import DeliveryId, TurnId
from clawd.journal import records
from clawd.journal.base import OutboxState, TurnState
from clawd.journal.reading import DeliveryView, TurnView
from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    QuestionAnswered,
    Record,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnMerged,
    TurnStarted,
    TurnWaiting,
)
from clawd.journal.span_builder import spans
from clawd.journal.spans import Span
from clawd.journal.story import Entry, Merged, Outgoing, Story
from clawd.messages import Address
from clawd.response import ModelAttempt, ModelResponse, ToolCall, Usage

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TURN = TurnId("turn:abcd-1-5")
HOOK = Address(bridge="hook", account="main", chat="1")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def row(seconds: float, record: Record | None = None, claim: int = 1) -> Entry:
    return Entry(at=at(seconds), kind=record.kind if record else "accepted", claim=claim, record=record)


def turn(state: TurnState = "answered", finished_s: float | None = 10.0) -> TurnView:
    return TurnView(
        id=TURN,
        conversation=HOOK,
        seq=5,
        state=state,
        attempts=0,
        question="hi",
        answer="hello",
        accepted_at=START,
        finished_at=at(finished_s) if finished_s is not None else None,
        model="main",
    )


def told(*entries: Entry, view: TurnView | None = None, now: float = 100.0, **other: object) -> list[Span]:
    story = Story(
        turn=view or turn(finished_s=max(e.at for e in entries).timestamp() - START.timestamp()),
        entries=entries,
        outgoing=other.get("outgoing", ()),  # type: ignore[arg-type]
        merged=other.get("merged", ()),  # type: ignore[arg-type]
        now=at(now),
    )
    return list(spans(story))


def outgoing(state: OutboxState, at_s: float, taken: float | None, ended: float | None) -> Outgoing:
    view = DeliveryView(
        id=DeliveryId("delivery:abcd-7"),
        conversation=HOOK,
        turn=TURN,
        state=state,
        attempt=3,
        remote_id="r1" if state == "sent" else None,
        text="hello",
        why="HTTP 400" if state == "dead" else "",
    )
    return Outgoing(
        view=view,
        part=0,
        at=at(at_s),
        taken_at=at(taken) if taken is not None else None,
        ended_at=at(ended) if ended is not None else None,
    )


def shape(found: list[Span]) -> list[tuple[str, str, float, float]]:
    """Return kind, name, start and end in seconds of all but the root."""
    return [
        (
            span.kind,
            span.name,
            round((span.start - START).total_seconds(), 3),
            round((span.end - START).total_seconds(), 3),
        )
        for span in found[1:]
    ]


def named(found: list[Span], name: str) -> Span:
    (span,) = (span for span in found if span.name == name)
    return span


STARTED = TurnStarted(owner="a", attempt=1)
FINISHED = TurnFinished(outcome="answered", text="hello", answers=(5,), model="main")


def answer(*attempts: ModelAttempt, step: int = 1, calls: tuple[ToolCall, ...] = ()) -> ModelResult:
    model = attempts[-1].model if attempts else "main"
    response = ModelResponse(model=model, text="x", attempts=attempts, tool_calls=calls)
    return ModelResult(step=step, response=response)


def attempt(model: str, outcome: str, begun: float | None, took: float, **more: object) -> ModelAttempt:
    plain = ModelAttempt(model=model, outcome=outcome, duration_s=took)
    begun_at = at(begun) if begun is not None else None
    return replace(plain, begun_at=begun_at, **more)  # type: ignore[arg-type]


def test_a_plain_turn_is_a_wait_a_request_and_a_delivery_inside_of_it() -> None:
    asked = attempt(
        "main",
        "ok",
        1.01,
        2.0,
        first_token_s=0.5,
        usage=Usage(input_tokens=7, output_tokens=3),
        cost_usd=0.25,
    )
    found = told(
        row(0),
        row(1, STARTED),
        row(1.02, ModelIntent(step=1, route="default", model="main")),
        row(3.1, answer(asked)),
        row(3.2, FINISHED),
        outgoing=[outgoing("sent", 3.2, 3.3, 4.0)],
    )
    assert shape(found) == [
        ("queue", "queued", 0.0, 1.0),
        ("model", "main", 1.01, 3.01),
        ("delivery", "delivery:abcd-7", 3.2, 4.0),
        ("delivery", "attempt 3", 3.3, 4.0),
    ]
    root, _, model, delivery, sending = found
    assert (root.kind, root.parent, root.start, root.end, root.open) == ("turn", None, at(0), at(4.0), False)
    assert dict(root.attributes) == {
        "turn": TURN,
        "conversation": str(HOOK),
        "bridge": "hook",
        "outcome": "answered",
        "model": "main",
        "claims": 1,
        "committed_s": 3.2,
        "cost_usd": 0.25,
    }
    assert dict(model.attributes)["first_token_s"] == 0.5
    assert dict(model.attributes)["input_tokens"] == 7
    assert sending.parent == delivery.id


def test_a_failover_is_two_requests_and_the_loser_of_a_hedge_lies_beside_the_winner() -> None:
    found = told(
        row(0),
        row(1, STARTED),
        row(1, ModelIntent(step=1, route="default", model="first")),
        row(
            20,
            answer(
                attempt("first", "E-MODEL-DOWN", 1.0, 0.2, detail="HTTP 500"),
                attempt("slow", "hedge", 1.2, 9.0),
                attempt("quick", "ok", 9.2, 10.0),
            ),
        ),
        row(20, FINISHED),
    )
    assert shape(found)[1:] == [
        ("model", "first", 1.0, 1.2),
        ("model", "slow", 1.2, 10.2),
        ("model", "quick", 9.2, 19.2),
    ]
    assert named(found, "first").error == "HTTP 500"
    assert named(found, "slow").error == ""


def test_attempts_without_a_time_of_their_own_follow_each_other() -> None:
    found = told(
        row(0),
        row(1, STARTED),
        row(1, ModelIntent(step=1, route="default", model="first")),
        row(
            4,
            answer(attempt("first", "E-MODEL-DOWN", None, 0.5, detail="x"), attempt("main", "ok", None, 2.0)),
        ),
        row(4, FINISHED),
    )
    assert shape(found)[1:] == [("model", "first", 1.0, 1.5), ("model", "main", 1.5, 3.5)]


def test_tools_with_an_effect_begin_with_their_intent_and_others_end_with_their_result() -> None:
    calls = (ToolCall(id="c1", name="shell", arguments="{}"), ToolCall(id="c2", name="clock", arguments="{}"))
    found = told(
        row(0),
        row(1, STARTED),
        row(2, answer(attempt("main", "ok", 1.0, 1.0), calls=calls)),
        row(2, ToolIntent(step=2, call_id="c1", name="shell", arguments="{}", effect="once")),
        row(5, ToolDone(step=2, call_id="c1", name="shell", text="", outcome="error", duration_s=2.5)),
        row(6, ToolDone(step=3, call_id="c2", name="clock", text="", duration_s=0.25)),
        row(7, FINISHED),
    )
    assert shape(found)[2:] == [("tool", "shell", 2.0, 4.5), ("tool", "clock", 5.75, 6.0)]
    assert named(found, "shell").error == "error"
    assert dict(named(found, "clock").attributes)["effect"] == "pure"
    assert dict(named(found, "main").attributes)["calls"] == "shell, clock"


def test_a_crash_shows_as_a_gap_and_what_was_cut_off() -> None:
    found = told(
        row(0),
        row(1, STARTED),
        row(1, ModelIntent(step=1, route="default", model="main")),
        row(61, TurnStarted(owner="b", attempt=2), claim=2),
        row(61, ModelIntent(step=1, route="default", model="main"), claim=2),
        row(63, answer(attempt("main", "ok", 61.0, 2.0)), claim=2),
        row(63, FINISHED, claim=2),
    )
    assert shape(found)[1:] == [
        ("model", "main", 1.0, 1.0),
        ("queue", "gap", 1.0, 61.0),
        ("model", "main", 61.0, 63.0),
    ]
    assert (found[2].error, dict(found[2].attributes)["outcome"]) == ("cut off", "cut")
    assert dict(found[0].attributes)["claims"] == 2


def test_a_question_is_waited_for_from_its_commit_to_the_next_claim() -> None:
    waiting = TurnWaiting(step=2, about="approval", name="shell", subject="rm x", deadline=at(9000))
    found = told(
        row(0),
        row(1, STARTED),
        row(2, waiting),
        row(7202, TurnStarted(owner="a", attempt=1), claim=2),
        row(7202, QuestionAnswered(step=2, approved=True, by="hook:1"), claim=2),
        row(7203, FINISHED, claim=2),
    )
    assert shape(found)[1:] == [("question", "shell", 2.0, 7202.0)]
    assert dict(found[2].attributes) == {
        "tool": "shell",
        "step": 2,
        "about": "approval",
        "subject": "rm x",
        "answer": "approved",
        "why": "person",
        "by": "hook:1",
    }
    assert not found[2].open


def test_a_message_that_joined_waited_until_it_did() -> None:
    other = TurnId("turn:abcd-1-6")
    found = told(
        row(0),
        row(1, STARTED),
        row(3, TurnMerged(step=1, seqs=(6,))),
        row(4, FINISHED),
        merged=[Merged(seq=6, turn=other, at=at(2))],
    )
    assert shape(found)[1:] == [("queue", "merged", 2.0, 3.0)]
    assert dict(found[2].attributes) == {"turn": other}


def test_what_runs_still_is_open_up_to_now() -> None:
    found = told(
        row(0),
        row(1, STARTED),
        row(1, ModelIntent(step=1, route="default", model="main")),
        view=turn("running", None),
        now=30.0,
    )
    assert [(span.kind, span.open, span.end) for span in found] == [
        ("turn", True, at(30)),
        ("queue", False, at(1)),
        ("model", True, at(30)),
    ]
    waits = told(row(0), view=turn("queued", None), now=9.0)
    assert [(span.kind, span.open, span.end) for span in waits] == [
        ("turn", True, at(9)),
        ("queue", True, at(9)),
    ]


def test_a_delivery_that_was_given_up_says_why_and_one_that_waits_is_open() -> None:
    given_up = told(row(0), row(1, STARTED), row(2, FINISHED), outgoing=[outgoing("dead", 2, 8, 9)])
    assert named(given_up, "delivery:abcd-7").error == "HTTP 400"
    waits = told(row(0), row(1, STARTED), row(2, FINISHED), outgoing=[outgoing("pending", 2, 8, None)])
    assert [span.name for span in waits if span.open] == [TURN, "delivery:abcd-7"]


def test_a_push_is_a_root_of_its_own() -> None:
    story = Story(turn=None, entries=(), outgoing=[outgoing("sent", 2, 3, 4)], merged=(), now=at(100))
    whole, sending = spans(story)
    assert (whole.kind, whole.parent, whole.start, whole.end) == ("delivery", None, at(2), at(4))
    assert (sending.parent, sending.start) == (whole.id, at(3))


def test_a_clock_that_was_set_back_leaves_lengths_true_and_a_mark() -> None:
    found = told(
        row(0),
        row(1, STARTED),
        row(1, ModelIntent(step=1, route="default", model="main")),
        row(3, answer(attempt("main", "ok", 1.0, 2.0))),
        row(-3600 + 4, ToolIntent(step=2, call_id="c", name="shell", arguments="{}", effect="once")),
        row(-3600 + 9, ToolDone(step=2, call_id="c", name="shell", text="", duration_s=5.0)),
        row(-3600 + 10, FINISHED),
        view=turn(finished_s=-3600 + 10),
        outgoing=[outgoing("sent", -3600 + 10, -3600 + 11, -3600 + 12)],
        now=-3500.0,
    )
    tool, delivery = named(found, "shell"), named(found, "delivery:abcd-7")
    assert tool.end - tool.start == timedelta(seconds=5)
    assert delivery.end - delivery.start == timedelta(seconds=2)
    assert tool.clock_set
    assert found[0].clock_set
    assert not found[1].clock_set


# --- whatever the rows say -------------------------------------------------------------------------------

_SECONDS = st.floats(-4000, 4000)
_ATTEMPTS = st.builds(
    attempt,
    st.sampled_from(["main", "standby"]),
    st.sampled_from(["ok", "hedge", "cancelled", "E-MODEL-DOWN"]),
    st.none() | _SECONDS,
    st.floats(0, 4000),
)
_STEPS = st.integers(1, 3)
_RECORDS = st.one_of(
    st.none(),
    st.builds(TurnStarted, owner=st.just("a"), attempt=st.just(1)),
    st.builds(ModelIntent, step=_STEPS, route=st.just("default")),
    st.builds(lambda step, attempts: answer(*attempts, step=step), _STEPS, st.lists(_ATTEMPTS, max_size=3)),
    st.builds(
        ToolIntent,
        step=_STEPS,
        call_id=st.just("c"),
        name=st.just("shell"),
        arguments=st.just("{}"),
        effect=st.just("once"),
    ),
    st.builds(
        ToolDone,
        step=_STEPS,
        call_id=st.just("c"),
        name=st.just("shell"),
        text=st.just(""),
        duration_s=st.floats(0, 4000),
    ),
    st.builds(
        TurnWaiting,
        step=_STEPS,
        about=st.just("approval"),
        name=st.just("shell"),
        subject=st.just("x"),
        deadline=st.just(START),
    ),
    st.builds(QuestionAnswered, step=_STEPS, approved=st.booleans()),
    st.builds(TurnMerged, step=_STEPS, seqs=st.just((6,))),
    st.builds(lambda attempts: replace(FINISHED, attempts=tuple(attempts)), st.lists(_ATTEMPTS, max_size=2)),
)
_ENTRIES = st.lists(st.builds(row, _SECONDS, _RECORDS, st.integers(1, 3)), max_size=12)
_OUTGOING = st.builds(
    outgoing,
    st.sampled_from(["pending", "sending", "open", "sent", "parked", "unknown", "dead"]),
    _SECONDS,
    st.none() | _SECONDS,
    st.none() | _SECONDS,
)


@settings(max_examples=150, deadline=None)
@given(
    _ENTRIES,
    st.lists(_OUTGOING, max_size=2),
    st.sampled_from(["queued", "running", "waiting", "answered", "dead"]),
    st.none() | _SECONDS,
    _SECONDS,
)
def test_spans_nest_and_never_run_backwards_whatever_the_rows_and_the_clock_say(
    entries: list[Entry],
    deliveries: list[Outgoing],
    state: TurnState,
    finished_s: float | None,
    now: float,
) -> None:
    found = told(
        *entries,
        view=turn(state, finished_s),
        now=now,
        outgoing=deliveries,
        merged=[Merged(seq=6, turn=TURN, at=at(2))],
    )
    assert [span.id for span in found] == list(range(len(found)))
    assert found[0].parent is None
    for span in found:
        assert span.start <= span.end
        for name, value in span.attributes:
            assert isinstance(value, str | int | float), name
    for span in found[1:]:
        assert span.parent is not None
        assert span.parent < span.id
        around = found[span.parent]
        assert around.start <= span.start
        assert span.end <= around.end


def test_every_kind_of_record_is_taken() -> None:
    """A record that the builder does not know changes nothing, and breaks nothing."""
    plain = told(row(0), row(1, STARTED), row(2, FINISHED))
    more = told(
        row(0),
        row(1, STARTED),
        row(1, records.SessionStarted(session=1)),
        row(1, records.TurnsUndone(seqs=(1,))),
        row(2, FINISHED),
    )
    assert plain == more
