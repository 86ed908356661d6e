"""Who holds a TCP port of this host."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LISTENS: Final = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process behind a socket."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there already; an address that can't be used for another reason counts as free."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def holder_of_port(port: int, proc: Path = Path("/proc")) -> Holder | None:
    """Return who listens on a TCP port of this host, None when that can't be seen (another user's process).

    Source: proc_net_tcp: local_address is ADDRESS:PORT in hexadecimal, state 0A listens, the tenth field is the inode.
    """
    inodes = set(_listening(port, proc))
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        try:
            links = set(_open_in(process))
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # gone by now, or another user's
        if not inodes.isdisjoint(links):
            return Holder(pid=int(process.name), name=name)
    return None


def _open_in(process: Path) -> Iterator[str]:
    with os.scandir(process / "fd") as entries:
        for entry in entries:
            try:
                yield os.readlink(entry.path)  # noqa: PTH115 - thousands of them
            except OSError:
                continue  # closed by now, which says nothing of the others


def _listening(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
