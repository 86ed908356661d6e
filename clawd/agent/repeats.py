"""Calls that a model repeats although nothing comes of it: counted, and refused. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.journal.records import ToolDone
    from clawd.response import ToolCall

SAME_RESULTS: Final = 3
"""After so many equal results of a call, with no call in between that is new in the turn, it is not run again."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """What became of one call, however often it was asked for."""

    results: Mapping[bytes, int] = field(default_factory=dict)  # how often each came
    refused: int = 0

    @property
    def enough(self) -> bool:
        """Whether the same call is not run again."""
        return max(self.results.values(), default=0) >= SAME_RESULTS

    @property
    def insisted(self) -> bool:
        """Whether it was asked for again although its model had been told that it is not run again."""
        return self.enough and self.refused > 1

    def after(self, done: ToolDone) -> Repeats:
        """Return them with one more end."""
        if done.outcome == "skipped":
            return replace(self, refused=self.refused + 1)
        text = sha256(f"{done.outcome}\0{done.text}".encode(errors="surrogatepass")).digest()
        return replace(self, results={**self.results, text: self.results.get(text, 0) + 1})


def key_of(call: ToolCall) -> bytes:
    """Return what is equal for calls that ask for the same, however their JSON is written."""
    try:
        arguments = json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):  # no JSON, or deeper than anybody reads: as the model wrote it
        arguments = call.arguments
    return sha256(f"{call.name}\0{arguments}".encode(errors="surrogatepass")).digest()
