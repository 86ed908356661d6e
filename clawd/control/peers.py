"""Who is at the other end of a Unix socket, by the kernel's word."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid. Source: unix(7), SO_PEERCRED
_SO_PEERGROUPS = 59  # Linux 4.13, not named by Python. Source: asm-generic/socket.h
_MAX_GROUPS = 4096


class PeerSocket(Protocol):
    """A connected Unix socket: Python's own or the one a transport shows."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process that connected, as it was when it did."""

    pid: int
    uid: int
    groups: frozenset[int]  # primary and further ones

    def may_enter(self, gid: int | None) -> bool:
        """Whether it is of our user, root, or a member of group `gid` where one may come in."""
        return self.uid in (0, os.geteuid()) or (gid is not None and gid in self.groups)


def peer_of(sock: PeerSocket) -> Peer:
    """Return who connected; raises OSError when the socket is gone or not a Unix socket."""
    pid, uid, gid = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return Peer(pid=pid, uid=uid, groups=frozenset({gid, *_further_groups(sock)}))


def _further_groups(sock: PeerSocket) -> tuple[int, ...]:
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MAX_GROUPS)
    except OSError:
        return ()  # a kernel that can't tell: the primary group must do
    return struct.unpack(f"{len(data) // 4}I", data)
