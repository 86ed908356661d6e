"""A process that has used up its file descriptors."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing for the length of the `with` block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208 - /proc
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    gaps: list[int] = []
    try:
        try:
            while True:
                gaps.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        yield
    finally:
        for gap in gaps:
            os.close(gap)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
