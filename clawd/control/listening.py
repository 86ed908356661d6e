"""A listening Unix socket: who is in the way, who may connect, what is left behind."""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

from clawd.errors import EXIT_LOCKED, ControlError

SYSTEM_DIRECTORY = Path("/run/clawd")
GROUP = "clawd"

PATH_BYTES = 107
"""Greatest length of a socket's path. Source: unix(7), sun_path has 108 bytes with its NUL."""

_PROBE_S = 1.0
_BACKLOG = 128


class SocketInUse(ControlError):
    """Something alive listens at our path."""

    code = "E-SOCKET"
    exit_code = EXIT_LOCKED


def group_of(path: Path) -> str | None:
    """Return the group whose members may use this socket: `clawd` for the system's, None for a user's."""
    return GROUP if path.is_relative_to(SYSTEM_DIRECTORY) else None


def listen(path: Path, group: str | None) -> socket.socket:
    """Return a socket that listens at `path`, mode 0600, or 0660 for the group.

    A socket that a dead daemon left is removed; blocks for up to a second while it is probed.

    Raises:
        SocketInUse: somebody answers there.
        ControlError: the path is too long, is something else than a socket, or can't be made.
    """
    if len(os.fsencode(path)) > PATH_BYTES:
        raise ControlError(
            "the control socket's path is too long",
            where=str(path),
            why=f"{len(os.fsencode(path))} bytes, a socket's path has at most {PATH_BYTES}",
            remedy="choose a shorter state_dir, or set XDG_RUNTIME_DIR",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _clear(path)
        return _bind(path, group)
    except OSError as error:
        raise ControlError(
            "the control socket can't be made", where=str(path), why=error.strerror or str(error)
        ) from error


def unlink_own(path: Path, inode: int) -> None:
    """Remove the socket file if it is still ours: a successor may have put its own there."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass  # somebody tidied up before us


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(
            "something else stands where the control socket belongs",
            where=str(path),
            why="the file is not a socket",
            remedy=f"move it away: mv {path} {path}.old",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # nobody listens: its owner died
            return
        except FileNotFoundError:
            return
        except TimeoutError:
            pass  # a full backlog: alive, however slow
    raise SocketInUse(
        "another process listens on the control socket",
        where=str(path),
        why="it accepts connections",
        remedy="clawd status, or clawd stop",
    )


def _bind(path: Path, group: str | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mask keeps others out from the first instant; a chmod after the bind would leave a gap.
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
        if group is not None:
            _share(path, group)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


def _share(path: Path, group: str) -> None:
    gid = gid_of(group)
    if gid is None:
        return  # without the group there is nobody to share with
    if path.stat().st_gid != gid:
        os.chown(path, -1, gid)
    path.chmod(0o660)


def gid_of(group: str) -> int | None:
    """Return the group's number, None when this host has no such group."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
