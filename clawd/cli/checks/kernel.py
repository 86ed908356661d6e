"""What only the kernel can say: is the clock kept, which sandboxes are there?"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Final

_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512  # struct timex has 208, and is never longer
_LANDLOCK_CREATE_RULESET: Final = 444  # the same on every architecture
_LANDLOCK_VERSION: Final = 1


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
