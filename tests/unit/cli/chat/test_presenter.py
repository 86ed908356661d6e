"""Wording and order of what a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clawd.cli.chat.events import (
    Began,
    Ended,
    Event,
    Grew,
    HandedBack,
    Held,
    Outcome,
    Rewrote,
    Said,
    Switched,
    ToolRan,
)
from clawd.cli.chat.presenter import Presenter, one_line, tool_line

if TYPE_CHECKING:
    from clawd.cli.chat.output import Output

T = "turn:x-1-1"


class Recorder:
    """Writes down what an output is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def show(self, text: str) -> None:
        self.told.append(("show", text))

    def settle(self) -> None:
        self.told.append(("settle", ""))

    def end(self, text: str) -> None:
        self.told.append(("end", text))

    def abandon(self) -> None:
        self.told.append(("abandon", ""))

    def aside(self, text: str) -> None:
        self.told.append(("aside", text))

    def note(self, text: str) -> None:
        self.told.append(("note", text))

    def notice(self, text: str) -> None:
        self.told.append(("notice", text))

    def error(self, text: str) -> None:
        self.told.append(("error", text))

    def question(self, text: str) -> None:
        self.told.append(("question", text))

    def asks(self, head: str, call: str, how: str) -> None:
        self.told.append(("asks", f"{head} {call}"))


def told(*events: Event) -> list[tuple[str, str]]:
    recorder = Recorder()
    output: Output = recorder
    presenter = Presenter(output)
    for event in events:
        presenter.handle(event)
    return [line for line in recorder.told if line[0] != "settle"]


def end(text: str, rest: str, outcome: Outcome = "answered", why: str = "") -> Ended:
    return Ended(turn=T, outcome=outcome, text=text, rest=rest, why=why)


def test_the_answer_grows_and_ends_with_what_was_not_shown() -> None:
    assert told(Began(T), Grew(T, "He"), Grew(T, "llo"), end("Hello!", "!")) == [
        ("show", "He"),
        ("show", "Hello"),
        ("end", "Hello!"),
    ]


def test_what_is_told_beside_an_answer_stands_behind_it_and_apart() -> None:
    ended = Ended(turn=T, outcome="answered", text="Hello", rest="Hello", notice="(Note: 80 % used.)")
    assert told(ended) == [("end", "Hello"), ("notice", "(Note: 80 % used.)")]


def test_a_switch_of_model_is_one_dim_line() -> None:
    lines = told(Grew(T, "He"), Switched(T, "standby: E-MODEL-DOWN"), Rewrote(T, ""), Grew(T, "Hi"))
    assert lines[1:] == [("note", "switched to standby: the one before failed"), ("show", ""), ("show", "Hi")]
    assert told(Switched(T, "E-CONTEXT")) == [
        ("note", "begins again: the conversation is longer than the model can read")
    ]
    assert told(Switched(T, "b: E-NEW"), Switched(T, "")) == [
        ("note", "switched to b: E-NEW"),
        ("note", "begins again"),
    ]


def test_a_tool_call_is_one_line_and_its_result_another_with_size_and_time() -> None:
    call = ToolRan(turn=T, name="calculator", phase="started", summary='{"expression":"2+2"}')
    result = ToolRan(turn=T, name="calculator", phase="ok", summary="4", duration_s=0.04)
    assert tool_line(call) == '> calculator({"expression":"2+2"})'
    assert tool_line(result) == "  4 · 1 character, 0.0 s"
    failed = ToolRan(turn=T, name="x", phase="error", summary="no\nsuch thing", duration_s=1.25)
    assert tool_line(failed).startswith("  failed: no such thing")
    long = ToolRan(turn=T, name="x", phase="ok", summary="y" * 199 + "…", duration_s=1.25)
    assert "over 199 characters, 1.2 s" in tool_line(long)


def test_a_stopped_answer_keeps_its_text_and_says_that_it_was_cut() -> None:
    marked = told(Grew(T, "Half"), end("Half\n\n(stopped here)", "\n\n(stopped here)", "cancelled"))
    assert marked[-1] == ("end", "Half\n\n(stopped here)")
    unmarked = told(Grew(T, "Half"), end("Half", "", "cancelled"))
    assert unmarked[-2:] == [("end", "Half"), ("note", "(stopped)")]


def test_a_failed_turn_is_told_in_four_lines() -> None:
    [_, error] = told(end("Sorry.", "Sorry.", "failed", "E-MODELS: no model answered (a: 401)"))
    assert error == (
        "error",
        f"error[E-MODELS]: Sorry.\nwhere: {T}\nwhy: no model answered (a: 401)\ntry: clawd trace {T}",
    )


def test_a_failure_without_a_reason_still_says_how_to_learn_more() -> None:
    [_, error] = told(end("", "", "dead"))
    assert error[1] == f"error[E-TURN]: the turn ended without an answer\nwhere: {T}\ntry: clawd trace {T}"


def test_a_queued_question_appears_when_its_turn_begins() -> None:
    recorder = Recorder()
    presenter = Presenter(recorder)
    presenter.handle(Grew(T, "first answer"))
    presenter.asked("t2", "second question")
    assert presenter.held == ["second question"]
    presenter.handle(end("first answer", ""))
    assert ("question", "second question") not in recorder.told
    presenter.handle(Began("t2"))
    assert recorder.told[-1] == ("question", "second question")
    assert presenter.held == []


def test_what_arrived_meanwhile_is_shown_as_question_and_answer() -> None:
    asked, said = (
        Said(turn="t9", role="user", text="q"),
        Said(turn="t9", role="assistant", text="a"),
    )
    assert told(asked, said) == [("question", "q"), ("aside", "a")]


def test_an_interruption_is_told() -> None:
    lines = told(HandedBack(T), Began(T, 2))
    assert lines[0][1].startswith("the daemon is stopping")
    assert "attempt 2" in lines[1][1]


def test_a_turn_that_a_full_disk_holds_is_told() -> None:
    line = "the journal can't be written (database or disk is full); this goes on when it can"
    assert told(Held(T, "database or disk is full")) == [("note", line)]


@pytest.mark.parametrize(("text", "line"), [("a\n  b", "a b"), ("x" * 9, "xxxx…")])
def test_a_line_is_one_line(text: str, line: str) -> None:
    assert one_line(text, 5) == line
