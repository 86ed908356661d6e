"""What only the kernel can say: is the clock kept, which sandboxes are there, who holds a port?"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512  # struct timex has 208, and is never longer
_LANDLOCK_CREATE_RULESET: Final = 444  # the same on every architecture
_LANDLOCK_VERSION: Final = 1
_LISTENS: Final = "0A"


def synchronized() -> bool | None:
    """Return whether the kernel holds its clock for synchronised, None where it does not say.

    Source: adjtimex(2); with `modes` 0 it changes nothing and needs no right.
    """
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def landlock_abi() -> int:
    """Return the version of Landlock, 0 without it. Source: landlock_create_ruleset(2)."""
    try:
        found = ctypes.CDLL(None).syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    except (OSError, AttributeError):
        return 0
    return max(int(found), 0)


def namespaces_forbidden(proc: Path) -> str:
    """Return the setting that keeps users from making namespaces, empty when none does."""
    for name, forbids in (
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),  # Debian's own
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),  # Ubuntu's own
    ):
        try:
            value = (proc / "sys" / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == forbids:
            return f"{name.replace('/', '.')}={value}"
    return ""


def process_age_s(proc: Path = Path("/proc")) -> float:
    """Return for how long this process has been there, its start included. Source: proc_pid_stat(5), field 22."""
    try:
        fields = (proc / "self" / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process behind a socket."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def holder_of_port(port: int, proc: Path) -> Holder | None:
    """Return who listens on a TCP port of this host, None when that can't be seen (another user's process).

    Source: proc_net_tcp: local_address is ADDRESS:PORT in hexadecimal, state 0A listens, the tenth field is the inode.
    """
    inodes = set(_listening(port, proc))
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        try:
            with os.scandir(process / "fd") as entries:
                links = [os.readlink(entry.path) for entry in entries]  # noqa: PTH115 - thousands of them
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # gone by now, or another user's
        if any(link in inodes for link in links):
            return Holder(pid=int(process.name), name=name)
    return None


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
