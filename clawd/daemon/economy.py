"""What a process does to stay small; `profile: edge` asks for it. Each step's worth stands in docs/edge.md."""

from __future__ import annotations

import ctypes
import logging
from typing import Final

log = logging.getLogger(__name__)

# Source: mallopt(3) and glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_ARENA_MAX: Final = -8
_TRIM_BYTES: Final = 128 * 1024


def economise() -> None:
    """Let all threads share one heap, and have what is freed at its end go back to the system."""
    library = ctypes.CDLL(None)
    try:
        mallopt = library.mallopt
    except AttributeError:  # not glibc: musl has one heap and no such knob
        log.debug("no_mallopt")
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
