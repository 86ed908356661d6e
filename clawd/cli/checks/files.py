"""Who may read and write what is ours, and is there room for it on a disk that can be trusted?"""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.site import Finding, fail, ok, warn
from clawd.cli.launching import LOG_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

LEAST_BYTES: Final = 50 << 20
ENOUGH_BYTES: Final = 500 << 20
LEAST_INODES: Final = 1_000
ENOUGH_INODES: Final = 10_000

# Where locks, mmap or fsync do not hold what SQLite and flock need.
_NETWORK: Final = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    ]
)
_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_FREELY: Final = frozenset({"workspace"})  # the shell tool's: what is made there is its commands' business
MOST_ENTRIES: Final = 20_000  # that are looked at
_OWN: Final = "set state_dir to a directory of your own on a disk that can be written"
_TOLD: Final = 5  # files that get a line each


def check_permissions(site: Site) -> Iterator[Finding]:
    """Nobody else reads conversations and secrets, nobody else writes the configuration."""
    check = "permissions"
    found = [*_config_files(site, check), *_state_files(site, check)]
    made = "belongs to you alone" if _mode(site.state_dir) is not None else "is not made yet"
    yield from found or [ok(check, f"{site.state_dir} {made}")]


def _config_files(site: Site, check: str) -> Iterator[Finding]:
    for file in site.loaded.files if site.loaded else ():
        mode = _mode(file)
        if mode is None or not mode & _OTHERS_WRITE:
            continue
        if site.loaded and any(shows_secret(note) == file for note in site.loaded.notes):
            evidence = f"others may change {file}, and read the secret in it (mode {mode:o})"
            yield fail(check, evidence, f"chmod 600 {file}")
        else:
            yield fail(check, f"others may change {file} (mode {mode:o})", f"chmod go-w {file}")


def shows_secret(note: str) -> Path | None:
    """Return the file that a note of the configuration is about, where that says that others may read a secret there."""
    file, found, _ = note.partition(" holds a secret and others may read it")
    return Path(file) if found else None


def others_may_change(file: Path) -> bool:
    """Whether anybody but its user may write a file."""
    return bool((_mode(file) or 0) & _OTHERS_WRITE)


def _state_files(site: Site, check: str) -> Iterator[Finding]:
    mode = _mode(site.state_dir)
    if mode is None:
        yield from _not_makeable(site, check)
        return
    owner = site.state_dir.stat().st_uid
    if not site.state_dir.is_dir():
        yield fail(check, f"{site.state_dir} is not a directory", f"mv {site.state_dir} {site.state_dir}.old")
        return
    if site.host.read_only(site.state_dir):
        evidence = f"{site.state_dir} can't be written: its file system is read-only"
        yield fail(check, evidence, "set state_dir to a disk that can be written")
        return
    if owner != os.geteuid() and os.geteuid() != 0:
        if site.status is None and not site.host.writable(site.state_dir):  # a daemon of ours could not start
            evidence = f"{site.state_dir} can't be written by you: it belongs to uid {owner}"
            yield fail(check, evidence, f"{_OWN}, or run clawd as its owner")
            return
        yield warn(
            check,
            f"{site.state_dir} belongs to uid {owner}, you are {os.geteuid()}",
            f"sudo -u '#{owner}' clawd doctor",
        )
        return
    if not site.host.writable(site.state_dir):
        yield fail(
            check, f"{site.state_dir} can't be written (mode {mode:o})", f"chmod u+rwx {site.state_dir}"
        )
    if mode & _OTHERS_WRITE:
        yield fail(
            check, f"others may write into {site.state_dir} (mode {mode:o})", f"chmod 700 {site.state_dir}"
        )
    # A directory that nobody else may enter protects its files whatever their own mode is.
    closed = not (_mode(site.state_dir) or 0) & (stat.S_IXGRP | stat.S_IXOTH)
    tell = warn if closed else fail
    open_ones, foreign = _loose(site.state_dir, owner)
    for path, mode in open_ones[:_TOLD]:
        yield tell(check, f"others may use {path} (mode {mode:o})", f"chmod {wanted_mode(mode):o} {path}")
    if (count := len(open_ones) - _TOLD) > 0:
        yield tell(check, f"others may use {count} more below {site.state_dir}", "clawd doctor --fix")
    for path, uid in foreign[:1]:
        evidence = f"{path} belongs to uid {uid}, the directory to uid {owner}"
        more = f" ({len(foreign) - 1} more like it)" if len(foreign) > 1 else ""
        yield fail(
            check, f"{evidence}{more}: the daemon may not write it", f"sudo chown -R {owner} {site.state_dir}"
        )


