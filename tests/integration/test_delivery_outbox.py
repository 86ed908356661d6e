"""The outbox: order per address, retries, what may have arrived, and how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from clawd.bridge import BridgeConfig
from clawd.config.schema import DeliveryConfig
from clawd.errors import (
    BridgeAuthError,
    BridgeError,
    BridgeNotReady,
    DeliveryMoved,
    DeliveryParked,
    DeliveryRejected,
    DeliveryRetryLater,
    DeliveryUnauthorized,
    DeliveryUnknown,
)
from clawd.journal.items import Push, Pushed
from clawd.journal.reading import DeliveryView
from clawd.messages import Address, BridgeCapabilities, MessageId
from clawd.observability.redact import Redactor
from clawd.testing import ArrivedBut, ManualClock, RecordingBridge, ScriptedModel
from tests.fakes.inner import Inner

MARK = DeliveryConfig().repeat_mark
UNKNOWN = DeliveryUnknown("chat", "no answer in time")


async def push(inner: Inner, text: str, *, chat: str = "1", bridge: str = "chat") -> str:
    """Send something that no turn made; return its id."""
    address = Address(bridge=bridge, account="bot", chat=chat)
    (result,) = await inner.journal.accept([Push(id=MessageId(f"push:{text}"), address=address, text=text)])
    assert isinstance(result, Pushed)
    return result.delivery


async def look(inner: Inner, clock: ManualClock, seconds: float) -> None:
    """Let time pass and the outbox see it."""
    await clock.advance(seconds)
    inner.journal.outgoing.set()
    await inner.outbox.ping()


async def deliveries(inner: Inner, turn: str) -> list[DeliveryView]:
    """Return a turn's deliveries, in order."""
    return list((await inner.views.trace(turn)).deliveries)


async def sent(inner: Inner, count: int) -> None:
    """Return once so many sends were tried, and the last one's outcome is committed."""
    await inner.bridge.until(lambda: len(inner.bridge.sends) >= count)
    while inner.outbox._sending:
        await asyncio.wait(inner.outbox._sending)


async def test_deliveries_of_one_address_go_out_in_order_and_one_at_a_time(state_dir: Path) -> None:
    held = asyncio.Event()
    async with Inner(state_dir) as inner:
        inner.bridge.next_sends(held, chat="1")
        for n in range(3):
            await push(inner, f"1-{n}", chat="1")
        await push(inner, "2-0", chat="2")
        await inner.bridge.until(lambda: inner.bridge.texts("2") == ["2-0"])
        assert [m.text for m in inner.bridge.sends if m.address.chat == "1"] == ["1-0"]
        held.set()
        await inner.delivered("1-0", "1-1", "1-2", chat="1")


async def test_a_limit_delays_only_its_own_chat(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock) as inner:
        inner.bridge.next_sends(DeliveryRetryLater("chat", "429", retry_after_s=30), chat="1")
        await push(inner, "a", chat="1")
        await sent(inner, 1)
        await push(inner, "b", chat="1")
        await push(inner, "c", chat="2")
        await inner.bridge.until(lambda: inner.bridge.texts() == ["c"])
        await look(inner, clock, 29)
        assert inner.bridge.texts("1") == []
        await look(inner, clock, 1.1)
        await inner.delivered("a", "b", chat="1")
        assert [m.text for m in inner.bridge.sends].count("a") == 2


async def test_what_a_bridge_that_was_down_put_off_goes_out_once_it_is_connected_again(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock) as inner:
        inner.bridge.next_sends(DeliveryRetryLater("chat", "connection refused"), chat="1")
        inner.bridge.next_sends(UNKNOWN, chat="2")
        inner.bridge.next_sends(DeliveryRetryLater("chat", "429", retry_after_s=30), chat="3")
        for chat in "123":
            await push(inner, f"first {chat}", chat=chat)
        await sent(inner, 3)
        await push(inner, "a new reply", chat="1")
        await inner.outbox.ping()
        assert len(inner.bridge.sends) == 3
        inner.outbox.reconnected("another")
        await inner.outbox.ping()
        assert len(inner.bridge.sends) == 3
        inner.outbox.reconnected("chat")
        await sent(inner, 6)
        assert inner.bridge.texts("1") == ["first 1", "a new reply"]
        assert inner.bridge.texts("2") == [f"{MARK}\nfirst 2"]
        assert [m.text for m in inner.bridge.sends if m.address.chat == "3"] == [
            "first 3"
        ]  # its limit is its own


