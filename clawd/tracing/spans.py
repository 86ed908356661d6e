"""A span as it leaves: names of the conventions, ids that follow from what it tells of, times in nanoseconds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | int | float | bool | tuple[str, ...]
Role = Literal["internal", "client"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSpan:
    """One span."""

    trace_id: bytes  # 16
    span_id: bytes  # 8
    parent_id: bytes = b""  # empty: the root
    name: str
    role: Role = "internal"
    start_ns: int  # since 1970
    end_ns: int  # not before the start
    attributes: Mapping[str, Value]
    failed: bool = False
    message: str = ""  # what went wrong, with content alone


def trace_id_of(identifier: str) -> bytes:
    """Return the trace of a turn, or of a delivery that no turn made: always the same."""
    return hashlib.sha256(f"clawd trace {identifier}".encode()).digest()[:16]


def span_id_of(identifier: str, key: str) -> bytes:
    """Return the id of the span with this key in that trace: always the same."""
    return hashlib.sha256(f"clawd span {identifier} {key}".encode()).digest()[:8]


def to_ns(moment: datetime) -> int:
    """Return nanoseconds since 1970 UTC; exact."""
    return (moment - _EPOCH) // _MICROSECOND * 1000
