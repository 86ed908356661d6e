"""Who may read and write what is ours, and is there room for it on a disk that can be trusted?"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.cli.checks.site import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clawd.cli.checks.site import Site

LEAST_BYTES: Final = 50 << 20
ENOUGH_BYTES: Final = 500 << 20

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
_OURS: Final = ("clawd.db", "clawd.db-wal", "clawd.db-shm", "clawd.log", "gateway.token", "lock")


def check_permissions(site: Site) -> Iterator[Finding]:
    """Nobody else reads conversations and secrets, nobody else writes the configuration."""
    check = "permissions"
    found = [*_config_files(site, check), *_state_files(site, check)]
    made = "belongs to you alone" if site.state_dir.exists() else "is not made yet"
    yield from found or [ok(check, f"{site.state_dir} {made}")]


def _config_files(site: Site, check: str) -> Iterator[Finding]:
    for file in site.loaded.files if site.loaded else ():
        mode = _mode(file)
        if mode is not None and mode & _OTHERS_WRITE:
            yield fail(check, f"others may change {file} (mode {mode:o})", f"chmod go-w {file}")


def _state_files(site: Site, check: str) -> Iterator[Finding]:
    mode = _mode(site.state_dir)
    if mode is None:
        return
    owner = site.state_dir.stat().st_uid
    if not site.state_dir.is_dir():
        yield fail(check, f"{site.state_dir} is not a directory", f"mv {site.state_dir} {site.state_dir}.old")
        return
    if owner != os.geteuid() and os.geteuid() != 0:
        yield warn(
            check,
            f"{site.state_dir} belongs to uid {owner}, you are {os.geteuid()}",
            f"sudo -u '#{owner}' clawd doctor",
        )
        return
    if not os.access(site.state_dir, os.W_OK | os.X_OK):
        yield fail(
            check, f"{site.state_dir} can't be written (mode {mode:o})", f"chmod u+rwx {site.state_dir}"
        )
    if mode & _OTHERS_WRITE:
        yield fail(
            check, f"others may write into {site.state_dir} (mode {mode:o})", f"chmod 700 {site.state_dir}"
        )
    for name in _OURS:
        file = site.state_dir / name
        mode = _mode(file)
        if mode is not None and mode & _OTHERS:
            # A directory that nobody else may enter protects its files whatever their own mode is.
            closed = not (_mode(site.state_dir) or 0) & (stat.S_IXGRP | stat.S_IXOTH)
            tell = warn if closed else fail
            yield tell(check, f"others may use {file} (mode {mode:o})", f"chmod 600 {file}")


def check_disk(site: Site) -> Iterator[Finding]:
    """There is room for the journal: without it nothing is acknowledged any more."""
    check = "disk"
    place = _nearest(site.state_dir)
    total, free = site.host.disk(place)
    evidence = f"{free >> 20} MB of {total >> 20} MB free at {place}"
    if free < LEAST_BYTES:
        yield fail(check, evidence, "free some space: messages are refused while the disk is full")
    elif free < ENOUGH_BYTES:
        yield warn(check, evidence, "free some space soon")
    else:
        yield ok(check, evidence)


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
    return next(place for place in (path, *path.parents) if place.exists())


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
