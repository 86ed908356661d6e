"""What to do when memory is refused: a process that has none left ends, for the next start makes it whole.

Nothing else is safe. Without memory the loop forgets wake-ups, sends fail before they begin and locks are
never made; such a daemon answers nobody and yet looks alive. A crash loses nothing that was acknowledged.
"""

from __future__ import annotations

import os
from typing import Final

from clawd.errors import EXIT_FAILED

RESERVE_BYTES: Final = 16 << 20  # what a daemon that goes on must be able to get
_LAST_WORDS: Final = b"clawd crashed: no memory is left; start it again\n"  # made now, while there is some


def end_if_exhausted(error: BaseException | None) -> None:
    """End this process at once, exit code 1, if `error` is a MemoryError and memory is gone for good.

    Returns for every other error, and where it was only one request that was too large.
    """
    if not isinstance(error, MemoryError):
        return
    try:
        bytearray(RESERVE_BYTES)
    except MemoryError:
        os.write(2, _LAST_WORDS)
        os._exit(EXIT_FAILED)
