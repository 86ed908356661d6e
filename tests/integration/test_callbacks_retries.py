"""When a call is made again, and what ends that."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from clawd.config.schema import DeliveryConfig
from clawd.testing import ManualClock, ScriptedModel
from clawd.webhooks.sending import RETRY_SCHEDULE_S
from tests.fakes.callbacks import gateway, look, say, state
from tests.fakes.inner import Inner
from tests.fakes.loop_clock import jump
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver
from tests.fakes.webhook_sender import ROTATED


async def test_the_whole_schedule_is_kept_over_restarts_with_one_id_and_equal_bytes(state_dir: Path) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(*[Fault(status=500)] * 10)
        inner = Inner(
            state_dir,
            model=ScriptedModel("a"),
            clock=clock,
            gateway=gateway(receiver),
            delivery=DeliveryConfig(max_age_s=7 * 86_400),
            chance=lambda: 0.5,  # no jitter
        )
        async with inner:
            turn = await say(inner, receiver.url)
            for tries, wait_s in enumerate(RETRY_SCHEDULE_S, start=1):
                await state(inner, turn, "pending", tries)
                if tries == 5:
                    await inner.restart()
                await look(inner, clock, wait_s - 1)
                assert len(receiver.calls) == tries, wait_s
                await look(inner, clock, 1)
            await state(inner, turn, "sent", 11)
        assert len({(call.id, call.body) for call in receiver.calls}) == 1
        assert len({call.headers["webhook-timestamp"] for call in receiver.calls}) == 11


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.8), (1.0, 1.2)])
async def test_the_schedule_is_stretched_and_cut_by_chance(
    state_dir: Path, chance: float, factor: float
) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=500))
        async with Inner(
            state_dir,
            model=ScriptedModel("a"),
            clock=clock,
            gateway=gateway(receiver),
            chance=lambda: chance,
        ) as inner:
            turn = await say(inner, receiver.url)
            await state(inner, turn, "pending", 1)
            await look(inner, clock, 5 * factor - 0.1)
            assert len(receiver.calls) == 1
            await look(inner, clock, 0.2)
            await state(inner, turn, "sent")


async def test_what_is_too_old_is_given_up_at_that_moment(state_dir: Path) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(*[Fault(status=503)] * 20)
        async with Inner(
            state_dir,
            model=ScriptedModel("a"),
            clock=clock,
            gateway=gateway(receiver),
            delivery=DeliveryConfig(max_age_s=100),
            chance=lambda: 0.5,
        ) as inner:
            turn = await say(inner, receiver.url)
            await state(inner, turn, "pending", 1)
            await look(inner, clock, 5)
            await state(inner, turn, "pending", 2)
            await look(inner, clock, 30)
            await state(inner, turn, "pending", 3)
            await look(inner, clock, 66)
            delivery = await state(inner, turn, "dead")
            assert "100 s" in delivery.why
            assert [event.id for event in inner.hear] == [delivery.id]
            assert len(receiver.calls) == 3


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": format_datetime(ManualClock().now() + timedelta(seconds=90), usegmt=True)}, 90),
        ({"Retry-After": "-5"}, 5),
        ({"Retry-After": "soon"}, 5),
        ({"Retry-After": "99999999999999"}, 86_400),
    ],
)
async def test_retry_after_is_kept_and_nonsense_is_not(
    state_dir: Path, headers: dict[str, str], wait_s: float
) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=429, headers=headers))
        async with Inner(
            state_dir,
            model=ScriptedModel("a"),
            clock=clock,
            gateway=gateway(receiver),
            delivery=DeliveryConfig(max_age_s=7 * 86_400),
            chance=lambda: 0.5,
        ) as inner:
            turn = await say(inner, receiver.url)
            await state(inner, turn, "pending", 1)
            await look(inner, clock, wait_s - 1)
            assert len(receiver.calls) == 1
            await look(inner, clock, 1.5)
            await state(inner, turn, "sent")


@pytest.mark.parametrize("status", [302, 400, 404])
async def test_a_refusal_is_believed_the_third_time_whatever_came_between(
    state_dir: Path, status: int
) -> None:
    clock = ManualClock()
    refusal = Fault(status=status, headers={"Location": "/elsewhere"}, body="no such order")
    async with WebhookReceiver() as receiver:
        receiver.fault(refusal, Fault(status=500), Fault(kind="reset"), refusal, refusal)
        async with Inner(
            state_dir,
            model=ScriptedModel("a"),
            clock=clock,
            gateway=gateway(receiver),
            chance=lambda: 0.5,
        ) as inner:
            turn = await say(inner, receiver.url)
            for tries, wait_s in enumerate(RETRY_SCHEDULE_S[:4], start=1):
                await state(inner, turn, "pending", tries)
                if tries == 2:
                    await inner.restart()
                await look(inner, clock, wait_s)
            delivery = await state(inner, turn, "dead")
            assert "refused 3 times" in delivery.why
            assert f"HTTP {status}" in delivery.why
            assert [event.id for event in inner.hear] == [delivery.id]
            assert {call.path for call in receiver.calls} == {"/callback"}
            await inner.admin.resubmit(delivery.id)
            await state(inner, turn, "sent")
            assert len({(call.id, call.body) for call in receiver.calls}) == 1


async def test_an_endpoint_that_is_gone_stays_so_until_its_configuration_changes(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=410))
        model = ScriptedModel(*["a"] * 4)
        async with Inner(state_dir, model=model, gateway=gateway(receiver)) as inner:
            first = await say(inner, receiver.url)
            dead = await state(inner, first, "dead")
            assert [event.id for event in inner.hear] == [dead.id]
            await inner.restart()
            second = await say(inner, receiver.url)
            assert "410" in (await state(inner, second, "dead")).why
            assert len(inner.hear) == 1, "owners hear of it once"
            assert len(receiver.calls) == 1
            inner.gateway = gateway(receiver, secret=[SECRET, ROTATED])
            inner.configure()
            third = await say(inner, receiver.url)
            await state(inner, third, "sent")


async def test_an_operator_may_insist_and_opens_the_endpoint_again_when_it_answers(state_dir: Path) -> None:
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(status=410), Fault(status=410))
        async with Inner(state_dir, model=ScriptedModel("a", "b", "c"), gateway=gateway(receiver)) as inner:
            first = await say(inner, receiver.url)
            dead = await state(inner, first, "dead")
            await inner.admin.resubmit(dead.id)
            await receiver.wait_for(2)
            await state(inner, first, "dead")
            await state(inner, await say(inner, receiver.url), "dead")
            assert len(receiver.calls) == 2
            await inner.admin.resubmit(dead.id)
            await state(inner, first, "sent")
            await inner.restart()
            await state(inner, await say(inner, receiver.url), "sent")
            assert len(receiver.calls) == 4


async def test_an_endpoint_that_keeps_failing_is_probed_once_a_minute(state_dir: Path) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(*[Fault(status=500)] * 12)
        model = ScriptedModel(*["a"] * 14)
        async with Inner(
            state_dir, model=model, clock=clock, gateway=gateway(receiver), chance=lambda: 0.5
        ) as inner:
            turns = []
            for n in range(10):
                turns.append(await say(inner, receiver.url, chat=f"c{n}"))
                await state(inner, turns[-1], "pending", 1)
            await look(inner, clock, 6)
            assert len(receiver.calls) == 10, "ten failures in a row: nothing else is tried yet"
            await look(inner, clock, 75)
            assert len(receiver.calls) == 11
            await look(inner, clock, 75)
            assert len(receiver.calls) == 12
            for _ in range(4):
                await look(inner, clock, 75)
            assert len({call.id for call in receiver.calls}) == 10
            attempts = [(await state(inner, turn, "sent")).attempt for turn in turns]
            assert sum(attempts) == len(receiver.calls), "what was put off is no attempt"


async def test_one_endpoint_gets_four_calls_at_a_time_and_holds_up_no_other(state_dir: Path) -> None:
    async with WebhookReceiver() as slow, WebhookReceiver() as quick:
        slow.fault(*[Fault(kind="hang")] * 4)
        both = gateway(slow, allow=["127.0.0.1"])
        async with Inner(state_dir, model=ScriptedModel(*["a"] * 7), gateway=both) as inner:
            for n in range(6):
                await say(inner, slow.url, chat=f"c{n}")
            await slow.wait_for(4)
            await say(inner, quick.url, chat="other")
            await quick.wait_for(1)
            assert len(slow.calls) == 4
            slow.released.set()
            await inner.settled()
            assert len(slow.calls) == 6


@pytest.mark.parametrize("kind", ["hang", "reset", "huge"])
async def test_a_call_that_is_broken_off_comes_again_under_its_id(state_dir: Path, kind: Any) -> None:
    clock = ManualClock()
    async with WebhookReceiver() as receiver:
        receiver.fault(Fault(kind=kind, status=500))
        async with Inner(
            state_dir, model=ScriptedModel("a"), clock=clock, gateway=gateway(receiver)
        ) as inner:
            turn = await say(inner, receiver.url)
            if kind == "hang":
                await receiver.wait_for(1)
                jump(16)  # longer than a call may take
            await state(inner, turn, "pending", 1)
            await look(inner, clock, 7)
            await state(inner, turn, "sent")
            assert len({call.id for call in receiver.calls}) == 1
            assert receiver.huge_mib < 32