def _not_makeable(site: Site, check: str) -> Iterator[Finding]:
    """Tell when a state directory that is not there can't be made either."""
    above = _nearest(site.state_dir)
    if not above.is_dir():
        yield fail(check, f"{site.state_dir} can't be made: {above} is not a directory", _OWN)
    elif site.host.read_only(above):
        yield fail(check, f"{site.state_dir} can't be made: the file system at {above} is read-only", _OWN)
    elif not site.host.writable(above):
        mine = above.stat().st_uid == os.geteuid()
        fix = f"chmod u+rwx {above}" if mine else _OWN
        yield fail(check, f"{site.state_dir} can't be made: you may not write into {above}", fix)


def _loose(folder: Path, owner: int) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """Return what others may use, with its mode, and what is another user's, with that one's number."""
    found = list(islice(below(folder), MOST_ENTRIES))
    loose = [(path, stat.S_IMODE(s.st_mode)) for path, s in found if stat.S_IMODE(s.st_mode) & _OTHERS]
    return loose, [(path, s.st_uid) for path, s in found if s.st_uid != owner]


def below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files and folders of a state directory that are clawd's own, with their status, in order of names."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue  # gone by now
        if stat.S_ISDIR(status.st_mode):
            if entry.name not in _FREELY:
                yield Path(entry.path), status
                yield from below(Path(entry.path))
        elif stat.S_ISREG(status.st_mode):  # links and sockets have no mode of their own, or another check
            yield Path(entry.path), status


def wanted_mode(mode: int) -> int:
    """Return a mode without what others may do."""
    return mode & ~_OTHERS & 0o7777


def check_disk(site: Site) -> Iterator[Finding]:
    """There is room for the journal: without it nothing is acknowledged any more; and for the log, if that is elsewhere."""
    places = [_nearest(site.state_dir)]
    log = site.state_dir / LOG_NAME
    if log.is_symlink() and (behind := _nearest(log.resolve())) not in places:
        places.append(behind)
    for place in places:
        yield _room(site, place)


def _room(site: Site, place: Path) -> Finding:
    check = "disk"
    total, free = site.host.disk(place)
    nodes, free_nodes = site.host.inodes(place)
    evidence = f"{free >> 20} MB of {total >> 20} MB free at {place}"
    if nodes and free_nodes < ENOUGH_INODES:
        evidence += f", {free_nodes} of {nodes} files more can be made"
    if free < LEAST_BYTES or (nodes and free_nodes < LEAST_INODES):
        return fail(check, evidence, "free some space: messages are refused while the disk is full")
    if free < ENOUGH_BYTES or (nodes and free_nodes < ENOUGH_INODES):
        return warn(check, evidence, "free some space soon")
    return ok(check, evidence)


def check_file_system(site: Site) -> Iterator[Finding]:
    """The state directory is on a local disk."""
    check = "file_system"
    kind, mount = file_system(_nearest(site.state_dir), site.host.mounts())
    evidence = f"{site.state_dir} is on {kind or 'an unknown file system'} ({mount})"
    if kind in _NETWORK:
        yield fail(
            check, f"{evidence}: locks over a network are not reliable", "set state_dir to a local disk"
        )
    elif kind in _MEMORY:
        yield warn(check, f"{evidence}: a restart of the host forgets it", "set state_dir to a disk")
    else:
        yield ok(check, evidence)


def file_system(path: Path, mountinfo: str) -> tuple[str, Path]:
    """Return type and mount point of the file system that holds `path`. Source: proc_pid_mountinfo(5)."""
    best, kind = Path("/"), ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and after:
            point = Path(fields[4].encode().decode("unicode_escape"))  # \040 is a space
            # A later line hides an earlier one at the same point.
            if path.resolve().is_relative_to(point) and len(point.parts) >= len(best.parts):
                best, kind = point, after.split()[0]
    return kind, best


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    return next(place for place in (path, *path.parents) if _mode(place) is not None)


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