async def test_a_refused_connection_is_retried_by_a_growing_wait_and_never_marked(state_dir: Path) -> None:
    clock = ManualClock()
    bridge = RecordingBridge(
        "chat", capabilities=BridgeCapabilities(text_limit=1000, retry_schedule_s=(1, 5, 20))
    )
    bridge.next_sends(*[DeliveryRetryLater("chat", "connection refused") for _ in range(4)])
    async with Inner(state_dir, clock=clock, bridges=[bridge]) as inner:
        await push(inner, "a")
        for tries, wait_s in enumerate((1, 5, 20, 20), start=1):
            await sent(inner, tries)
            await look(inner, clock, wait_s - 0.2)
            assert len(bridge.sends) == tries
            await look(inner, clock, 0.3)
        await inner.delivered("a")


@pytest.mark.parametrize("unreachable", [True, False])
async def test_a_rejected_part_is_dead_and_the_parts_behind_it_die_with_it(
    state_dir: Path, unreachable: bool
) -> None:
    bridge = RecordingBridge("chat", capabilities=BridgeCapabilities(text_limit=512))
    model = ScriptedModel("word " * 250, "short")
    async with Inner(state_dir, bridges=[bridge], model=model) as inner:
        bridge.next_sends(DeliveryRejected("chat", "400", unreachable=unreachable))
        turn = await inner.say()
        await inner.ended(turn)
        await inner.settled()
        found = await deliveries(inner, turn)
        assert [d.state for d in found] == ["dead"] * len(found)
        assert len(found) >= 3
        assert len(bridge.sends) == 1
        assert {dead.id for dead in await inner.views.dead()} == {d.id for d in found}
        await inner.ask()
        await inner.delivered("short")


@pytest.mark.parametrize("error", [UNKNOWN, TimeoutError(), KeyError("a bug in the bridge")])
@pytest.mark.parametrize("arrived", [True, False])
async def test_what_may_have_arrived_is_sent_again_with_the_mark(
    state_dir: Path, error: Exception, arrived: bool
) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock) as inner:
        inner.bridge.next_sends(ArrivedBut(error) if arrived else error)
        await push(inner, "a")
        await sent(inner, 1)
        await look(inner, clock, 1.1)
        await inner.delivered(*(["a"] if arrived else []), f"{MARK}\na")
        assert [m.repeated for m in inner.bridge.sends] == [False, True]
        assert len({m.id for m in inner.bridge.sends}) == 1, "the platform may know the repeat by its id"


async def test_a_mark_stays_when_a_later_attempt_surely_fails(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock) as inner:
        inner.bridge.next_sends(UNKNOWN, DeliveryRetryLater("chat", "429", retry_after_s=5))
        await push(inner, "a")
        await sent(inner, 1)
        await look(inner, clock, 1.1)
        await sent(inner, 2)
        await look(inner, clock, 5.1)
        await inner.delivered(f"{MARK}\na")


async def test_a_platform_that_knows_repeats_by_id_gets_the_same_bytes(state_dir: Path) -> None:
    clock = ManualClock()
    bridge = RecordingBridge("chat", capabilities=BridgeCapabilities(text_limit=1000, marks_repeats=False))
    async with Inner(state_dir, clock=clock, bridges=[bridge]) as inner:
        bridge.next_sends(UNKNOWN)
        await push(inner, "a")
        await sent(inner, 1)
        await look(inner, clock, 1.1)
        await inner.delivered("a")
        assert bridge.sends[0].text == bridge.sends[1].text == "a"


async def test_a_bridge_that_holds_never_repeats_and_lists_it(state_dir: Path) -> None:
    sections = {"chat": BridgeConfig(type="recording", on_ambiguous="hold")}
    async with Inner(state_dir, sections=sections) as inner:
        inner.bridge.next_sends(UNKNOWN)
        held = await push(inner, "a")
        await push(inner, "b")
        await inner.bridge.until(lambda: inner.bridge.texts() == ["b"])
        assert [(dead.id, dead.state) for dead in await inner.views.dead()] == [(held, "unknown")]
        await inner.admin.resubmit(held)
        await inner.delivered("b", f"{MARK}\na")


@pytest.mark.parametrize("hold", [True, False])
async def test_what_was_on_the_wire_at_a_crash_is_marked_or_held(state_dir: Path, hold: bool) -> None:
    sections = {"chat": BridgeConfig(type="recording", on_ambiguous="hold" if hold else "resend")}
    async with Inner(state_dir, sections=sections) as inner:
        inner.bridge.next_sends(asyncio.Event())
        await push(inner, "a")
        await push(inner, "b")
        await inner.bridge.until(lambda: len(inner.bridge.sends) == 1)
        await inner.restart()
        await inner.delivered(*(["b"] if hold else [f"{MARK}\na", "b"]))


