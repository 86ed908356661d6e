"""The supervisor: what ended a bridge decides its next state, and nothing takes the others down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from clawd.bridge import BridgeConfig, BridgeState, Inbox
from clawd.conformance import MemoryInbox
from clawd.errors import BridgeAuthError, BridgeNotReady, DeliveryUnauthorized, JournalBroken
from clawd.messages import BridgeCapabilities, OutboundMessage, Receipt
from clawd.observability.redact import Redactor
from clawd.supervisor import Supervisor, keep
from clawd.testing import ManualClock

Script = Callable[[Callable[[], None]], Awaitable[None]]


class ScriptedBridge:
    """A bridge whose runs are scripted; the last script repeats."""

    capabilities = BridgeCapabilities(text_limit=1000)

    def __init__(self, name: str, *scripts: Script) -> None:
        self.name = name
        self.runs = 0
        self._scripts = scripts

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        script = self._scripts[min(self.runs, len(self._scripts) - 1)]
        self.runs += 1
        await script(ready)

    async def send(self, message: OutboundMessage) -> Receipt:
        return Receipt()


async def connect(ready: Callable[[], None]) -> None:
    ready()
    await asyncio.Event().wait()


async def out_of_reach(ready: Callable[[], None]) -> None:
    raise BridgeNotReady("b", "connection refused")


async def asked_to_wait(ready: Callable[[], None]) -> None:
    raise BridgeNotReady("b", "conflict", retry_after_s=7)


async def refused(ready: Callable[[], None]) -> None:
    raise BridgeAuthError("b", "token rejected", remedy="get a new one")


async def bug(ready: Callable[[], None]) -> None:
    raise KeyError("surprise")


@asynccontextmanager
async def supervised(clock: ManualClock, *bridges: ScriptedBridge) -> AsyncIterator[Supervisor]:
    by_name = {bridge.name: bridge for bridge in bridges}
    supervisor = Supervisor(
        MemoryInbox(), clock, create=lambda name, _section: by_name[name], on_connected=lambda _: None
    )
    supervisor.configure({bridge.name: BridgeConfig(type="scripted") for bridge in bridges})
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            task.cancel()


async def reaches(supervisor: Supervisor, name: str, state: BridgeState) -> None:
    async with asyncio.timeout(30):
        while {s.name: s.state for s in supervisor.statuses()}.get(name) != state:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("script", "state"),
    [(out_of_reach, "transient_disconnect"), (bug, "transient_disconnect"), (refused, "bad_credentials")],
)
async def test_a_bridge_that_fails_is_run_again_and_connects_by_itself(
    script: Script, state: BridgeState
) -> None:
    clock = ManualClock()
    bridge = ScriptedBridge("b", script, script, connect)
    async with supervised(clock, bridge, ScriptedBridge("other", connect)) as supervisor:
        await reaches(supervisor, "b", state)
        await reaches(supervisor, "other", "connected")
        assert supervisor.connected() == ({"other", "b"} if state == "transient_disconnect" else {"other"})
        await clock.sleeping()
        await clock.advance(120)
        await reaches(supervisor, "b", "connected")
        assert bridge.runs == 3
        assert supervisor.statuses()[0].error == ""


async def test_the_wait_grows_and_is_capped() -> None:
    clock = ManualClock()
    bridge = ScriptedBridge("b", out_of_reach)
    waits: list[float] = []
    async with supervised(clock, bridge):
        await clock.sleeping()
        for run in range(1, 12):
            before = clock.monotonic()
            while bridge.runs == run:
                await clock.advance(0.25)
            waits.append(clock.monotonic() - before)
    assert waits[0] <= 1.25
    assert 30 <= waits[-1] <= 60.25
    assert all(0.4 <= wait <= 60.25 for wait in waits)


async def test_a_platform_that_names_a_wait_gets_it() -> None:
    clock = ManualClock()
    bridge = ScriptedBridge("b", asked_to_wait, connect)
    async with supervised(clock, bridge) as supervisor:
        await clock.sleeping()
        await clock.advance(6.9)
        assert bridge.runs == 1
        await clock.advance(0.2)
        await reaches(supervisor, "b", "connected")


async def test_a_bridge_that_waits_for_a_login_by_itself_is_run_again_at_once_and_shows_why_meanwhile() -> (
    None
):
    clock = ManualClock()
    logged_in = asyncio.Event()

    async def no_login(_ready: Callable[[], None]) -> None:
        raise BridgeAuthError("b", "nobody has logged in", remedy="clawd bridges login b", retry_after_s=0)

    async def waits(ready: Callable[[], None]) -> None:
        await logged_in.wait()
        await connect(ready)

    bridge = ScriptedBridge("b", no_login, waits)
    async with supervised(clock, bridge) as supervisor:
        async with asyncio.timeout(5):
            while bridge.runs < 2:
                await asyncio.sleep(0)
        [status] = supervisor.statuses()
        assert (status.state, status.remedy) == ("bad_credentials", "clawd bridges login b")
        logged_in.set()
        await reaches(supervisor, "b", "connected")


async def test_credentials_refused_in_a_send_stop_sending_until_the_bridge_is_connected_again() -> None:
    clock = ManualClock()
    bridge = ScriptedBridge("b", connect, refused, connect)
    async with supervised(clock, bridge) as supervisor:
        await reaches(supervisor, "b", "connected")
        supervisor.refused("b", DeliveryUnauthorized("b", "401"))
        await reaches(supervisor, "b", "bad_credentials")
        assert not supervisor.connected()
        await clock.sleeping()
        await clock.advance(5)
        await reaches(supervisor, "b", "connected")


class Probed(ScriptedBridge):
    """One with a test of its own, which fails."""

    async def probe(self) -> str:
        raise BridgeNotReady(self.name, "no such bot", why="Not Found: /bot1:recognisable/getMe")


async def quoting(ready: Callable[[], None]) -> None:
    raise BridgeNotReady("b", "no such bot", why="Not Found: /bot1:recognisable/getMe")


async def test_what_a_platform_quotes_of_a_call_is_no_part_of_a_bridges_state_nor_of_its_test() -> None:
    clean = Redactor(["recognisable"]).clean
    bridge = Probed("b", quoting)
    supervisor = Supervisor(
        MemoryInbox(), ManualClock(), create=lambda *_: bridge, on_connected=lambda _: None, clean=clean
    )
    supervisor.configure({"b": BridgeConfig(type="scripted")})
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(supervisor.run())
        await reaches(supervisor, "b", "transient_disconnect")
        assert supervisor.statuses()[0].error == "no such bot (Not Found: /bot1:***/getMe)"
        supervisor.refused("b", DeliveryUnauthorized("b", "401 recognisable"))
        assert "recognisable" not in supervisor.statuses()[0].error
        with pytest.raises(BridgeNotReady) as raised:
            await supervisor.probe("b")
        assert "recognisable" not in str(raised.value)
        task.cancel()


async def test_a_changed_bridge_restarts_alone_and_a_removed_one_ends() -> None:
    clock = ManualClock()
    first, second = ScriptedBridge("first", connect), ScriptedBridge("second", connect)
    async with supervised(clock, first, second) as supervisor:
        await reaches(supervisor, "first", "connected")
        await reaches(supervisor, "second", "connected")
        supervisor.configure({"first": BridgeConfig(type="scripted", allow=("1",))})
        async with asyncio.timeout(30):
            while first.runs < 2 or len(supervisor.bridges()) > 1:
                await asyncio.sleep(0)
        assert second.runs == 1


async def fails_when_cancelled(ready: Callable[[], None]) -> None:
    ready()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise BridgeNotReady("b", "the connection broke while it was closed") from None


async def returns(ready: Callable[[], None]) -> None:
    ready()


async def cancels_itself(ready: Callable[[], None]) -> None:
    raise asyncio.CancelledError


async def test_a_bridge_that_fails_while_it_is_cancelled_ends_all_the_same() -> None:
    """Its error used to hide the cancellation: the bridge went on, and the daemon never stopped."""
    clock = ManualClock()
    bridge = ScriptedBridge("b", fails_when_cancelled)
    async with asyncio.timeout(30):
        async with supervised(clock, bridge) as supervisor:
            await reaches(supervisor, "b", "connected")
            supervisor.configure({})
            while supervisor.bridges():
                await asyncio.sleep(0)
        async with supervised(clock, bridge) as supervisor:
            await reaches(supervisor, "b", "connected")
    assert bridge.runs == 2


async def test_a_bridge_that_fails_while_it_is_cancelled_is_connected_again_after_a_refused_send() -> None:
    clock = ManualClock()
    bridge = ScriptedBridge("b", fails_when_cancelled, connect)
    async with supervised(clock, bridge) as supervisor:
        await reaches(supervisor, "b", "connected")
        supervisor.refused("b", DeliveryUnauthorized("b", "401"))
        async with asyncio.timeout(30):
            while bridge.runs < 2:
                await asyncio.sleep(0)
        await reaches(supervisor, "b", "connected")


@pytest.mark.parametrize("script", [returns, cancels_itself])
async def test_a_bridge_that_ends_by_itself_is_run_again_after_a_pause(script: Script) -> None:
    clock = ManualClock()
    bridge = ScriptedBridge("b", script)
    async with supervised(clock, bridge):
        await clock.sleeping()
        assert bridge.runs == 1
        await clock.advance(1)  # the longest first pause, and less than two of the shortest
        await clock.sleeping()
        assert bridge.runs == 2


async def test_the_test_of_a_bridge_that_has_none_tells_its_state() -> None:
    bridges = ScriptedBridge("good", connect), ScriptedBridge("away", out_of_reach)
    async with supervised(ManualClock(), *bridges) as supervisor:
        await reaches(supervisor, "good", "connected")
        await reaches(supervisor, "away", "transient_disconnect")
        assert await supervisor.probe("good") == "good is connected; it has no test of its own"
        with pytest.raises(BridgeNotReady, match="connection refused"):
            await supervisor.probe("away")


async def test_a_bridge_that_can_not_be_made_shows_why_and_leaves_the_others_alone() -> None:
    good = ScriptedBridge("good", connect)

    def create(name: str, _section: BridgeConfig) -> ScriptedBridge:
        if name == "bad":
            raise ImportError("no module named platform")
        return good

    supervisor = Supervisor(MemoryInbox(), ManualClock(), create=create, on_connected=lambda _: None)
    supervisor.configure({name: BridgeConfig(type="scripted") for name in ("bad", "good")})
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(supervisor.run())
        await reaches(supervisor, "good", "connected")
        await reaches(supervisor, "bad", "bad_credentials")
        assert "no module named platform" in supervisor.statuses()[0].error
        assert supervisor.connected() == {"good"}
        with pytest.raises(BridgeAuthError, match="no module named platform"):
            await supervisor.probe("bad")
        task.cancel()


async def test_who_watches_is_told_of_every_state_and_a_bridge_that_is_wanted_is_so_before_it_is_made() -> (
    None
):
    good, seen = ScriptedBridge("good", connect), []
    supervisor = Supervisor(
        MemoryInbox(), ManualClock(), create=lambda _name, _section: good, on_connected=lambda _: None
    )
    supervisor.watch(lambda: seen.append([status.state for status in supervisor.statuses()]))
    supervisor.configure({"good": BridgeConfig(type="scripted")})
    assert (set(supervisor.wanted()), supervisor.statuses()) == ({"good"}, [])
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(supervisor.run())
        await reaches(supervisor, "good", "connected")
        assert seen == [["connecting"], ["connected"]]
        task.cancel()


async def test_a_bug_in_a_service_is_counted_and_the_service_runs_again() -> None:
    clock, broken = ManualClock(), list[str]()
    runs = 0

    async def service() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("surprise")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep("alerts", service, clock, broke=broken.append))
        for run in (1, 2):
            await clock.sleeping()
            assert (runs, broken) == (run, ["alerts"] * run)
            while runs == run:
                await clock.advance(0.25)
    assert runs == 3


async def test_a_service_does_not_outlive_the_journal() -> None:
    async def service() -> None:
        raise JournalBroken("the disk is gone")

    with pytest.raises(JournalBroken):
        await keep("alerts", service, ManualClock(), broke=lambda _: None)
