"""The power is cut at any moment of a recorded run: what was acknowledged is on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import pytest

from tests import seeds
from tests.power import strace
from tests.power.disk import Disk, Survival
from tests.power.recording import Acknowledged, lost_at, record_lives

pytestmark = pytest.mark.skipif(not strace.AVAILABLE, reason="strace is not installed")

SURVIVALS: Final[tuple[Survival, ...]] = get_args(Survival)
SEED: Final = 20261125
LIVES: Final = (3, 8, 3)  # rounds of each opening of the journal


@dataclass(frozen=True, slots=True)
class Cut:
    """What a power cut did: the moment, what survived, and the promises that were broken by it."""

    moment: int
    survival: Survival
    broken: Sequence[str]


async def cut_everywhere(
    folder: Path, calls: list[strace.Call], moments: Iterable[int], survivals: Sequence[Survival] = SURVIVALS
) -> list[Cut]:
    """Cut the power at each moment, in one way after the other, and start again from what was left."""
    disk, dice, results = Disk(folder), seeds.dice(SEED), []
    words = [call for call in calls if call.leaves and call.path.startswith("pipe:")]
    for number, moment in enumerate(disk.run(calls, moments)):
        survival = survivals[number % len(survivals)]
        files = disk.after_cut(survival, dice)
        broken = await lost_at(files, Acknowledged.before(words, moment))
        results.append(Cut(moment, survival, broken))
    return results


def spread(calls: list[strace.Call], count: int) -> Iterator[int]:
    """Return moments all over a run, and as many just after something was said, where there is most to lose."""
    said = [call.began for call in calls if call.leaves and call.path.startswith("pipe:")]
    last = calls[-1].ended
    yield from sorted({n * last // count for n in range(count)} | set(said[:: max(1, len(said) // count)]))


@pytest.mark.timeout(240)
async def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(state_dir: Path) -> None:
    calls = await record_lives(state_dir, LIVES)
    cuts = await cut_everywhere(state_dir, calls, spread(calls, 120))
    assert len(cuts) > 200
    assert [cut for cut in cuts if cut.broken] == []


@pytest.mark.timeout(300)
async def test_a_log_that_is_not_synced_at_each_commit_loses_what_was_acknowledged(state_dir: Path) -> None:
    calls = await record_lives(state_dir, (6,), "normal")
    cuts = await cut_everywhere(state_dir, calls, spread(calls, 20))
    broken = {sentence for cut in cuts for sentence in cut.broken}
    assert any("accepted are gone" in sentence for sentence in broken)
    assert not any(sentence.startswith("integrity") for sentence in broken)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_database_whose_folder_is_not_synced_may_be_gone(state_dir: Path) -> None:
    calls = await record_lives(state_dir, (6,), "folders")
    cuts = await cut_everywhere(state_dir, calls, spread(calls, 20), ["nothing"])
    assert any(cut.broken for cut in cuts)


@pytest.mark.timeout(300)
async def test_the_model_of_the_disk_ends_with_the_files_that_are_really_there(state_dir: Path) -> None:
    calls = await record_lives(state_dir, (2, 1))
    disk = Disk(state_dir)
    assert len(list(disk.run(calls, [calls[-1].ended]))) == 1
    left = disk.after_cut("everything", seeds.dice(SEED))
    real = {str(p.relative_to(state_dir)): p.read_bytes() for p in await asyncio.to_thread(_files, state_dir)}
    assert dict(left) == real


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
