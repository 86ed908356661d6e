"""Slash commands: text in, what is meant out. Pure; every door uses the same ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from clawd.messages import COMMAND_NAMES
from clawd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

# A path such as /usr/bin is not a command: after the name comes white space or the end.
_COMMAND = re.compile(r"/([A-Za-z][A-Za-z0-9_]{0,31})(?:@\w+)?(?:\s+(.*))?", re.DOTALL)
_BOT = re.compile(r"\A@\w+")
_WORD = re.compile(r"[A-Za-z0-9_]")

NAMES: Final = COMMAND_NAMES


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
class Alerts:
    """Answered at once, for owners alone; `request` is what stood behind it."""

    request: str


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
    """A message: None asks which one is in use; "default" unpins; `strict`: no other takes over."""

    name: str | None
    strict: bool = False


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

Command = Stop | Answer | Query | Alerts | UnknownCommand | InPlace


def parse(text: str, prefixes: Collection[str] = ()) -> Command | None:
    """Return the command in a message, None when it is something for the model.

    Args:
        text: The message.
        prefixes: Of routes, such as /think: they look like commands and are none.
    """
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
        case "alerts":
            return Alerts(rest)
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
            return _choice(rest)
        case "lang":
            return ChooseLanguage(rest.lower() or None)
        case _:
            if any(behind_prefix(text, prefix) is not None for prefix in prefixes):
                return None
            known = (*NAMES, *(prefix[1:] for prefix in prefixes if prefix.startswith("/")))
            near = nearest(name, known)
            return UnknownCommand(name, near[0] if near else None)


def is_in_place(text: str) -> bool:
    """Whether a message that was let in is a command: all others are answered by a model."""
    return isinstance(parse(text), InPlace)


def behind_prefix(text: str, prefix: str) -> str | None:
    """Return what follows a prefix at the beginning of a text, None where it does not stand there.

    Upper and lower case are the same. A prefix that ends in a Latin letter, a digit or _ ends with the
    word; one that looks like a command may carry the name of a bot: /think@clawd_bot.
    """
    text = text.strip()
    if text[: len(prefix)].lower() != prefix.lower():
        return None
    rest = text[len(prefix) :]
    if prefix.startswith("/"):
        rest = _BOT.sub("", rest)
    if rest and _WORD.match(prefix[-1]) and _WORD.match(rest):
        return None
    return rest.strip()


def _choice(rest: str) -> ChooseModel:
    name, _, last = rest.rpartition(" ")
    if name and last.lower() == "strict":
        return ChooseModel(name.strip(), strict=True)
    return ChooseModel(rest or None)
