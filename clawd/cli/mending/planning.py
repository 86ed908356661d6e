"""What can be mended here without a loss: it is looked for anew at each run, so a second one finds nothing."""

from __future__ import annotations

import errno
import os
import re
import socket
import sqlite3
import stat
import sys
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd import paths
from clawd.cli.checks.connections import TOKEN_FILE
from clawd.cli.checks.files import MOST_ENTRIES, below, wanted_mode
from clawd.cli.checks.journal import MOST_WAL_BYTES
from clawd.cli.mending.repair import Repair
from clawd.cli.units import UnitError, Units, units
from clawd.cli.units import write as write_unit
from clawd.config.secrecy import secret_values
from clawd.errors import ConfigError, JournalLocked
from clawd.journal.opening import highest
from clawd.store.backup import FOLDER, PARTIAL, connect_to_read, write_backup
from clawd.store.lock import StateLock
from clawd.store.mark import FILE as MARK
from clawd.store.mark import Mark
from clawd.store.opening import FILE
from clawd.tools.shell import ShellConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site
    from clawd.cli.mending.repair import Keepsakes
    from clawd.cli.units import Scope

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_CURSOR: Final = re.compile(r"cursor-[0-9a-f]{20}\.(\d+)")
_CONNECT_S: Final = 1.0
_ROOM: Final = 1.2


def plan(site: Site, *, most_wal_bytes: int = MOST_WAL_BYTES) -> list[Repair]:
    """Return what can be mended, in order; while a daemon runs nothing that it uses is touched but permissions.

    A write-ahead log is put into the database from `most_wal_bytes` on.
    """
    found = [*_modes(site), *_folders(site), *_units(site)]
    if site.state_dir.is_dir() and _is_free(site):
        found += [*_stale_socket(site), *_leftovers(site), *_log(site, most_wal_bytes)]
    return found


# --- permissions and folders ------------------------------------------------------------------------------


def _modes(site: Site) -> Iterator[Repair]:
    for path, mode, wanted in _loose(site):
        what = f"chmod {wanted:o} {path} (it is {mode:o})"
        yield Repair(id="permissions", what=what, do=partial(_change_mode, path, mode, wanted))


def _loose(site: Site) -> Iterator[tuple[Path, int, int]]:
    """Yield what is ours and others may use, with its mode and the one it should have."""
    state = site.state_dir
    if state.is_dir():
        for path, status in ((state, state.stat()), *islice(below(state), MOST_ENTRIES)):
            mode = stat.S_IMODE(status.st_mode)
            # Whether others may enter the directory itself is its owner's choice; what they find is not.
            loose = mode & (_OTHERS_WRITE if path == state else _OTHERS)
            if loose and _is_ours(status):
                yield path, mode, wanted_mode(mode)
    if site.loaded is None:
        return
    origins = [secret.origin for secret in secret_values(site.config)]
    secret = {origin.removeprefix("file ") for origin in origins if origin.startswith("file ")}
    secret |= {origin.rpartition(":")[0] for origin in origins}
    for file in site.loaded.files:
        try:
            status = file.stat()
        except OSError:
            continue
        # Below /etc a group may be meant to read it: root:clawd, 0640.
        private = str(file) in secret and not file.is_relative_to(site.host.root / "etc")
        mode = stat.S_IMODE(status.st_mode)
        if mode & (_OTHERS if private else _OTHERS_WRITE) and _is_ours(status):
            yield file, mode, mode & ~(_OTHERS if private else _OTHERS_WRITE)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid()


def _change_mode(path: Path, mode: int, wanted: int, kept: Keepsakes) -> None:
    kept.undo("chmod", f"{mode:o}", str(path))
    path.chmod(wanted)


def _folders(site: Site) -> Iterator[Repair]:
    """Folders that the configuration names and nobody else would make."""
    config = site.config.tools.settings.get("shell")
    if not isinstance(config, ShellConfig) or not config.enabled:
        return
    for name in (config.workdir, *config.writable):
        if name is not None and not Path(name).exists():
            yield Repair(id="shell", what=f"mkdir -p {name}", do=partial(_make_folder, Path(name)))


def _make_folder(path: Path, kept: Keepsakes) -> None:
    kept.undo("rmdir", str(path))
    path.mkdir(mode=0o700, parents=True)


# --- the unit ------------------------------------------------------------------------------------------------


