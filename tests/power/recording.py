"""Recorded runs of the child that works on a journal, and what it had acknowledged at any moment."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.config.schema import JournalConfig
from clawd.errors import JournalError
from clawd.ids import SystemClock
from clawd.journal.opening import OpenJournal, open_journal
from tests.power import strace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.power.strace import Call

ROOT: Final = Path(__file__).parents[2]
CARELESS: Final = ROOT / "tests" / "fakes" / "careless"
MEMORY: Final = Path(
    "/dev/shm"
)  # where nobody waits for a disk: what is started here has been cut off already
SAID: Final = ("accepted", "answered", "sending", "sent")


def careless(how: str) -> dict[str, str]:
    """Return the environment of a process that takes less care of its disk; empty for a careful one."""
    return {"PYTHONPATH": str(CARELESS), "CARELESS": how} if how else {}


async def record(folder: Path, program: Sequence[str], how: str = "") -> list[Call]:
    """Run a module with its arguments and return its system calls; `folder` holds the disk."""
    output = folder.with_suffix(".trace")  # beside the folder: it is no part of the disk
    try:
        child = await asyncio.create_subprocess_exec(
            *strace.command(output, [sys.executable, "-m", *program]),
            env={**os.environ, **careless(how)},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        await child.communicate()
        assert child.returncode == 0
        return await asyncio.to_thread(strace.finished, output, child.pid)
    finally:
        output.unlink(missing_ok=True)


async def record_lives(folder: Path, rounds: Sequence[int], how: str = "") -> list[Call]:
    """Run the child that works on a journal in `folder/state`, one number of rounds for each opening."""
    program = ["tests.fakes.power_child", str(folder / "state"), *map(str, rounds)]
    return await record(folder, program, how)


@dataclass(slots=True)
class Acknowledged:
    """What had been said up to a moment: sets of message numbers."""

    accepted: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    sending: set[str] = field(default_factory=set)
    sent: set[str] = field(default_factory=set)

    @classmethod
    def before(cls, calls: Iterable[Call], moment: int) -> Acknowledged:
        """Return what may have been read by somebody at `moment`; `calls` are writes to them."""
        result = cls()
        for call in calls:
            if call.began <= moment:
                what, *numbers = call.data.decode(errors="replace").split()
                if what in SAID:
                    getattr(result, what).update(numbers)
        return result


async def lost_at(files: Mapping[str, bytes], said: Acknowledged) -> list[str]:
    """Start from what a cut left and return a sentence for each promise that is broken."""
    folder = Path(tempfile.mkdtemp(prefix="clawd-", dir=MEMORY if MEMORY.is_dir() else None))
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    try:
        opened = await open_journal(folder / "state", JournalConfig(), SystemClock())
        try:
            await opened.journal.recover(())
            return [*opened.warnings, *await _missing(opened, said)]
        finally:
            await opened.close()
    except JournalError as error:
        return [f"it does not open: {error}"] if said.accepted else []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _missing(opened: OpenJournal, said: Acknowledged) -> list[str]:
    read = opened.store.read
    ((verdict,),) = await read("PRAGMA integrity_check")
    inbox = await read("SELECT d.key, i.state FROM dedup d JOIN inbox i ON i.conv = d.conv AND i.seq = d.seq")
    states = {key.removeprefix("m:"): state for key, state in inbox}
    rows = await read("SELECT json_extract(body, '$.text'), state FROM outbox")
    deliveries: dict[str, str] = dict(rows)
    taken = {number for number, state in deliveries.items() if state != "pending"}
    # A delivery that was on the wire is pending again after a start, with the mark of a repeat.
    repeated = await read("SELECT json_extract(body, '$.text') FROM outbox WHERE repeated = 1")
    broken = [] if verdict == "ok" else [f"integrity: {verdict}"]
    for what, promised, found in (
        ("accepted", said.accepted, set(states)),
        ("answered", said.answered, {n for n, s in states.items() if s == "answered"} & set(deliveries)),
        ("sending", said.sending, taken | {number for (number,) in repeated}),
        ("sent", said.sent, {n for n, s in deliveries.items() if s == "sent"}),
    ):
        if promised - found:
            broken.append(f"{len(promised - found)} {what} are gone")
    return broken
