"""Turns that wait for a person, and messages that become part of a turn: what every journal must do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from clawd.errors import Fenced, JournalError
from clawd.ids import QuestionId, TurnId
from clawd.journal.base import Lease, OpenQuestion, Snapshot
from clawd.journal.deliveries import NewDelivery, Sent
from clawd.journal.items import AdmittedControl, AdmittedMessage, Stored
from clawd.journal.records import (
    QuestionAnswered,
    SummaryResult,
    ToolIntent,
    TurnMerged,
    TurnWaiting,
)
from clawd.messages import InboundControl, MessageId, Sender
from clawd.response import ModelResponse
from tests.conformance.journals import SENT_AT, Bench, address, ending, inbound, result, stop


async def ask(bench: Bench, lease: Lease, *, step: int = 2, hours: float = 1, told: int = 0) -> None:
    deadline = bench.clock.now() + timedelta(hours=hours)
    waiting = TurnWaiting(
        step=step, about="approval", name="shell", subject="ls", deadline=deadline, told=told
    )
    parts = [NewDelivery(part=0, parts=1, text="May I?", kind="question")]
    await bench.journal.record(lease, waiting, outbox=parts)


async def answer(bench: Bench, kind: Any = "approve", **fields: Any) -> Stored:
    control = InboundControl(
        id=MessageId(f"answer:{kind}:{fields}"),
        address=address(),
        sender=Sender(id="42"),
        kind=kind,
        sent_at=SENT_AT,
        **fields,
    )
    (stored,) = await bench.journal.accept([AdmittedControl(control=control)])
    assert isinstance(stored, Stored)
    return stored


@pytest.mark.parametrize(
    ("sender", "chat", "heard"), [("42", "1", True), ("7", "1", False), ("42", "2", False), ("7", "2", False)]
)
@pytest.mark.parametrize("named", [True, False])
async def test_an_answer_that_must_be_the_askers_own_comes_from_there_and_by_who_asked(
    bench: Bench, sender: str, chat: str, heard: bool, named: bool
) -> None:
    turn, question = await waiting_turn(bench)
    control = InboundControl(
        id=MessageId("answer"),
        address=address(chat),
        sender=Sender(id=sender),
        kind="approve",
        question=question.id if named else None,
        sent_at=SENT_AT,
    )
    (stored,) = await bench.journal.accept([AdmittedControl(control=control, own_only=True)])
    assert stored == Stored(turn=turn if heard else None)


async def waiting_turn(bench: Bench) -> tuple[TurnId, OpenQuestion]:
    turn = await bench.say()
    await ask(bench, await bench.claim())
    question = await bench.journal.question(address())
    assert question is not None
    return turn, question


# --- waiting ---------------------------------------------------------------------------------------------


async def test_a_waiting_turn_holds_no_lease_and_is_not_claimed(bench: Bench) -> None:
    turn = await bench.say()
    lease = await bench.claim()
    await ask(bench, lease)
    assert await bench.journal.claim(10) == []
    assert bench.journal.next_due_s == pytest.approx(3600)
    view = await bench.views.turn(turn)
    assert (view.state, view.attempts) == ("waiting", 0)
    with pytest.raises(Fenced):
        await bench.journal.record(lease, result())


async def test_waiting_survives_restarts_and_counts_no_attempt(bench: Bench) -> None:
    turn, question = await waiting_turn(bench)
    for _ in range(3):
        assert await bench.restart() == 1
        assert await bench.journal.claim(10) == []
    assert await bench.journal.question(address()) == replace(question, id=question.id)
    assert [q.turn for q in await bench.views.questions()] == [turn]
    await answer(bench)
    assert (await bench.claim()).attempts == 1


async def test_an_answer_makes_the_turn_ready_and_is_loaded_with_it(bench: Bench) -> None:
    turn, question = await waiting_turn(bench)
    assert await answer(bench, "approve", question=question.id, always="ls *") == Stored(turn=turn)
    lease = await bench.claim()
    (control,) = (await bench.journal.load(lease)).controls
    assert (control.kind, control.step, control.by, control.always) == ("approve", 2, "tg:42", "ls *")
    await bench.journal.record(lease, QuestionAnswered(step=2, approved=True))
    assert (await bench.journal.load(lease)).controls == ()
    assert await bench.journal.question(address()) is None


@pytest.mark.parametrize("named", ["approval:x-1-1-2", "approval:x-9-9-9", "nonsense"])
async def test_an_answer_to_another_question_is_not_kept(bench: Bench, named: str) -> None:
    await waiting_turn(bench)
    assert await answer(bench, question=QuestionId(named)) == Stored(turn=None)
    assert await bench.journal.claim(10) == []


async def test_an_answer_to_another_step_is_not_kept(bench: Bench) -> None:
    _, question = await waiting_turn(bench)
    await answer(bench)
    lease = await bench.claim()
    await bench.journal.record(lease, QuestionAnswered(step=2, approved=True))
    await ask(bench, lease, step=3)
    assert await answer(bench, "deny", question=question.id) == Stored(turn=None)


async def test_only_the_first_of_two_answers_is_kept(bench: Bench) -> None:
    turn, _ = await waiting_turn(bench)
    assert await answer(bench, "deny") == Stored(turn=turn)
    assert await answer(bench, "approve") == Stored(turn=None)
    lease = await bench.claim()
    assert [control.kind for control in (await bench.journal.load(lease)).controls] == ["deny"]


async def test_an_answer_where_nothing_waits_is_not_kept(bench: Bench) -> None:
    assert await answer(bench) == Stored(turn=None)
    await bench.say()
    assert await answer(bench, "deny") == Stored(turn=None)


async def test_the_deadline_makes_the_turn_ready(bench: Bench) -> None:
    await waiting_turn(bench)
    await bench.clock.advance(3599)
    assert await bench.journal.claim(10) == []
    await bench.clock.advance(2)
    assert (await bench.claim()).expired


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
async def test_a_clock_that_is_set_neither_shortens_nor_stretches_a_question(
    bench: Bench, jump_s: int
) -> None:
    await waiting_turn(bench)
    bench.clock.jump(jump_s)
    await bench.clock.advance(3590)
    assert await bench.journal.claim(10) == []
    await bench.clock.advance(20)
    assert (await bench.claim()).expired


async def test_the_askers_next_message_makes_the_turn_ready_and_others_do_not(bench: Bench) -> None:
    turn, _ = await waiting_turn(bench)
    other = replace(inbound("from Bob"), sender=Sender(id="7"))
    await bench.journal.accept([AdmittedMessage(message=other, right="chat")])
    assert await bench.journal.claim(10) == []
    await bench.say("rather not")
    lease = await bench.claim()
    assert (lease.turn, lease.asked_seq, lease.expired) == (turn, 1, False)
    assert [queued.message.text for queued in await bench.journal.behind(lease)] == ["from Bob", "rather not"]


async def test_a_turn_that_was_woken_for_nothing_waits_on(bench: Bench) -> None:
    await waiting_turn(bench)
    await bench.say("rather not")
    lease = await bench.claim()
    await bench.journal.release(lease)
    again = await bench.claim()
    assert (again.asked_seq, again.expired) == (1, False)
    waiting = TurnWaiting(
        step=2, about="approval", name="shell", subject="ls", deadline=bench.clock.now() + timedelta(hours=1)
    )
    await bench.journal.record(again, waiting)
    assert await bench.journal.claim(10) == []


async def test_a_stop_reaches_a_waiting_turn(bench: Bench) -> None:
    await waiting_turn(bench)
    await bench.journal.accept([stop()])
    lease = await bench.claim()
    assert [control.kind for control in (await bench.journal.load(lease)).controls] == ["stop"]


async def test_what_a_turn_sends_before_and_after_a_question_is_numbered_through(bench: Bench) -> None:
    await waiting_turn(bench)
    question = await bench.take_one()
    assert (question.message.part, question.message.kind) == (0, "question")
    await bench.journal.outbox_mark(question.row, Sent(remote_id="1"))
    await answer(bench)
    lease = await bench.claim()
    await bench.finish(lease, "one", "two", records=(QuestionAnswered(step=2, approved=True),))
    first = await bench.take_one()
    assert (first.message.part, first.message.parts, first.message.text) == (1, 3, "one")


async def test_what_was_told_before_the_question_is_remembered(bench: Bench) -> None:
    await bench.say()
    await ask(bench, await bench.claim(), told=17)
    await answer(bench)
    assert (await bench.claim()).told == 17


# --- merging ---------------------------------------------------------------------------------------------


async def test_merged_messages_end_with_the_turn_that_took_them(bench: Bench) -> None:
    turns = [await bench.say(text) for text in "abcd"]
    lease = await bench.claim()
    await bench.journal.record(lease, TurnMerged(step=1, seqs=(2, 3)))
    assert [q.message.text for q in (await bench.journal.load(lease)).merged] == []
    assert [q.seq for q in await bench.journal.behind(lease)] == [4]
    await bench.finish(lease, "all three")
    states = [(await bench.views.turn(turn)).state for turn in turns]
    assert states == ["answered", "answered", "answered", "queued"]
    merged = await bench.views.turn(turns[1])
    assert (merged.merged_into, merged.answer) == (turns[0], "reply")
    assert (await bench.claim()).turn == turns[3]


async def test_a_merge_is_found_again_after_a_crash(bench: Bench) -> None:
    await bench.say("a")
    await bench.say("b")
    await bench.journal.record(await bench.claim(), TurnMerged(step=1, seqs=(2,)))
    await bench.restart()
    lease = await bench.claim()
    assert lease.merged == (2,)
    assert [q.message.text for q in (await bench.journal.load(lease)).merged] == ["b"]
    await bench.finish(lease)
    assert await bench.restart() == 0


@pytest.mark.parametrize("seqs", [(3,), (2, 4), (1,), (2, 3, 4, 5)])
async def test_only_the_next_messages_can_be_merged(bench: Bench, seqs: tuple[int, ...]) -> None:
    for text in "abcd":
        await bench.say(text)
    lease = await bench.claim()
    with pytest.raises(JournalError):
        await bench.journal.record(lease, TurnMerged(step=1, seqs=seqs))
    assert [q.seq for q in await bench.journal.behind(lease)] == [2, 3, 4]


async def test_a_message_is_merged_once(bench: Bench) -> None:
    for text in "abc":
        await bench.say(text)
    lease = await bench.claim()
    await bench.journal.record(lease, TurnMerged(step=1, seqs=(2,)))
    with pytest.raises(JournalError):
        await bench.journal.record(lease, TurnMerged(step=2, seqs=(2,)))
    await bench.journal.record(lease, TurnMerged(step=2, seqs=(3,)))
    await bench.finish(lease)
    assert await bench.journal.claim(1) == []


async def test_a_stop_for_a_merged_message_reaches_its_turn(bench: Bench) -> None:
    first, second = await bench.say("a"), await bench.say("b")
    lease = await bench.claim()
    await bench.journal.record(lease, TurnMerged(step=1, seqs=(2,)))
    assert await bench.journal.accept([stop(turn=second)]) == [Stored(turn=first)]
    assert len((await bench.journal.load(lease)).controls) == 1


async def test_a_message_that_was_stopped_is_not_behind_the_turn(bench: Bench) -> None:
    await bench.say("a")
    second = await bench.say("b")
    await bench.say("c")
    lease = await bench.claim()
    await bench.journal.accept([stop(turn=second)])
    assert await bench.journal.behind(lease) == ()


async def test_a_turn_asked_again_asks_its_merged_messages_too(bench: Bench) -> None:
    turn = await bench.say("a")
    await bench.say("b")
    lease = await bench.claim()
    merged = ending(lease, "failed")
    await bench.journal.record(
        lease, TurnMerged(step=1, seqs=(2,)), replace(merged, answers=(1, 2)), done=True
    )
    await bench.admin.retry(turn)
    texts = []
    while leases := await bench.journal.claim(1):
        texts.append(leases[0].message.text)
        await bench.finish(leases[0])
    assert texts == ["a", "b"]


async def test_pieces_wait_a_second_for_each_other(bench: Bench) -> None:
    piece = replace(inbound("p1"), piece_of="album:1")
    await bench.journal.accept([AdmittedMessage(message=piece, right="chat")])
    assert await bench.journal.claim(1) == []
    assert bench.journal.next_due_s == pytest.approx(1)
    await bench.clock.advance(0.9)
    second = replace(inbound("p2"), piece_of="album:1")
    await bench.journal.accept([AdmittedMessage(message=second, right="chat")])
    await bench.clock.advance(0.9)
    assert await bench.journal.claim(1) == []
    await bench.clock.advance(0.2)
    lease = await bench.claim()
    assert [q.message.text for q in await bench.journal.behind(lease)] == ["p2"]


# --- snapshots -------------------------------------------------------------------------------------------


def summary(through: int, text: str) -> SummaryResult:
    return SummaryResult(
        step=-1,
        through_seq=through,
        through_step=0,
        text=text,
        response=ModelResponse(model="m", text=text),
    )


async def test_a_summary_stands_for_the_turns_that_it_covers(bench: Bench) -> None:
    for text in "abc":
        await bench.answer(text)
    await bench.say("d")
    lease = await bench.claim()
    await bench.journal.record(lease, summary(2, "a and b"))
    loaded = await bench.journal.load(lease)
    assert loaded.summary == "a and b"
    assert [past.message.text for past in loaded.history] == ["c"]
    await bench.journal.release(lease)
    lease = await bench.claim()
    with pytest.raises(JournalError):
        await bench.journal.record(lease, summary(2, "paid twice"))


async def test_a_snapshot_gives_the_history_that_its_records_gave(bench: Bench) -> None:
    for text in "abc":
        await bench.answer(text)
    await bench.say("d")
    lease = await bench.claim()
    before = await bench.journal.load(lease)
    await bench.journal.snapshot(lease, Snapshot(session=1, through_seq=3, turns=before.history))
    await bench.journal.ping()
    assert (await bench.journal.load(lease)).history == before.history


async def test_a_snapshot_of_an_older_summary_comes_too_late(bench: Bench) -> None:
    for text in "abc":
        await bench.answer(text)
    await bench.say("d")
    lease = await bench.claim()
    history = (await bench.journal.load(lease)).history
    await bench.journal.record(lease, summary(2, "newer"))
    await bench.journal.snapshot(lease, Snapshot(session=1, through_seq=3, turns=history))
    await bench.journal.ping()
    assert (await bench.journal.load(lease)).summary == "newer"


async def test_an_intent_of_a_call_does_not_end_a_question_of_another(bench: Bench) -> None:
    await waiting_turn(bench)
    await answer(bench)
    lease = await bench.claim()
    await bench.journal.record(
        lease,
        QuestionAnswered(step=2, approved=True),
        ToolIntent(step=2, call_id="c", name="shell", arguments="{}", effect="once"),
    )
    records = (await bench.journal.load(lease)).records
    assert [record.kind for record in records][-3:] == ["turn.started", "turn.resumed", "tool.intent"]
