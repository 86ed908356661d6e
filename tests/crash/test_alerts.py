"""A daemon that dies between an alert's beginning and the last receiver's word: each is told once all the same."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.crash.test_points import both
from tests.crash.world import MARK, World, world
from tests.fakes.webhook_receiver import SECRET, Fault, WebhookReceiver

if TYPE_CHECKING:
    from pathlib import Path

KILLS_AT: Final = frozenset(both("alert"))

OWNER: Final = 7
ALONE: Final = {"crashes": {"enabled": False}, "restarts": {"enabled": False}}
FULL: Final = {"disk": {"above": 0.0, "clear": 0.0, "for_s": 0}, **ALONE}
"""Fires at the first reading, and never ends: something is stored on every disk."""
ROOMY: Final = {"disk": {"above": 1.0, "clear": 1.0}, **ALONE}


def kills(kind: str, most: int = 2) -> list[str]:
    """Return faults that kill before and after the first commits of a kind."""
    return [f"{point}:{nth}:kill" for nth in range(1, most + 1) for point in both(kind)]


def configure(
    here: World, receiver: WebhookReceiver, rules: dict[str, Any], *, telegram: bool = True
) -> None:
    url = {"url": receiver.url, "secret": SECRET}
    if not telegram:  # it takes seconds to import
        here.configure(bridges={}, alerts={"targets": [url], "rules": rules})
        return
    here.telegram.world.chat(OWNER)  # who has written to the bot before
    targets = [url, {"bridge": "telegram", "chat": OWNER}]
    here.configure(alerts={"targets": targets, "rules": rules})


def told(receiver: WebhookReceiver) -> list[str]:
    """Return the states that the receiver acts on, in order."""
    return [call.event["status"] for call in receiver.delivered]


async def heard(here: World, receiver: WebhookReceiver, count: int) -> None:
    """Return once both receivers have had so much, and the daemon has nothing left to send."""
    await receiver.wait_until(lambda: len(receiver.delivered) >= count)
    try:
        await here.telegram.wait_for_messages(OWNER, count)
    except TimeoutError:
        raise AssertionError(f"{here.answers(OWNER)}\n{here.tail()}") from None
    await here.settled()


@pytest.mark.timeout(120)
async def test_an_alert_is_told_to_a_url_once_although_the_daemon_died_before_it_called(
    state_dir: Path,
) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, FULL, telegram=False)
        await here.start(fault="journal.after_commit:alert:1:kill")
        await here.wait_dead()
        assert receiver.calls == []
        configure(here, receiver, ROOMY, telegram=False)  # it is over by now, and was all the same
        await here.start()
        await receiver.wait_for(2)
        await here.settled()
        assert told(receiver) == ["firing", "resolved"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault",
    [*kills("alert"), *kills("accept", 1), "journal.after_commit:outbox.take:1:kill"],
)
async def test_an_alert_is_told_once_wherever_the_daemon_dies(state_dir: Path, fault: str) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, FULL)
        await here.start(fault=fault)
        await here.wait_dead()
        await here.start()
        await heard(here, receiver, 1)
        assert told(receiver) == ["firing"]
        assert len({(call.id, call.body) for call in receiver.calls}) == 1
        (text,) = {answer.removeprefix(f"{MARK}\n") for answer in here.answers(OWNER)}
        assert text.startswith("Alert (critical): the disk is nearly full")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_alert_that_was_on_the_wire_comes_again_under_its_id(state_dir: Path) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, FULL)
        receiver.fault(Fault(kind="hang"))
        await here.start()
        await receiver.wait_for(1)
        await here.kill()
        await here.start()
        await receiver.wait_for(2)
        await here.settled()
        assert told(receiver) == ["firing"]
        assert [call.repeat for call in receiver.calls] == [False, True]
        assert Counter(here.answers(OWNER)).total() <= 2, (
            "the chat's may have been on the wire too, and says so"
        )


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [*kills("alert"), "journal.after_commit:accept:1:kill"])
async def test_an_end_is_told_once_wherever_the_daemon_dies(state_dir: Path, fault: str) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(here, receiver, FULL)
        await here.start()
        await heard(here, receiver, 1)
        await here.kill()
        configure(here, receiver, ROOMY)
        await here.start(fault=fault)
        await here.wait_dead()
        await here.start()
        await heard(here, receiver, 2)
        assert told(receiver) == ["firing", "resolved"]
        # What the daemon died over may have been on the wire: then it comes again, and says so.
        bare = [text.removeprefix(f"{MARK}\n") for text in here.answers(OWNER)]
        assert [text.partition(":")[0] for text in dict.fromkeys(bare)] == ["Alert (critical)", "Over"]
        unmarked = [text for text in here.answers(OWNER) if not text.startswith(MARK)]
        assert len(unmarked) == len(set(unmarked))
        first, last = (call.event["alerts"][0] for call in receiver.delivered)
        assert (first["fingerprint"], first["startsAt"]) == (last["fingerprint"], last["startsAt"])


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", [*kills("alert"), "journal.after_commit:accept:1:kill"])
async def test_a_crash_is_told_once_wherever_the_next_run_dies_over_it(state_dir: Path, fault: str) -> None:
    async with world(state_dir) as here, WebhookReceiver() as receiver:
        configure(
            here, receiver, {"disk": {"enabled": False}, "restarts": {"enabled": False}}, telegram=False
        )
        await here.start()
        await here.kill()
        await here.start(fault=fault)
        await here.wait_dead()
        await here.start()
        await receiver.wait_for(1)
        await here.settled()
        assert told(receiver) == ["firing"]
        assert {call.event["groupLabels"]["alertname"] for call in receiver.calls} == {"ClawdCrashes"}
        assert len({(call.id, call.body) for call in receiver.calls}) == 1