async def test_a_parked_delivery_waits_for_the_users_next_message_and_holds_later_ones(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    model = ScriptedModel("answer")
    async with Inner(state_dir, clock=clock, model=model) as inner:
        inner.bridge.next_sends(DeliveryParked("chat", "quota"))
        await push(inner, "a")
        await sent(inner, 1)
        await push(inner, "b")
        await look(inner, clock, 86_000)
        assert len(inner.bridge.sends) == 1
        await inner.ask()
        await inner.delivered("a", "b", "answer")


async def test_a_chat_that_moved_keeps_its_memory_and_gets_what_waits(state_dir: Path) -> None:
    model = ScriptedModel("one", "two")
    async with Inner(state_dir, model=model) as inner:
        inner.bridge.next_sends(DeliveryMoved("chat", "it is a supergroup now", chat="-100"))
        await inner.ask("a", chat="1")
        await inner.delivered("one", chat="-100")
        await inner.ask("b", chat="-100")
        await inner.delivered("one", "two", chat="-100")
        assert not inner.bridge.texts("1")
    assert len(model.requests[1].messages) == 4, "instructions, the first turn, the question"


async def test_a_delivery_that_is_too_old_is_given_up(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock, delivery=DeliveryConfig(max_age_s=60)) as inner:
        inner.bridge.next_sends(DeliveryRetryLater("chat", "429", retry_after_s=61))
        identifier = await push(inner, "a")
        await sent(inner, 1)
        await look(inner, clock, 61.1)
        await inner.settled()
        assert len(inner.bridge.sends) == 1
        (dead,) = await inner.views.dead()
        assert (dead.id, dead.why) == (identifier, "not delivered within 60 s")


async def test_nothing_is_sent_through_a_bridge_that_is_not_connected(state_dir: Path) -> None:
    clock = ManualClock()
    bridge = RecordingBridge("chat")
    bridge.next_runs(BridgeAuthError("chat", "token rejected"))
    async with Inner(state_dir, clock=clock, bridges=[bridge]) as inner:
        await clock.sleeping()
        await push(inner, "a")
        await inner.outbox.ping()
        assert not bridge.sends
        await clock.advance(5)
        await inner.delivered("a")


async def test_a_bridge_that_lost_its_connection_still_tries_to_send(state_dir: Path) -> None:
    clock = ManualClock()
    bridge = RecordingBridge("chat")
    bridge.next_runs(BridgeNotReady("chat", "polling fails"))
    async with Inner(state_dir, clock=clock, bridges=[bridge]) as inner:
        await clock.sleeping()
        await push(inner, "a")
        await inner.delivered("a")


async def test_credentials_refused_in_a_send_hold_everything_until_the_bridge_is_connected_again(
    state_dir: Path,
) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock) as inner:
        inner.bridge.next_sends(DeliveryUnauthorized("chat", "401"))
        inner.bridge.next_runs()
        await inner.bridge.until(lambda: inner.bridge.runs == 1)
        inner.bridge.next_runs(BridgeAuthError("chat", "token rejected"))
        await push(inner, "a")
        await sent(inner, 1)
        await clock.sleeping()
        assert [status.state for status in inner.supervisor.statuses()] == ["bad_credentials"]
        await push(inner, "b", chat="2")
        await look(inner, clock, 4)
        assert len(inner.bridge.sends) == 1
        await look(inner, clock, 1.5)
        await inner.bridge.until(lambda: sorted(inner.bridge.texts()) == ["a", "b"])
        assert all(not m.repeated for m in inner.bridge.sends), "surely not sent, so no mark"