def _units(site: Site) -> Iterator[Repair]:
    scopes: tuple[Scope, ...] = ("system", "user")
    for scope in scopes:
        wanted = _wanted_unit(site, scope)
        if wanted is not None and os.access(wanted.unit.path.parent, os.W_OK):
            reload = f"systemctl {'--user ' if scope == 'user' else ''}daemon-reload"
            what = f"write {wanted.unit.path} as this version has it (then: {reload})"
            yield Repair(id="unit", what=what, do=partial(_write_unit, wanted))


def _wanted_unit(site: Site, scope: Scope) -> Units | None:
    """Return the files for an installed unit that differs, None when all is well or nothing is installed."""
    command = Path(sys.executable).parent / "clawd"
    path = str(site.config_path) if site.config_path else None
    made = []
    for config in dict.fromkeys((site.config_named, path, None)):
        with suppress(UnitError):
            wanted = units(scope, command=command, config=config, environ=site.environ, root=site.host.root)
            made.append((config, wanted))
    present = made[0][1].unit.present if made else None
    if present is None or any(present == wanted.unit.text for _, wanted in made):
        return None
    # It goes on with the configuration that it names.
    named = [wanted for config, wanted in made if config is not None and config in present]
    return (named or [wanted for config, wanted in made if config is None])[0]


def _write_unit(wanted: Units, kept: Keepsakes) -> None:
    if (old := write_unit(wanted.unit)) is not None:
        kept.undo("mv", str(old), str(wanted.unit.path))


# --- only while no daemon runs ------------------------------------------------------------------------------


def _is_free(site: Site) -> bool:
    try:
        StateLock.take(site.state_dir).release()
    except (JournalLocked, OSError):
        return False
    return site.status is None


@contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Hold the lock; raises JournalLocked if a daemon was started since."""
    lock = StateLock.take(site.state_dir)
    try:
        yield
    finally:
        lock.release()


def _stale_socket(site: Site) -> Iterator[Repair]:
    try:
        path = paths.socket_path(site.config.state_dir, site.environ)
    except ConfigError:
        return
    if path.is_socket() and _refuses(path):

        def remove(_: Keepsakes) -> None:
            with _alone(site):
                if _refuses(path):
                    path.unlink()

        yield Repair(id="socket", what=f"rm {path}, left from a daemon that died", do=remove)


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            return probe.connect_ex(str(path)) == errno.ECONNREFUSED
        except TimeoutError:
            return False


def _leftovers(site: Site) -> Iterator[Repair]:
    """What a process that was killed was writing: nothing reads it again."""
    state = site.state_dir
    names = [state / Path(name).with_suffix(".new") for name in (MARK, TOKEN_FILE)]
    names += sorted((state / FOLDER).glob(f"**/*{PARTIAL}*"))
    names += [path for path in sorted((state / "chat").glob("cursor-*.*")) if _writer_is_gone(path)]
    for path in names:
        if path.is_file() and not any(part.startswith("doctor-") for part in path.parts):
            what = f"put {path} away, which nobody finished"

            def put_away(kept: Keepsakes, path: Path = path) -> None:
                with _alone(site):
                    kept.move(path)

            yield Repair(id="leftovers", what=what, do=put_away)


def _writer_is_gone(path: Path) -> bool:
    found = _CURSOR.fullmatch(path.name)
    return found is not None and not (Path("/proc") / found[1]).exists()


def _log(site: Site, most_bytes: int) -> Iterator[Repair]:
    """A write-ahead log without end is put into the database, if that is whole and there is room for a copy."""
    path = site.state_dir / FILE
    try:
        size = path.with_name(f"{FILE}-wal").stat().st_size
        if size <= most_bytes or site.host.disk(site.state_dir)[1] < _ROOM * (path.stat().st_size + size):
            return
        with closing(connect_to_read(path)) as db:
            if highest(db) < (Mark(site.state_dir).read() or 0):
                return  # its end is missing: what is left belongs to clawd doctor --salvage
    except (OSError, sqlite3.Error):
        return

    def checkpoint(kept: Keepsakes) -> None:
        with _alone(site):
            write_backup(path, kept.place(FILE))
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    what = f"put the {size >> 20} MB of the write-ahead log into {path}, after a backup"
    yield Repair(id="wal", what=what, do=checkpoint)
