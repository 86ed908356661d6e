"""The small language of the load: what users say, what the model answers, and how both are recognised."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK: Final = "(may be a repeat)"

_ANSWER = re.compile(r"answer to (?P<word>\S+): (?P<token>tok\d+x) over and out")
_UNIQUE = re.compile(r"\b(?:tok|rcp)\d+x\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user's message asks for: `WORD [do STEP…] [slow]`, a step being tools joined by `+`."""

    word: str
    steps: tuple[tuple[str, ...], ...] = ()
    slow: bool = False  # the answer comes in pieces

    @property
    def text(self) -> str:
        """The message."""
        steps = ["do", *("+".join(kinds) for kinds in self.steps)] if self.steps else []
        return " ".join([self.word, *steps, *(["slow"] if self.slow else [])])

    @classmethod
    def parse(cls, text: str) -> Wish:
        """Return what a message asks for."""
        word, *rest = text.split()
        slow = "slow" in rest
        steps = [tuple(item.split("+")) for item in rest if item not in ("do", "slow")]
        return cls(word=word, steps=tuple(steps), slow=slow)


def answer_text(word: str, token: str) -> str:
    """Return the model's last words about a message."""
    return f"answer to {word}: {token} over and out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer on show."""

    word: str
    token: str
    marked: bool


def whole_answer(text: str) -> Answer | None:
    """Return the answer that a text is; None for unfinished text and for anything else."""
    marked = text.startswith(f"{MARK}\n")
    match = _ANSWER.fullmatch(text.removeprefix(f"{MARK}\n"))
    return Answer(word=match["word"], token=match["token"], marked=marked) if match else None


def answered_word(text: str) -> str | None:
    """Return the word of the message that a text answers as a whole."""
    answer = whole_answer(text)
    return answer.word if answer else None


def is_part(text: str) -> bool:
    """Whether a text may be the unfinished preview of an answer."""
    return text.endswith(" …") and "answer to ".startswith(text.removesuffix(" …")[:10])


def uniques(messages: Any) -> frozenset[str]:
    """Return all tokens and receipts that a request holds."""
    return frozenset(_UNIQUE.findall(json.dumps(messages)))


def position(messages: list[Mapping[str, Any]]) -> tuple[str, int, tuple[tuple[str, str], ...]]:
    """Return the message being answered, the number of responses behind it, and its tool results."""
    last = max(n for n, message in enumerate(messages) if message["role"] == "user")
    after = messages[last + 1 :]
    step = sum(message["role"] == "assistant" for message in after)
    results = tuple((str(m["tool_call_id"]), str(m["content"])) for m in after if m["role"] == "tool")
    content = messages[last]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return text, step, results