async def test_what_is_ready_goes_out_at_a_stop_and_the_rest_after_the_next_start(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        held = asyncio.Event()
        inner.bridge.next_sends(held, chat="1")
        inner.bridge.next_sends(DeliveryRetryLater("chat", "429", retry_after_s=3600), chat="2")
        for chat in ("1", "2"):
            await push(inner, f"to {chat}", chat=chat)
        await inner.bridge.until(lambda: len(inner.bridge.sends) == 2)
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(inner.stop())
            await push(inner, "also ready", chat="3")
            held.set()
            await stopping
        assert sorted(inner.bridge.texts()) == ["also ready", "to 1"]
        await inner.start()
        stats = await inner.views.stats()
        assert stats.deliveries_open == 1


async def test_a_receipt_waits_for_a_journal_that_can_not_commit(state_dir: Path) -> None:
    clock = ManualClock()
    async with Inner(state_dir, clock=clock) as inner:
        held = asyncio.Event()
        inner.bridge.next_sends(held)
        await push(inner, "a")
        await inner.bridge.until(lambda: len(inner.bridge.sends) == 1)
        async with inner.locked():
            held.set()
            await clock.sleeping()
        await clock.advance(1.1)
        await inner.delivered("a")
        assert len(inner.bridge.sends) == 1, "what was sent is not sent again"


async def test_a_delivery_that_is_no_longer_ours_to_mark_takes_nobody_down(state_dir: Path) -> None:
    held = asyncio.Event()
    async with Inner(state_dir) as inner:
        inner.bridge.next_sends(held)
        await push(inner, "a")
        await inner.bridge.until(lambda: len(inner.bridge.sends) == 1)
        await inner.opened.store.write(lambda db: db.execute("UPDATE outbox SET owner = 'another'"))
        held.set()
        await push(inner, "b", chat="2")
        await inner.bridge.until(lambda: "b" in inner.bridge.texts())
        await inner.outbox.ping()


async def test_a_send_that_takes_too_long_may_have_arrived(state_dir: Path) -> None:
    delivery = DeliveryConfig(send_timeout_s=0.05)
    bridge = RecordingBridge(
        "chat", capabilities=BridgeCapabilities(text_limit=1000, retry_schedule_s=(0.01,))
    )
    async with Inner(state_dir, delivery=delivery, bridges=[bridge]) as inner:
        bridge.next_sends(asyncio.Event())
        await push(inner, "a")
        await inner.delivered(f"{MARK}\na")


async def test_many_chats_are_served_at_once_and_no_more_than_allowed(state_dir: Path) -> None:
    delivery = DeliveryConfig(concurrency=4)
    held = asyncio.Event()
    async with Inner(state_dir, delivery=delivery) as inner:
        inner.bridge.next_sends(*[held] * 10)
        for n in range(10):
            await push(inner, f"{n}", chat=str(n))
        await inner.bridge.until(lambda: len(inner.bridge.sends) == 4)
        await inner.outbox.ping()
        assert len(inner.bridge.sends) == 4
        held.set()
        await inner.bridge.until(lambda: len(inner.bridge.texts()) == 10)


async def test_a_bridge_that_is_taken_out_of_the_configuration_keeps_what_waits(state_dir: Path) -> None:
    async with Inner(state_dir) as inner:
        inner.sections = {"chat": BridgeConfig(type="recording", enabled=False)}
        inner.configure()
        async with asyncio.timeout(30):
            while inner.supervisor.bridges():
                await asyncio.sleep(0)
        await push(inner, "a")
        await inner.outbox.ping()
        assert not inner.bridge.sends
        inner.sections = {"chat": BridgeConfig(type="recording")}
        inner.configure()
        await inner.delivered("a")


async def test_a_damaged_delivery_holds_up_none_behind_it(state_dir: Path) -> None:
    bridge = RecordingBridge("chat")
    async with Inner(state_dir, bridges=[bridge]) as inner:
        inner.sections = {}
        inner.configure()
        async with asyncio.timeout(30):
            while inner.supervisor.bridges():
                await asyncio.sleep(0)
        damaged = await push(inner, "a")
        await push(inner, "b")
        await inner.opened.store.write(lambda db: db.execute("UPDATE outbox SET body = '{' WHERE id = 1"))
        inner.sections = {"chat": BridgeConfig(type="recording")}
        inner.configure()
        await inner.delivered("b")
        assert [dead.id for dead in await inner.views.dead()] == [damaged]


@pytest.mark.parametrize(
    "error",
    [
        DeliveryRejected("chat", "refused", why="HTTP 400: Cannot POST /hooks/recognisable"),
        DeliveryRetryLater("chat", "not taken", why="HTTP 404: Cannot POST /hooks/recognisable"),
        DeliveryUnknown("chat", "failed", why="HTTP 500: Cannot POST /hooks/recognisable"),
        DeliveryParked("chat", "quota", why="Cannot POST /hooks/recognisable"),
        DeliveryUnauthorized("chat", "401", why="Cannot POST /hooks/recognisable"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_receiver_quotes_of_a_call_is_not_kept(
    error: BridgeError, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Inner(state_dir, clock=ManualClock()) as inner:
        inner.outbox._clean = Redactor(["recognisable"]).clean
        inner.bridge.next_sends(error)
        delivery = await push(inner, "a")
        await sent(inner, 1)
        (view,) = (await inner.views.trace(delivery)).deliveries
        assert "Cannot POST /hooks/***" in view.why
    assert "recognisable" not in caplog.text
