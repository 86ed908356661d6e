"""What people say in the endurance run, what the model makes of it, and what they expect back."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Final, Literal

from tests.crash.words import position
from tests.fakes.openai_api import Reply
from tests.soak.plugin import known

if TYPE_CHECKING:
    from tests.fakes.openai_api import Seen

Kind = Literal["plain", "long", "slow", "tool", "careful"]

SHARES: Final[dict[Kind, float]] = {"plain": 0.72, "long": 0.1, "slow": 0.01, "tool": 0.15, "careful": 0.02}
_TOOLS: Final[dict[str, str]] = {"tool": "look_up", "careful": "careful"}
_SAID: Final = re.compile(r"m(\d+) (\w+)")
_ANSWER: Final = re.compile(r"(?:word ){0,40}answer to m(\d+)")


def choose_kind(dice: random.Random) -> Kind:
    """Return a kind of turn, in its share."""
    return dice.choices(list(SHARES), list(SHARES.values()))[0]


def said(number: int, kind: Kind) -> str:
    """Return the message with this number."""
    return f"m{number} {kind}"


def answered(text: str) -> int | None:
    """Return the number of the message that a text answers as a whole; None for any other text."""
    match = _ANSWER.fullmatch(text)
    return int(match[1]) if match else None


class Model:
    """Chooses the replies, and looks whether tools told what they should."""

    def __init__(self) -> None:
        self.strange: list[str] = []

    def choose(self, seen: Seen) -> Reply:
        """Return the reply to a request."""
        text, step, results = position(seen.body["messages"])
        match = _SAID.fullmatch(text)
        if match is None:  # such as a summary
            return Reply(chunks=["They talked."])
        word, kind = f"m{match[1]}", match[2]
        if kind in _TOOLS:
            if step == 0:
                call = {"id": f"call-{word}", "name": _TOOLS[kind], "arguments": json.dumps({"word": word})}
                return Reply(text="", tool_calls=[call], tool_fragment=100)
            if [result for _, result in results] != [known(word)]:
                self.strange.append(f"the model was told {results} about {word}")
        if kind == "long":
            return Reply(chunks=[*["word word "] * 20, f"answer to {word}"])
        if kind == "slow":
            return Reply(chunks=[*["word "] * 4, f"answer to {word}"], chunk_delay_s=0.4)
        return Reply(chunks=[f"answer to {word}"])
