"""The model of a disk: what a sync covers, what names need, and what may be left of the rest."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from tests.power.disk import Disk, Survival
from tests.power.strace import Call

ROOT = Path("/s")
Step = tuple[str, dict[str, object]]


def create(path: str) -> Step:
    return ("openat", {"path": path, "flags": "O_RDWR|O_CREAT"})


def write(path: str, data: bytes, offset: int | None = None) -> Step:
    return ("pwrite64", {"path": path, "data": data, "offset": offset})


def sync(path: str) -> Step:
    return ("fsync", {"path": path})


def rename(path: str, target: str) -> Step:
    return ("rename", {"path": path, "target": target})


def cut(*steps: Step, survival: Survival = "nothing", seed: int = 1) -> Mapping[str, bytes]:
    """Do all this, cut the power and return what is left."""
    disk = Disk(ROOT)
    recorded = [
        Call(began=n, ended=n, name=name, **fields)  # type: ignore[arg-type] # as the steps above are made
        for n, (name, fields) in enumerate(steps)
    ]
    assert list(disk.run(recorded, [len(steps)])) == [len(steps)]
    return disk.after_cut(survival, random.Random(seed))


def test_a_file_is_there_once_its_folder_is_synced_and_its_bytes_once_it_is() -> None:
    named = [create("/s/a"), write("/s/a", b"one", 0)]
    assert cut(*named, sync("/s/a")) == {}
    assert cut(*named, sync("/s")) == {"a": b""}
    assert cut(*named, sync("/s/a"), sync("/s"), write("/s/a", b"X", 1)) == {"a": b"one"}


def test_a_file_in_a_new_folder_needs_the_folders_name_as_well() -> None:
    made: list[Step] = [("mkdir", {"path": "/s/d"}), create("/s/d/a"), sync("/s/d")]
    assert cut(*made) == {}
    assert cut(*made, sync("/s")) == {"d/a": b""}


def test_a_renamed_file_takes_the_others_place_with_the_sync_of_the_folder() -> None:
    both = [create("/s/a"), write("/s/a", b"old"), sync("/s/a"), create("/s/n"), write("/s/n", b"new")]
    ready = [*both, sync("/s/n"), sync("/s"), rename("/s/n", "/s/a")]
    assert cut(*ready) == {"a": b"old", "n": b"new"}
    assert cut(*ready, sync("/s")) == {"a": b"new"}


def test_what_is_resized_and_not_synced_may_have_either_length() -> None:
    full = [create("/s/a"), write("/s/a", b"x" * 2000, 0), sync("/s/a"), sync("/s")]
    short = [*full, ("ftruncate", {"path": "/s/a", "size": 0})]
    assert {len(cut(*short, survival="sectors", seed=seed)["a"]) for seed in range(20)} == {0, 2000}


def test_of_an_unsynced_write_any_sector_may_be_there_and_none_in_part() -> None:
    size = 512 * 8
    steps = [create("/s/a"), write("/s/a", b"o" * size, 0), sync("/s/a"), sync("/s"), write("/s/a", b"n" * size, 0)]  # fmt: skip
    seen = [cut(*steps, survival="sectors", seed=seed)["a"] for seed in range(50)]
    for content in seen:
        sectors = [content[at : at + 512] for at in range(0, size, 512)]
        assert all(len(set(sector)) == 1 for sector in sectors)
    torn = [content for content in seen if len(set(content)) > 1]
    assert len(torn) > 5
    assert any(content.startswith(b"o") and content.endswith(b"n") for content in torn), "in any order"


def test_a_sync_covers_what_ended_before_it_began() -> None:
    disk = Disk(ROOT)
    recorded = [
        Call(began=0, ended=0, name="openat", path="/s/a", flags="O_CREAT"),
        Call(began=1, ended=1, name="fsync", path="/s"),
        Call(began=2, ended=2, name="pwrite64", path="/s/a", data=b"one", offset=0),
        Call(began=3, ended=6, name="fdatasync", path="/s/a"),
        Call(began=4, ended=4, name="pwrite64", path="/s/a", data=b"two", offset=3),
    ]
    left = [disk.after_cut("nothing", random.Random(1)) for _ in disk.run(recorded, [3, 5, 7])]
    assert left == [{"a": b""}, {"a": b""}, {"a": b"one"}]
