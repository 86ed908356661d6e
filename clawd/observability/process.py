"""What Linux tells of this process, under the names that Prometheus' client libraries use."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.observability import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.observability.metrics import Family

_PROC: Final = Path("/proc")
_UTIME, _STIME, _STARTED, _VSIZE, _RSS = (
    11,
    12,
    19,
    20,
    21,
)  # of proc(5), `stat`, behind the name in parentheses


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """Sizes in bytes, times in seconds."""

    cpu_s: float
    started_s: float  # since 1970
    virtual_bytes: int
    resident_bytes: int
    open_fds: int
    max_fds: int

    def families(self) -> Sequence[Family]:
        """Return them as metrics."""
        return (
            names.CPU.number(self.cpu_s),
            names.RESIDENT.number(self.resident_bytes),
            names.VIRTUAL.number(self.virtual_bytes),
            names.STARTED.number(self.started_s),
            names.OPEN_FDS.number(self.open_fds),
            names.MAX_FDS.number(self.max_fds),
        )


def read_process() -> ProcessFacts | None:
    """Return the facts of now, None where the system does not tell; reads files."""
    try:
        line = (_PROC / "self" / "stat").read_text(encoding="ascii", errors="replace")
        open_fds = sum(1 for _ in (_PROC / "self" / "fd").iterdir())
        boot_s = _boot_s()
    except OSError:
        return None
    fields = line.rpartition(")")[2].split()  # the name may hold spaces and parentheses
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessFacts(
        cpu_s=(int(fields[_UTIME]) + int(fields[_STIME])) / ticks,
        started_s=boot_s + int(fields[_STARTED]) / ticks,
        virtual_bytes=int(fields[_VSIZE]),
        resident_bytes=int(fields[_RSS]) * os.sysconf("SC_PAGE_SIZE"),
        open_fds=open_fds,
        max_fds=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


@cache
def _boot_s() -> float:
    """Return when the machine was started; raises OSError. Once: the line moves when the clock is set."""
    for line in (_PROC / "stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise OSError("no btime in /proc/stat")
