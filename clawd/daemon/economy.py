"""What a process does to stay small; `profile: edge` asks for it. Each step's worth stands in docs/edge.md."""

from __future__ import annotations

import ctypes
import gc
import logging
from typing import Final

log = logging.getLogger(__name__)

# Source: mallopt(3) and glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_ARENA_MAX: Final = -8
_TRIM_BYTES: Final = 128 * 1024
# A third of Python's own: what a turn leaves behind in circles is found before the next needs new memory. What was
# there at the start is frozen, so that a whole collection looks at little.
_COLLECT: Final = (200, 3, 3)


def economise() -> None:
    """Spend CPU of the start for memory: no second heap for threads, and no garbage until it is ready.

    The start runs without a garbage collector; what its imports have left is most of what there is to find.
    """
    gc.collect()
    gc.enable()
    gc.set_threshold(*_COLLECT)
    library = ctypes.CDLL(None)
    try:
        mallopt = library.mallopt
    except AttributeError:  # not glibc: musl has one heap and no such knob
        log.debug("no_mallopt")
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
