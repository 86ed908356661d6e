"""What the daemon's parts tell of themselves, and what is told when one of them can't."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from clawd.alerts.base import RULES
from clawd.config.loader import load_config
from clawd.daemon.aside import Aside
from clawd.daemon.disk import read_disk
from clawd.daemon.meters import Meters
from clawd.daemon.parts import build
from clawd.ids import SystemClock
from clawd.journal.opening import open_journal
from clawd.observability.logging import setup_logging
from clawd.plugins import Plugins

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from clawd.daemon.parts import Parts
    from clawd.observability.metrics import Family


@asynccontextmanager
async def built(state_dir: Path) -> AsyncIterator[Parts]:
    """The parts of a daemon that is not started."""
    clock, plugins = SystemClock(), Plugins(bridges={}, models={}, tools={})
    loaded = await asyncio.to_thread(load_config, None, {}, plugins)
    opened = await open_journal(state_dir, loaded.config.journal, clock)
    try:
        with setup_logging(loaded.config.logging, None, {}) as logs:
            yield build(
                loaded,
                opened,
                logs,
                environ={},
                plugins=plugins,
                clock=clock,
                state_dir=state_dir,
                socket=state_dir / "clawd.sock",
            )
    finally:
        await opened.close()


def meters(parts: Parts, firing: Mapping[str, int] | None = None, read_s: float = 30) -> Meters:
    return Meters(
        parts.minds,
        parts.accounts.ledger,
        parts.opened,
        parts.supervisor,
        parts.counts,
        firing=lambda: firing or {},
        config_in_force=lambda: False,
        read_s=read_s,
    )


def numbers(families: Sequence[Family]) -> dict[tuple[str, ...], float]:
    return {
        (family.name, *labels): held
        for family in families
        for labels, held in family.samples
        if isinstance(held, float | int)
    }


async def test_a_journal_that_cannot_be_read_leaves_the_rest_to_be_told(state_dir: Path) -> None:
    async with built(state_dir) as parts:
        whole = numbers(await meters(parts).read())
        await parts.opened.store._reader.close()
        rest = numbers(await meters(parts).read())
    assert (whole[("clawd_journal_readable",)], rest[("clawd_journal_readable",)]) == (1, 0)
    assert whole.keys() - rest.keys() == {
        ("clawd_queue_depth",),
        ("clawd_queue_oldest_age_seconds",),
        ("clawd_turns_running",),
        ("clawd_turns_waiting",),
        ("clawd_conversations",),
        ("clawd_outbox_depth",),
        ("clawd_dead_letters",),
    }


async def test_a_journal_that_is_asked_too_much_is_not_waited_for_long(state_dir: Path) -> None:
    async with built(state_dir) as parts, parts.opened.store._reader._turn:
        told = numbers(await meters(parts, read_s=0.01).read())
    assert told[("clawd_journal_readable",)] == 0
    assert told[("clawd_turns_total", "answered")] == 0


async def test_alerts_are_told_for_every_rule(state_dir: Path) -> None:
    async with built(state_dir) as parts:
        told = numbers(await meters(parts, {"disk": 1, "bridge_down": 3}).read())
    firing = {rule: told[("clawd_alerts_firing", rule)] for rule in RULES}
    assert {rule for rule, number in firing.items() if number} == {"disk", "bridge_down"}
    assert firing["bridge_down"] == 3
    assert told[("clawd_config_last_reload_successful",)] == 0


async def test_a_disk_that_hangs_is_waited_for_once_and_not_for_ever() -> None:
    asked, gone = 0, threading.Event()

    def ask() -> str:
        nonlocal asked
        asked += 1
        assert gone.wait(30)
        return "back"

    aside = Aside(ask, limit_s=0.01)
    try:
        assert await aside.answer() is None
        assert await aside.answer() is None
        assert asked == 1, "a second thread would hang too"
    finally:
        gone.set()
    patient = Aside(ask, limit_s=30)
    assert await patient.answer() == "back"
    async with asyncio.timeout(30):
        while await aside.answer() is None:
            pass


def test_a_state_directory_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert read_disk(tmp_path / "gone" / "clawd.db") is None


def test_a_log_that_was_cut_away_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "clawd.db").write_bytes(bytes(100))
    facts = read_disk(tmp_path / "clawd.db")
    assert facts is not None
    assert (facts.database, facts.wal) == (100, 0)
    assert 0 < facts.free < facts.size
