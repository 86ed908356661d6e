"""Slash commands: text in, what is meant out. Pure; every door uses the same ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

# A path such as /usr/bin is not a command: after the name comes white space or the end.
_COMMAND = re.compile(r"/([A-Za-z][A-Za-z0-9_]{0,31})(?:@\w+)?(?:\s+(.*))?", re.DOTALL)

NAMES: Final = (
    "new",
    "stop",
    "retry",
    "undo",
    "compact",
    "approve",
    "deny",
    "model",
    "lang",
    "status",
    "usage",
    "help",
    "start",
)


@dataclass(frozen=True, slots=True)
class Stop:
    """A control: ends what is running now, takes no place in the queue."""


@dataclass(frozen=True, slots=True)
class Approve:
    """A control: yes to the open question; `always` lets later calls pass too, "" for exactly this one."""

    always: str | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """A control: no to the open question."""


@dataclass(frozen=True, slots=True)
class Query:
    """Answered at once, without a turn."""

    what: Literal["status", "usage", "help", "welcome"]


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """Answered at once with the nearest name; never shown to a model."""

    name: str
    nearest: str | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A message: the next session of the conversation begins."""


@dataclass(frozen=True, slots=True)
class ChooseModel:
    """A message: None asks which one is in use; "default" unpins."""

    name: str | None


@dataclass(frozen=True, slots=True)
class ChooseLanguage:
    """A message: None asks which one is in use."""

    tag: str | None


@dataclass(frozen=True, slots=True)
class Retry:
    """A message: the last one is asked again, its answer forgotten."""


@dataclass(frozen=True, slots=True)
class Undo:
    """A message: the last exchange is forgotten."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A message: a summary stands for the session from here on."""


InPlace = NewSession | ChooseModel | ChooseLanguage | Retry | Undo | Compact
"""Commands that are messages: they keep their place in the conversation; `Retry` and `Compact` need a model."""

Answer = Approve | Deny

Command = Stop | Answer | Query | UnknownCommand | InPlace


def parse(text: str) -> Command | None:
    """Return the command in a message, None when it is something for the model."""
    match = _COMMAND.fullmatch(text.strip())
    if match is None:
        return None
    name, rest = match[1].lower(), (match[2] or "").strip()
    match name:
        case "stop":
            return Stop()
        case "status" | "usage" | "help":
            return Query(name)
        case "start":
            return Query("welcome")
        case "approve":
            word, _, pattern = rest.partition(" ")
            return Approve(always=pattern.strip() if word.lower() == "always" else None)
        case "deny":
            return Deny()
        case "new":
            return NewSession()
        case "retry":
            return Retry()
        case "undo":
            return Undo()
        case "compact":
            return Compact()
        case "model":
            return ChooseModel(rest or None)
        case "lang":
            return ChooseLanguage(rest.lower() or None)
        case _:
            near = get_close_matches(name, NAMES, n=1)
            return UnknownCommand(name, near[0] if near else None)
