"""A model of a disk whose power is cut: what was synced is there, of the rest any part."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.power.strace import Call

Survival = Literal["nothing", "prefix", "sectors", "everything"]
"""Of what was not synced: nothing; all up to a moment; any sector of any write; all."""

SECTORS: Final = (512, 4096)


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        end = self.offset + len(self.data)
        if end > len(content):
            content.extend(bytes(end - len(content)))
        content[self.offset : end] = self.data

    def pieces(self, sector: int) -> Iterator[_Write]:
        """Cut at the borders of sectors: each is written whole or not at all."""
        at = self.offset
        while at < self.offset + len(self.data):
            end = min((at // sector + 1) * sector, self.offset + len(self.data))
            yield _Write(at, self.data[at - self.offset : end - self.offset])
            at = end


@dataclass(frozen=True, slots=True)
class _Resize:
    size: int

    def apply(self, content: bytearray) -> None:
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


_Change = _Write | _Resize


@dataclass(slots=True)
class _File:
    """What is on the disk for sure, and what was done since."""

    synced: bytes = b""
    changes: list[_Change] = field(default_factory=list)
    length: int = 0

    def change(self, change: _Change) -> None:
        self.changes.append(change)
        match change:
            case _Write(offset, data):
                self.length = max(self.length, offset + len(data))
            case _Resize(size):
                self.length = size

    def sync(self, count: int) -> None:
        """The first `count` changes have reached the disk."""
        self.synced = self._applied(self.changes[:count])
        del self.changes[:count]

    def after_cut(self, survival: Survival, dice: random.Random) -> bytes:
        match survival:
            case "nothing":
                return self.synced
            case "everything":
                return self._applied(self.changes)
            case "prefix":
                return self._applied(self.changes[: dice.randint(0, len(self.changes))])
            case "sectors":
                return self._applied(self._some(dice))

    def _some(self, dice: random.Random) -> Iterator[_Change]:
        sector, share = dice.choice(SECTORS), dice.random()
        last_resize = dice.randint(0, len(self.changes))
        for number, change in enumerate(self.changes):
            match change:
                case _Write():
                    yield from (piece for piece in change.pieces(sector) if dice.random() < share)
                case _Resize():
                    if number < last_resize:
                        yield change

    def _applied(self, changes: Iterable[_Change]) -> bytes:
        content = bytearray(self.synced)
        for change in changes:
            change.apply(content)
        return bytes(content)


_Name = tuple[str, _File | None]  # None: the name is gone
_FOLDER: Final = _File()


class Disk:
    """The files below one folder, as a recording of system calls changes them.

    A sync covers what ended before it began. Names belong to their folder: until that is synced, any number
    of its latest changes may be missing. Shared memory of SQLite (`-shm`) is left out: a start makes it anew.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._names: dict[str, _File] = {}
        self._synced_names: dict[str, _File] = {}
        self._folders: dict[str, list[list[_Name]]] = {}

    def run(self, calls: Iterable[Call], cuts: Iterable[int]) -> Iterator[int]:
        """Do what was recorded; yield at each place of `cuts` (in order), with all done that began before it."""
        waiting = iter(sorted(cuts))
        cut = next(waiting, None)
        for place, step in self._steps(calls):
            while cut is not None and cut < place:
                yield cut
                cut = next(waiting, None)
            step()
        while cut is not None:
            yield cut
            cut = next(waiting, None)

    def after_cut(self, survival: Survival, dice: random.Random) -> Mapping[str, bytes]:
        """Return content by name, relative to the root, as a start after a power cut now would find it."""
        names = dict(self._synced_names)
        for changes in self._folders.values():
            for change in changes[: _kept(len(changes), survival, dice)]:
                _rename(names, change)
        return {
            path.removeprefix(f"{self._root}/"): file.after_cut(survival, dice)
            for path, file in names.items()
            if file is not _FOLDER and self._reachable(path, names)
        }

    def _reachable(self, path: str, names: Mapping[str, _File]) -> bool:
        above = str(PurePath(path).parent)
        return above == self._root or (above in names and self._reachable(above, names))

    # --- the recording ----------------------------------------------------------------------------------

    def _steps(self, calls: Iterable[Call]) -> Iterator[tuple[int, _Step]]:
        steps: list[tuple[int, int, _Step]] = []
        for call in calls:
            if not call.path.startswith(f"{self._root}/") and call.path != self._root:
                continue
            if call.path.endswith("-shm"):
                continue
            step = _Step(self, call)
            steps.append((call.began, 0, step))
            if step.is_sync:
                steps.append((call.ended, 1, step))
        yield from ((place, step) for place, _, step in sorted(steps, key=lambda s: s[:2]))

    def change_names(self, *changes: _Name) -> None:
        folder = str(PurePath(changes[0][0]).parent)
        self._folders.setdefault(folder, []).append(list(changes))
        _rename(self._names, changes)

    def look(self, path: str) -> _File | None:
        return self._names.get(path)

    def unsynced(self, path: str) -> int:
        """How many changes of a file or folder are not on the disk."""
        file = self.look(path)
        return len(file.changes if file is not None and file is not _FOLDER else self._folders.get(path, ()))

    def sync(self, path: str, count: int) -> None:
        file = self.look(path)
        if file is not None and file is not _FOLDER:
            file.sync(count)
        else:
            changes = self._folders.get(path, [])
            for change in changes[:count]:
                _rename(self._synced_names, change)
            del changes[:count]


class _Step:
    """One recorded call; a sync is called twice, when it begins and when it has ended."""

    def __init__(self, disk: Disk, call: Call) -> None:
        self._disk = disk
        self._call = call
        self._covered: int | None = None
        self.is_sync = call.name in ("fsync", "fdatasync")

    def __call__(self) -> None:
        disk, call = self._disk, self._call
        if self.is_sync:
            if self._covered is None:
                self._covered = disk.unsynced(call.path)
            else:
                disk.sync(call.path, self._covered)
            return
        file = disk.look(call.path)
        match call.name:
            case "openat" if "O_CREAT" in call.flags and file is None:
                disk.change_names((call.path, _File()))
            case "openat" if "O_TRUNC" in call.flags and file is not None:
                file.change(_Resize(0))
            case "mkdir":
                disk.change_names((call.path, _FOLDER))
            case "unlink":
                disk.change_names((call.path, None))
            case "rename":
                assert file is not None, call
                disk.change_names((call.path, None), (call.target, file))
            case "ftruncate" if file is not None:
                file.change(_Resize(call.size))
            case "write" | "writev" | "pwrite64" | "pwritev" if file is not None:
                # Without a place of their own they append: so are the files written that clawd writes plainly.
                file.change(_Write(file.length if call.offset is None else call.offset, call.data))
            case "link" | "fallocate":
                raise ValueError(f"{call.name} is not modelled")
            case _:
                pass  # opened as it is, or a file that has no name any more


def _rename(names: dict[str, _File], changes: Iterable[_Name]) -> None:
    for path, file in changes:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def _kept(count: int, survival: Survival, dice: random.Random) -> int:
    match survival:
        case "nothing":
            return 0
        case "everything":
            return count
        case "prefix" | "sectors":
            return dice.randint(0, count)
