"""The commands with their options and arguments, as data: a shell asks too often to import them.

`commands.json` beside this file is written by `python -m clawd.cli.completion`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TREE_FILE: Final = Path(__file__).with_name("commands.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What a word may be: one of `choices`, or what the daemon knows under `kind` (see `names.py`)."""

    choices: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option, under all its names; a flag has no value."""

    names: tuple[str, ...]
    help: str
    value: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command or group. The last argument is taken for all further words when `repeats`."""

    help: str = ""
    options: tuple[Option, ...] = ()
    arguments: tuple[Value, ...] = ()
    repeats: bool = False
    commands: Mapping[str, Command] = field(default_factory=dict)

    def option(self, name: str) -> Option | None:
        """Return the option of that name."""
        return next((option for option in self.options if name in option.names), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a command line ends: what its last word, `begun`, may become."""

    command: Command
    value: Value | None  # of an argument, or of the option in front
    begun: str
    prefix: str = ""  # `--state=` in front of the value, part of the same word
    takes_options: bool = True
    given: Mapping[str, str] = field(default_factory=dict)  # global options with a value


def load_tree() -> Command:
    """Return the whole command line."""
    return _command(json.loads(TREE_FILE.read_bytes()))


def locate(root: Command, words: Sequence[str]) -> Position | None:
    """Return where the last of these words stands; None where nothing is known about it.

    Args:
        root: The program.
        words: What is behind `clawd`; the last one, maybe empty, is the one to complete.
    """
    *done, begun = words or [""]
    command, nth, open_option, only_words = root, 0, "", False
    given: dict[str, str] = {}
    for word in done:
        if open_option:
            given[open_option] = word
            open_option = ""
        elif word == "--" and not only_words:
            only_words = True
        elif word.startswith("-") and word != "-" and not only_words:
            name, equals, text = word.partition("=")
            option = command.option(name)
            if option is not None and option.value is not None and equals:
                given[name] = text
            elif option is not None and option.value is not None:
                open_option = name
        elif command.commands:
            if word not in command.commands:
                return None
            # What is explained is typed as it would be called.
            command = root if command is root and word == "help" else command.commands[word]
        else:
            nth += 1
    if open_option:
        option = command.option(open_option)
        value = option.value if option else None
        return Position(command=command, value=value, begun=begun, takes_options=False, given=given)
    if begun.startswith("--") and "=" in begun and not only_words:
        name, _, begun = begun.partition("=")
        option = command.option(name)
        value = option.value if option else None
        return Position(command=command, value=value, begun=begun, prefix=f"{name}=", given=given)
    return Position(
        command=command,
        value=_argument(command, nth),
        begun=begun,
        takes_options=not only_words,
        given=given,
    )


def _argument(command: Command, nth: int) -> Value | None:
    if nth < len(command.arguments):
        return command.arguments[nth]
    return command.arguments[-1] if command.arguments and command.repeats else None


def _command(data: dict[str, Any]) -> Command:
    return Command(
        help=data.get("help", ""),
        options=tuple(
            Option(
                names=tuple(option["names"]),
                help=option.get("help", ""),
                value=_value(option["value"]) if "value" in option else None,
            )
            for option in data.get("options", ())
        ),
        arguments=tuple(_value(value) for value in data.get("arguments", ())),
        repeats=data.get("repeats", False),
        commands={name: _command(child) for name, child in data.get("commands", {}).items()},
    )


def _value(data: dict[str, Any]) -> Value:
    return Value(choices=tuple(data.get("choices", ())), kind=data.get("kind", ""))
