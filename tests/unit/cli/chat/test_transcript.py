"""A stream with repeats and gaps becomes each text once, and the committed end has the last word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawd.cli.chat.events import (
    Began,
    Ended,
    Event,
    Grew,
    HandedBack,
    Held,
    Merged,
    Over,
    Rewrote,
    Said,
    Switched,
)
from clawd.cli.chat.transcript import Transcript, unshown

T = "turn:x-1-1"


def delta(text: str, offset: int, turn: str = T) -> dict[str, Any]:
    return {"type": "delta", "turn": turn, "attempt": 1, "offset": offset, "text": text}


def ended(text: str, outcome: str = "answered", turn: str = T) -> dict[str, Any]:
    return {"type": "ended", "turn": turn, "outcome": outcome, "text": text, "model": "m", "exit_code": 0}


def entry(role: str, text: str, cursor: str, turn: str | None = T, state: str = "answered") -> dict[str, Any]:
    return {"type": "entry", "cursor": cursor, "turn": turn, "role": role, "text": text, "state": state}


def seen(events: list[Event]) -> str:
    """What a person has in front of him at the end."""
    text = ""
    for event in events:
        match event:
            case Grew(_, more):
                text += more
            case Rewrote(_, whole):
                text = whole
            case Ended(rest=rest):
                text += rest
            case _:
                pass
    return text


def run(*frames: dict[str, Any], transcript: Transcript | None = None) -> list[Event]:
    transcript = transcript or Transcript()
    return [event for frame in frames for event in transcript.apply(frame)]


def test_deltas_add_up_to_the_answer_and_nothing_is_left_for_the_end() -> None:
    events = run(delta("Hel", 0), delta("lo", 3), ended("Hello"))
    assert seen(events) == "Hello"
    assert events[-1] == Ended(turn=T, outcome="answered", text="Hello", rest="", model="m", exit_code=0)


def test_a_turn_that_stands_still_is_told_once() -> None:
    back: dict[str, Any] = {"type": "handed_back", "turn": T}
    assert run({"type": "held", "turn": T, "why": "full"}, back | {"why": "held"}) == [Held(T, "full")]
    assert run(back) == [HandedBack(T)]


def test_a_snapshot_after_a_reconnection_adds_only_what_was_missed() -> None:
    snapshot = {"type": "snapshot", "turn": T, "attempt": 1, "text": "Hello wor"}
    events = run(delta("Hello", 0), snapshot, delta("ld", 9))
    assert [e for e in events if isinstance(e, Grew)] == [Grew(T, "Hello"), Grew(T, " wor"), Grew(T, "ld")]


def test_committed_text_that_is_told_again_after_a_restart_is_not_shown_again() -> None:
    started = {"type": "started", "turn": T, "attempt": 2}
    events = run(delta("Step one.", 0), started, delta("Step one.", 0), delta("\n\nStep two.", 9))
    assert seen(events) == "Step one.\n\nStep two."
    assert not [e for e in events if isinstance(e, Rewrote)]
    assert Began(T, 2) in events


def test_another_model_begins_anew() -> None:
    reset = {"type": "reset", "turn": T, "attempt": 1, "reason": "standby: broke off"}
    events = run(delta("Bad st", 0), reset, delta("Good", 0), ended("Good"))
    assert Switched(T, "standby: broke off") in events
    assert seen(events) == "Good"


def test_a_gap_is_closed_by_the_committed_text() -> None:
    assert seen(run(delta("Hello ", 0), delta("ld", 9), ended("Hello world"))) == "Hello world"


def test_an_answer_that_was_never_streamed_comes_whole_with_its_end() -> None:
    assert seen(run(ended("All of it"))) == "All of it"


def test_an_end_is_told_once_whatever_repeats_it() -> None:
    transcript = Transcript()
    transcript.sent(T)
    events = run(
        ended("A"), ended("A"), entry("assistant", "A", "2"), delta("late", 0), transcript=transcript
    )
    assert [type(e) for e in events] == [Ended]
    assert transcript.cursor == "2"


def test_an_entry_says_that_an_open_turn_is_over_and_leaves_the_rest_to_the_journal() -> None:
    transcript = Transcript()
    transcript.sent(T)
    assert run(entry("assistant", "A", "2"), transcript=transcript) == [Over(T)]
    assert transcript.open_turns == [T]
    assert run(ended("A"), transcript=transcript)
    assert transcript.open_turns == []


def test_my_own_question_is_not_shown_to_me_but_that_of_another_place_is() -> None:
    transcript = Transcript()
    transcript.sent(T)
    events = run(
        entry("user", "mine", "1", state="queued"), entry("user", "theirs", "2", "t2"), transcript=transcript
    )
    assert events == [Said(turn="t2", role="user", text="theirs")]


def test_a_push_is_shown() -> None:
    assert run(entry("assistant", "wake up", "9", None, "sent")) == [
        Said(turn="", role="assistant", text="wake up")
    ]


@pytest.mark.parametrize("frame", [{}, {"type": "new", "turn": T}, {"type": "delta"}, {"type": "ping"}])
def test_frames_of_a_newer_daemon_change_nothing(frame: dict[str, Any]) -> None:
    assert run(frame) == []


@settings(max_examples=300)
@given(
    st.text("ab \n", max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 9)), max_size=12),
    st.booleans(),
)
def test_however_deltas_repeat_or_are_lost_the_person_ends_with_the_committed_text(
    text: str, pieces: list[tuple[int, int]], reset: bool
) -> None:
    frames = [delta(text[at : at + size], at) for at, size in pieces if text[at : at + size]]
    if reset:
        frames.insert(len(frames) // 2, {"type": "reset", "turn": T, "attempt": 1, "reason": ""})
    assert seen(run(*frames, ended(text))).split() == text.split()


@pytest.mark.parametrize(
    ("shown", "since_tool", "final", "rest"),
    [
        ("Hello", 0, "Hello", ""),
        ("Hello", 0, "Hello world", " world"),
        ("Hello ", 0, "Hello\n\n(stopped here)", "\n\n(stopped here)"),
        ("Let me see.\n\nIt is 4", 11, "It is 4.", "."),
        ("Let me see.", 11, "It is 4.", "It is 4."),
        ("", 0, "Everything", "Everything"),
        ("Other", 0, "Text", None),
    ],
)
def test_what_was_not_shown_yet_is_found(shown: str, since_tool: int, final: str, rest: str | None) -> None:
    assert unshown(shown, since_tool, final) == rest


# --- questions and merged messages -------------------------------------------------------------------------


def question(step: int = 2, turn: str = T, **fields: Any) -> dict[str, Any]:
    return {
        "type": "question",
        "id": f"approval:x-1-1-{step}",
        "turn": turn,
        "tool": "shell",
        "subject": "ls",
        "deadline": "2026-01-31T12:00:00.000Z",
        **fields,
    }


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_question_is_told_once_however_often_it_comes() -> None:
    transcript = Transcript()
    assert kinds(run(question(), question(), transcript=transcript)) == ["Asked"]
    assert transcript.open_turns == [T]


@pytest.mark.parametrize("kind", ["started", "snapshot", "delta", "reset", "tool", "ended"])
def test_whatever_happens_in_its_turn_settles_a_question(kind: str) -> None:
    transcript = Transcript()
    run(question(), transcript=transcript)
    frame = {"type": kind, "turn": T, "text": "x", "offset": 0, "outcome": "answered"}
    assert kinds(transcript.apply({**frame, "turn": "turn:x-2-1"}))[0] != "Resumed"
    assert kinds(transcript.apply(frame))[0] == "Resumed"
    assert "Resumed" not in kinds(transcript.apply(frame))


def test_a_second_question_of_a_turn_takes_the_place_of_the_first() -> None:
    assert kinds(run(question(2), question(4))) == ["Asked", "Resumed", "Asked"]


def test_a_question_of_a_newer_daemon_changes_nothing() -> None:
    assert run(question(deadline="soon"), {"type": "question", "turn": T}) == []


def test_what_is_said_after_a_question_is_not_said_again_from_the_start() -> None:
    final = "I leave it."
    assert kinds(run(delta("Let me.", 0), question(), ended(final))) == [
        "Began",
        "Grew",
        "Asked",
        "Resumed",
        "Ended",
    ]


def test_a_merged_message_is_over_with_the_turn_that_took_it() -> None:
    transcript = Transcript()
    transcript.sent(T)
    merged = {"type": "merged", "turn": T, "into": "turn:x-1-0"}
    assert transcript.apply(merged) == [Merged(T, "turn:x-1-0")]
    assert transcript.open_turns == []
    assert run(merged, ended("late"), transcript=transcript) == []
