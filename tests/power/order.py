"""Whether what was said to the outside was on the disk when it was said: pure, over recorded system calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Sequence

    from tests.power.strace import Call

_FRAME_HEADER: Final = 24  # bytes; at 4 the size of the database after a commit, 0 within one


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Words to the outside, and what has to be on the disk before them."""

    name: str
    committed: re.Pattern[bytes]  # found in a page of the write-ahead log
    said: re.Pattern[bytes]  # found in what goes to a socket or a pipe


def violations(calls: Sequence[Call], promises: Iterable[Promise]) -> list[str]:
    """Return a sentence for each promise that was given too early, or never: what was not seen proves nothing."""
    found = (_violation(calls, promise) for promise in promises)
    return [sentence for sentence in found if sentence]


def _violation(calls: Sequence[Call], promise: Promise) -> str:
    said = next((c for c in calls if c.leaves and promise.said.search(c.data)), None)
    if said is None:
        return f"{promise.name}: never said"
    log = [c for c in calls if c.path.endswith("-wal") and c.name in ("pwrite64", "fdatasync", "fsync")]
    at = next(
        (n for n, c in enumerate(log) if c.name == "pwrite64" and promise.committed.search(c.data)), None
    )
    if at is None:
        return f"{promise.name}: said, and never in the log"
    commit = _commit(log, at)
    if commit is None:
        return f"{promise.name}: said, and its transaction never ended"
    synced = next((c for c in log if c.name != "pwrite64" and c.began > commit.ended), None)
    if synced is None:
        return f"{promise.name}: said at {said.began}, and the log was never synced after {commit.ended}"
    if said.began < synced.ended:
        return f"{promise.name}: said at {said.began}, on the disk at {synced.ended}"
    return ""


def _commit(log: Sequence[Call], at: int) -> Call | None:
    """Return the write of the page that ends the transaction of the page at `at`."""
    for header, page in zip(log[max(at - 1, 0) :], log[max(at, 1) :], strict=False):
        if len(header.data) == _FRAME_HEADER and any(header.data[4:8]) and page.name == "pwrite64":
            return page
    return None
