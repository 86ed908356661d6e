"""Turns that wait for the network: what every journal must do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from clawd.errors import Fenced
from clawd.journal.base import SUSPECT_ATTEMPTS, Lease
from clawd.journal.items import AdmittedMessage
from clawd.journal.records import TurnOffline, TurnWaiting
from clawd.messages import Sender
from clawd.response import ModelAttempt
from tests.conformance.journals import Bench, inbound, result, stop


async def go_offline(bench: Bench, lease: Lease, *, hours: float = 1, seen: int | None = None) -> None:
    now, last = bench.clock.now(), lease.seq + lease.waiting
    cost = ModelAttempt(model="m", outcome="error", duration_s=0.1, detail="no connection")
    until = now + timedelta(hours=hours)
    waiting = TurnOffline(
        since=now, until=until, error="E", attempts=(cost,), seen=last if seen is None else seen
    )
    await bench.journal.record(lease, waiting)


async def test_a_turn_that_waits_for_the_network_is_queued_and_nobodys(bench: Bench) -> None:
    turn = await bench.say()
    lease = await bench.claim()
    await go_offline(bench, lease)
    view = await bench.views.turn(turn)
    assert (view.state, view.waits_for, view.attempts) == ("queued", "network", 0)
    stats = await bench.views.stats()
    assert (stats.offline, stats.queued, stats.running, stats.waiting) == (1, 1, 0, 0)
    assert await bench.journal.claim(1) == []
    assert bench.journal.next_due_s == pytest.approx(3600)
    with pytest.raises(Fenced):
        await bench.journal.record(lease, result())


async def test_those_that_wait_longest_are_woken_first(bench: Bench) -> None:
    await bench.answer(chat="3")
    for chat in ("1", "2", "3"):
        await bench.say(chat=chat)
        await go_offline(bench, await bench.claim())
        await bench.clock.advance(1)
    assert await bench.journal.wake_offline(1) == 1
    assert [lease.address.chat for lease in await bench.journal.claim(9)] == ["1"]
    assert await bench.journal.wake_offline(None) == 2
    assert [lease.address.chat for lease in await bench.journal.claim(9)] == ["2", "3"]
    assert await bench.journal.wake_offline(None) == 0


async def test_who_waited_for_the_network_did_not_wait_for_a_worker(bench: Bench) -> None:
    for chat in ("1", "2"):
        await bench.say(chat=chat)
        await go_offline(bench, await bench.claim())
    await bench.clock.advance(1800)
    await bench.journal.wake_offline(None)
    assert (await bench.views.stats()).ready_age_s < 1
    await bench.clock.advance(5)
    assert (await bench.views.stats()).ready_age_s == pytest.approx(5, abs=1)


async def test_the_end_of_its_waiting_is_told_with_the_lease_and_forgotten_with_a_result(
    bench: Bench,
) -> None:
    turn = await bench.say()
    await go_offline(bench, await bench.claim())
    await bench.clock.advance(3601)
    lease = await bench.claim()
    assert lease.expired
    await bench.journal.record(lease, result())
    await bench.journal.release(lease)
    assert (await bench.views.turn(turn)).waits_for is None
    assert (await bench.views.stats()).offline == 0
    assert not (await bench.claim()).expired


async def test_a_stop_wakes_it(bench: Bench) -> None:
    turn = await bench.say()
    await go_offline(bench, await bench.claim())
    await bench.journal.accept([stop(turn=turn)])
    lease = await bench.claim()
    assert [control.kind for control in (await bench.journal.load(lease)).controls] == ["stop"]


async def test_a_start_wakes_all_in_the_order_of_their_messages(bench: Bench) -> None:
    await bench.answer(chat="2")
    for chat in ("1", "2"):
        await bench.say(chat=chat)
        await go_offline(bench, await bench.claim())
        await bench.clock.advance(1)
    assert await bench.restart() == 2
    assert [lease.address.chat for lease in await bench.journal.claim(9)] == ["1", "2"]
    assert bench.journal.next_due_s is None


async def test_the_wait_moves_with_a_clock_that_is_set(bench: Bench) -> None:
    await bench.say()
    await go_offline(bench, await bench.claim())
    bench.clock.jump(86_400)
    await bench.push(chat="9")
    assert await bench.journal.claim(1) == []
    assert bench.journal.next_due_s == pytest.approx(3600, abs=1)
    await bench.journal.wake_offline(None)
    assert not (await bench.claim()).expired


async def test_a_clock_that_is_set_ends_no_wait_that_is_taken_up_again(bench: Bench) -> None:
    await bench.say()
    first = bench.clock.now()
    await go_offline(bench, await bench.claim())
    bench.clock.jump(86_400)  # such as when a box without a clock of its own has heard the time
    await bench.push(chat="9")
    await bench.journal.wake_offline(None)
    again = TurnOffline(since=first, until=first + timedelta(hours=1), error="E", seen=1)
    await bench.journal.record(await bench.claim(), again)
    assert await bench.journal.claim(1) == []
    assert bench.journal.next_due_s == pytest.approx(3600, abs=1)


async def test_a_clock_that_was_set_before_a_start_ends_no_wait(bench: Bench) -> None:
    await bench.say()
    await go_offline(bench, await bench.claim())
    bench.clock.jump(86_400)
    await bench.restart()
    assert not (await bench.claim()).expired


async def test_a_stop_that_comes_while_its_wait_is_written_is_not_left_waiting(bench: Bench) -> None:
    turn = await bench.say()
    lease = await bench.claim()
    await bench.journal.accept([stop(turn=turn)])
    await go_offline(bench, lease)
    lease = await bench.claim()
    assert [control.kind for control in (await bench.journal.load(lease)).controls] == ["stop"]


async def test_a_stop_that_comes_while_a_question_is_written_is_not_left_waiting(bench: Bench) -> None:
    turn = await bench.say()
    lease = await bench.claim()
    await bench.journal.accept([stop(turn=turn)])
    deadline = bench.clock.now() + timedelta(hours=1)
    asks = TurnWaiting(step=2, about="approval", name="act", subject="", deadline=deadline)
    await bench.journal.record(lease, asks)
    lease = await bench.claim()
    assert [control.kind for control in (await bench.journal.load(lease)).controls] == ["stop"]


async def test_only_those_of_some_conversations_are_woken(bench: Bench) -> None:
    convs = []
    for chat in ("1", "2"):
        await bench.say(chat=chat)
        lease = await bench.claim()
        convs.append(lease.conv)
        await go_offline(bench, lease)
    assert await bench.journal.wake_offline(1, [convs[1]]) == 1
    assert [lease.address.chat for lease in await bench.journal.claim(9)] == ["2"]
    assert await bench.journal.wake_offline(1, []) == 0


async def test_a_turn_that_broke_the_process_before_it_waited_still_runs_alone(bench: Bench) -> None:
    for chat in ("1", "2"):
        await bench.say(chat=chat)
    while (leases := await bench.journal.claim(9)) and leases[0].attempts < SUSPECT_ATTEMPTS:
        await bench.restart()
    await go_offline(bench, leases[0])
    assert bench.journal.next_due_s is None, "asked before"
    await go_offline(bench, await bench.claim(), hours=0.5)
    assert await bench.journal.claim(9) == []
    assert bench.journal.next_due_s == pytest.approx(1800)
    assert await bench.journal.wake_offline(None) == 2
    assert len(await bench.journal.claim(9)) == 1, "others are spared"


async def choose(bench: Bench, chat: str = "1") -> None:
    chosen = AdmittedMessage(message=inbound("/model other", chat=chat), right="chat", chooses=True)
    await bench.journal.accept([chosen])


async def test_another_model_that_is_chosen_behind_it_wakes_a_turn_that_waits_for_the_network(
    bench: Bench,
) -> None:
    turn = await bench.say()
    await go_offline(bench, await bench.claim())
    await bench.say("and another thing")
    assert await bench.journal.claim(9) == []
    await choose(bench)
    (lease,) = await bench.journal.claim(9)
    assert (lease.turn, lease.waiting) == (turn, 2)


async def test_a_choice_wakes_no_turn_that_waits_for_a_person(bench: Bench) -> None:
    await bench.say()
    deadline = bench.clock.now() + timedelta(hours=1)
    asks = TurnWaiting(step=2, about="approval", name="act", subject="", deadline=deadline)
    await bench.journal.record(await bench.claim(), asks)
    chosen = AdmittedMessage(message=replace(inbound(), sender=Sender(id="7")), right="chat", chooses=True)
    await bench.journal.accept([chosen])
    assert await bench.journal.claim(9) == []


async def test_a_message_that_comes_while_its_wait_is_written_is_looked_at_once(bench: Bench) -> None:
    await bench.say()
    lease = await bench.claim()
    await choose(bench)  # the turn is in work: nobody is there to be woken
    await go_offline(bench, lease)
    await go_offline(bench, await bench.claim())
    assert await bench.journal.claim(9) == []
