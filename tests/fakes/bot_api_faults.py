"""Faults that the fake Bot API commits on request: what goes wrong, at which call, and at which moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

FaultKind = Literal[
    "429",  # Too Many Requests with retry_after
    "429-bare",  # the same without parameters
    "500",
    "502",  # an HTML page, as a proxy writes it
    "401",
    "403",
    "400",
    "404",
    "cut",  # of a download: half of the body, then the end of the connection
    "garbage",  # 200 with a body that is not JSON
    "reset",  # the connection breaks without an answer
    "hang",  # no answer until the client or the server goes away
    "delay",  # answers well, but late
]
When = Literal["before", "after"]  # the side effect


@dataclass(slots=True, kw_only=True)
class Fault:
    """One planned fault; it counts the calls that match and strikes `count` of them from the `nth` on."""

    method: str
    kind: FaultKind
    when: When = "before"
    nth: int = 1
    count: int = 1
    chat: int | None = None
    retry_after: int = 1
    delay_s: float = 0.0
    description: str = ""  # for "400" and "403": the server's words
    seen: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind) or self.when not in get_args(When):
            raise ValueError(f"no such fault: {self.kind} {self.when}")

    def strikes(self, method: str, chat: int | None) -> bool:
        """Count this call if it matches; return whether it is to fail."""
        if self.method not in {method, "*"} or (self.chat is not None and self.chat != chat):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.count

    @property
    def spent(self) -> bool:
        """Whether it will never strike again."""
        return self.seen >= self.nth + self.count - 1


class FaultPlan:
    """All planned faults; the first that matches a call strikes."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Plan one more."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Plan nothing from now on."""
        self._faults.clear()

    def take(self, method: str, chat: int | None) -> Fault | None:
        """Return the fault of this call, if any."""
        struck = next((fault for fault in self._faults if fault.strikes(method, chat)), None)
        self._faults = [fault for fault in self._faults if not fault.spent]
        return struck
