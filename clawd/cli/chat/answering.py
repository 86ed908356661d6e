"""The open question of a chat: which words answer it, and what is told once it is settled. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from clawd.cli.questions import WORDS

if TYPE_CHECKING:
    from datetime import datetime

    from clawd.cli.questions import Question

Word = Literal["approve", "always", "deny"]

_ANSWERS: Final[dict[str, Word]] = {
    "y": "approve",
    "yes": "approve",
    "a": "always",
    "always": "always",
    "n": "deny",
    "no": "deny",
}
_DONE: Final[dict[Word, str]] = {
    "approve": "approved once",
    "always": "approved, and from now on without a question",
    "deny": "denied",
}


class Answering:
    """Knows what is asked just now, and whether a word on it was given here."""

    def __init__(self) -> None:
        self.question: Question | None = None
        """What waits for a word; None while nothing does."""
        self._said: Literal["", "answer", "message"] = ""

    def asked(self, question: Question) -> None:
        """A turn began to wait."""
        self.question, self._said = question, ""

    def word(self, text: str) -> Word | None:
        """Return the answer that a typed line is, None when it is a message, or nothing is asked."""
        return _ANSWERS.get(text.strip().lower()) if self.question is not None else None

    def said(self, text: str) -> None:
        """A line goes out from here: an answer, a command such as /approve, or a message, which means no."""
        answers = self.word(text) is not None or text.lstrip().startswith("/")
        self._said = "answer" if answers else "message"

    def acted(self) -> None:
        """What is done from here settles the question, and is told by itself."""
        self._said = "answer"

    def unsaid(self) -> None:
        """It did not arrive."""
        self._said = ""

    def settled(self, question: Question, now: datetime) -> str:
        """Forget a question that waits no more; return what to tell about it, empty for nothing."""
        if self.question is None or self.question.id != question.id:
            return ""
        self.question = None
        if self._said:
            return "" if self._said == "answer" else "that was taken as no"  # an answer has its own receipt
        return "no answer in time, which is a no" if not question.left_s(now) else "settled elsewhere"


def done(word: Word) -> str:
    """Return what was done with an answer."""
    return _DONE[word]


def how_here(question: Question) -> str:
    """Return how to answer at the keyboard, and until when."""
    return f"{WORDS} · {question.left()} left, then no"


def how_elsewhere(question: Question, program: str) -> str:
    """Return how to answer by another command."""
    return (
        f"allow it within {question.left()}: {program} approvals approve {question.id}\n"
        f"or refuse it: {program} approvals deny {question.id}"
    )
