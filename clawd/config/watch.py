"""Calls back when a configuration file changed, however it was changed.

Directories are watched, not files: editors write a new file and rename it over the old one, `mv` and package managers
do too, and Kubernetes swaps the symbolic link `..data` above all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd import inotify
from clawd.config.stamps import Stamp, stamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    Changed = Callable[[], Awaitable[Mapping[Path, Stamp] | None]]

log = logging.getLogger(__name__)

QUIET_S: Final = 0.1  # a save comes as several events; this long after the last one it is over
LATEST_S: Final = 0.5  # but a file that never rests is read all the same
_MAX_LINKS: Final = 40  # as the kernel: more symbolic links are a loop


async def watch(
    files: Callable[[], Sequence[Path]],
    changed: Changed,
    *,
    since: Mapping[Path, Stamp] | None = None,
) -> None:
    """Await `changed` after each change to one of `files`, until cancelled.

    Args:
        files: What to watch, missing ones too; asked again after each call of `changed`, which may alter it.
        changed: Reads the files. It must deal with broken ones: what it raises ends the watch. It may return the
            stamps at which it read them, so that what happens to a new one of them before it is watched is seen.
        since: The files' stamps when they were read last: a change between then and now is seen as well.

    Returns early, after a warning in the log, when the system allows no further watch: `clawd reload` still works.
    Changes made by another host on a network file system are not seen.
    """
    try:
        if inotify.available():
            await _watch_inotify(files, changed, since or {})
        else:
            await _watch_portably(files, changed)
    except inotify.WatchRefused as error:
        log.warning("config_watch_off", extra={"error": str(error), "remedy": "clawd reload after a change"})


async def _watch_inotify(
    files: Callable[[], Sequence[Path]], changed: Changed, since: Mapping[Path, Stamp]
) -> None:
    with inotify.Inotify() as kernel:
        while True:
            kernel.watch(await asyncio.to_thread(names_to_watch, files()))
            # Only now nothing is missed any more; what happened since the files were read shows in their stamps.
            if await asyncio.to_thread(_same, since, files()):
                await kernel.wait()
            await _settle(kernel, files)
            before = await asyncio.to_thread(_stamps, files())
            since = {**(await changed() or {}), **before}


def _stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    return {path: stamp(path) for path in files}


def _same(since: Mapping[Path, Stamp], files: Iterable[Path]) -> bool:
    return all(since[path] == stamp(path) for path in files if path in since)


async def _settle(kernel: inotify.Inotify, files: Callable[[], Sequence[Path]]) -> None:
    """Return when there was no event for a moment."""
    loop = asyncio.get_running_loop()
    latest = loop.time() + LATEST_S
    while (left := min(QUIET_S, latest - loop.time())) > 0:
        # A directory may be new, and what happens in it from now on belongs to this change.
        kernel.watch(await asyncio.to_thread(names_to_watch, files()))
        try:
            async with asyncio.timeout(left):
                await kernel.wait()
        except TimeoutError:
            return


async def _watch_portably(files: Callable[[], Sequence[Path]], changed: Changed) -> None:
    from watchfiles import awatch  # only where there is no inotify

    while True:
        names = await asyncio.to_thread(names_to_watch, files())

        def concerns(_: object, path: str, wanted: Mapping[Path, Iterable[str]] = names) -> bool:
            return Path(path).name in wanted.get(Path(path).parent, ())

        # Two steps pass before it reports: 400 ms keep that below a second.
        async for _ in awatch(*names, watch_filter=concerns, recursive=False, step=400, rust_timeout=0):
            await changed()
            break


def names_to_watch(files: Iterable[Path]) -> dict[Path, set[str]]:
    """Return, for each directory on the way to the files, the names in it whose change matters.

    These are the file's own name, each symbolic link on the way with what it points to, and for a directory that does
    not exist its name in the nearest one that does.
    """
    names: dict[Path, set[str]] = {}
    for file in files:
        here = Path("/")
        parts = deque(file.absolute().parts[1:])
        links = 0
        while parts:
            part = parts.popleft()
            if part == "..":
                here = here.parent
                continue
            step = here / part
            target = _link_target(step) if links < _MAX_LINKS else None
            if target is not None or not parts or not step.is_dir():
                names.setdefault(here, set()).add(part)
            if target is not None:
                links += 1
                parts.extendleft(reversed([p for p in target.parts if p != "/"]))
                here = Path("/") if target.is_absolute() else here
            elif not step.is_dir():
                break
            else:
                here = step
    return names


def _link_target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None
