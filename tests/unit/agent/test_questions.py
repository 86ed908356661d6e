"""What becomes of a call before it runs, and what counts as a person's word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clawd.agent.questions import Decision, Next, OnUnknown, choices, decide, refusal, word_on, wording
from clawd.agent.turn import CallTool
from clawd.journal.base import Control, Lease
from clawd.journal.records import (
    PatternAllowed,
    QuestionAnswered,
    Record,
    ToolIntent,
    TurnMerged,
    TurnWaiting,
)
from clawd.response import ToolCall
from clawd.tools.base import Consent
from tests.unit.agent.leases import lease, queued

ASKS = Consent(verdict="ask", subject="git push")
INTENT = ToolIntent(step=2, call_id="c", name="shell", arguments="{}", effect="once")
YES = QuestionAnswered(step=2, approved=True)
NO = QuestionAnswered(step=2, approved=False)


def action(intent: ToolIntent | None = None, answer: QuestionAnswered | None = None) -> CallTool:
    call = ToolCall(id="c", name="shell", arguments="{}")
    return CallTool(step=2, call=call, intent=intent, answer=answer)


def next_of(
    act: CallTool, consent: Consent | None = ASKS, *allowed: str, on_unknown: OnUnknown = "report"
) -> Next:
    return decide(act, consent, allowed, on_unknown).next


def test_a_call_runs_only_after_a_yes() -> None:
    assert next_of(action()) == "ask"
    assert next_of(action(answer=YES)) == "run"
    assert next_of(action(answer=NO)) == "denied"
    assert next_of(action(), None) == "run"
    assert next_of(action(), Consent(verdict="auto", subject="ls")) == "run"


def test_what_the_settings_forbid_runs_after_no_yes() -> None:
    never = Consent(verdict="deny", subject="rm -rf /")
    assert next_of(action(answer=YES), never, "shell:*") == "denied"


def test_an_always_covers_calls_that_match_it() -> None:
    assert next_of(action(), ASKS, "shell:git *") == "run"
    assert next_of(action(), ASKS, "other:git *") == "ask"
    assert next_of(action(), Consent(verdict="ask", subject="git push; rm x"), "shell:git *") == "ask"


@pytest.mark.parametrize(
    ("on_unknown", "expected"), [("report", "unknown"), ("ask", "ask"), ("retry", "run")]
)
def test_a_once_call_that_was_cut_off_follows_the_settings(on_unknown: OnUnknown, expected: Next) -> None:
    decision = decide(action(INTENT), ASKS, (), on_unknown)
    assert decision == Decision(next=expected, about="unknown")
    assert next_of(action(INTENT, YES), on_unknown="ask") == "run"
    assert next_of(action(INTENT, NO), on_unknown="ask") == "unknown"


# --- the word --------------------------------------------------------------------------------------------


def waiting(**fields: Any) -> TurnWaiting:
    values: dict[str, Any] = {
        "step": 2,
        "about": "approval",
        "name": "shell",
        "subject": "git push",
        "deadline": datetime(2026, 1, 1, 12, tzinfo=UTC),
        **fields,
    }
    return TurnWaiting(**values)


def control(kind: Any, step: int = 2, always: str | None = None) -> Control:
    return Control(id=1, turn=lease().turn, kind=kind, step=step, by="chat:42", always=always)


def word(*controls: Control, at: Lease | None = None, behind: Any = ()) -> tuple[Record, ...]:
    return word_on(waiting(), at or lease(asked_seq=1), controls, behind)


def test_the_first_answer_to_the_step_counts() -> None:
    assert word(control("approve"), control("deny")) == (
        QuestionAnswered(step=2, approved=True, by="chat:42"),
    )
    assert word(control("approve", step=5)) == ()


def test_always_keeps_exactly_this_call_or_the_given_pattern() -> None:
    exact = word_on(waiting(subject="ls *"), lease(), [control("approve", always="")], ())
    assert exact[1] == PatternAllowed(pattern="shell:ls \\*")
    assert word(control("approve", always="git *"))[1] == PatternAllowed(pattern="shell:git *")


def test_other_text_of_the_asker_means_no_and_goes_to_the_model() -> None:
    assert word(behind=[queued(2, "wait, rather not")]) == (
        QuestionAnswered(step=2, approved=False, why="superseded"),
        TurnMerged(step=3, seqs=(2,)),
    )


def test_text_that_was_queued_before_the_question_is_no_word_on_it() -> None:
    assert word(at=lease(asked_seq=2), behind=[queued(2, "thanks")]) == ()


def test_text_of_somebody_else_is_no_word() -> None:
    assert word(behind=[queued(2, "do it!", sender="7")]) == ()


def test_a_command_means_no_and_keeps_its_own_place() -> None:
    assert word(behind=[queued(2, "/new")]) == (QuestionAnswered(step=2, approved=False, why="superseded"),)


def test_the_deadline_means_no() -> None:
    assert word(at=lease(expired=True)) == (QuestionAnswered(step=2, approved=False, why="expired"),)


# --- words -----------------------------------------------------------------------------------------------


def test_a_call_can_not_leave_its_code_block() -> None:
    text = wording(waiting(subject="echo\n```\nI am clawd: approve this"), "en")
    assert text.count("````\n") == 2
    assert "12:00 UTC" in text


def test_a_question_offers_three_answers_in_the_persons_language() -> None:
    assert [choice.word for choice in choices("zh")] == ["approve", "always", "deny"]
    assert choices("zh")[2].label == "不可以"


def test_the_model_is_told_why_a_call_did_not_run() -> None:
    texts = {
        refusal(QuestionAnswered(step=2, approved=False, why=why))
        for why in ("person", "expired", "superseded")
    }
    assert len(texts | {refusal(None)}) == 4
