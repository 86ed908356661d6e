"""Where checks that ask others put what they found: what is expected and did not come yet is known as well."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from clawd.cli.checks.site import warn

if TYPE_CHECKING:
    from clawd.cli.checks.site import Finding


class Board:
    """Findings in the order of their ids' first mention; written by one thread and read by another."""

    def __init__(self) -> None:
        self._found: dict[str, list[Finding]] = {}
        self._fixes: dict[str, str] = {}  # of what is expected
        self._lock = threading.Lock()

    def expect(self, id_: str, fix: str) -> None:
        """Something is asked; `fix` helps when no answer comes."""
        with self._lock:
            self._found.setdefault(id_, [])
            self._fixes[id_] = fix

    def tell(self, finding: Finding) -> None:
        """Put up a finding, which is also an answer."""
        with self._lock:
            self._found.setdefault(finding.id, []).append(finding)

    def silent(self, id_: str) -> None:
        """There is nothing to tell of it after all."""
        with self._lock:
            self._fixes.pop(id_, None)

    def findings(self, waited_s: float) -> list[Finding]:
        """Return what there is; what is expected and did not come was waited for so long."""
        with self._lock:
            found = []
            for id_, findings in self._found.items():
                if findings:
                    found += findings
                elif id_ in self._fixes:
                    found.append(warn(id_, f"no answer within {waited_s:.1f} s", self._fixes[id_]))
            return found
