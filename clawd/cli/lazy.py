"""Commands that are imported when they are called, so that the others start in a blink."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

_COMPLETION = frozenset({"install_completion", "show_completion"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of the program: `module` has a Typer `app`, a single command or a group of them."""

    name: str
    help: str
    module: str


COMMANDS = (
    Entry("start", "Start the daemon, here or in the background.", "clawd.cli.start"),
    Entry("stop", "Stop the daemon and wait until it is gone.", "clawd.cli.stop"),
    Entry("restart", "Stop the daemon and start it again.", "clawd.cli.restart"),
    Entry("reload", "Load the configuration again.", "clawd.cli.reload"),
    Entry("status", "Show the daemon at a glance.", "clawd.cli.status"),
    Entry("health", "Tell by the exit code whether the daemon works.", "clawd.cli.health"),
    Entry("chat", "Talk to clawd.", "clawd.cli.chat"),
    Entry("send", "Push a text to a chat, without a turn.", "clawd.cli.send"),
    Entry("tail", "Follow a conversation.", "clawd.cli.tail"),
    Entry("logs", "Show the daemon's log.", "clawd.cli.logs"),
    Entry("trace", "Show the path of one message.", "clawd.cli.trace"),
    Entry("init", "Write a first configuration.", "clawd.cli.init"),
    Entry("doctor", "Check this installation.", "clawd.cli.doctor"),
    Entry("config", "Check and show the configuration.", "clawd.cli.config"),
    Entry("models", "List and test models.", "clawd.cli.models"),
    Entry("bridges", "List and test bridges, and log in.", "clawd.cli.bridges"),
    Entry("pair", "Let people in, and out again.", "clawd.cli.pair"),
    Entry("tokens", "Create, list and revoke tokens of the gateway.", "clawd.cli.tokens"),
    Entry("conversations", "List, show, export, reset and delete conversations.", "clawd.cli.conversations"),
    Entry("turns", "List, cancel and retry turns.", "clawd.cli.turns"),
    Entry("approvals", "List and answer what turns wait to be allowed.", "clawd.cli.approvals"),
    Entry("dead", "List, resubmit and drop what was given up.", "clawd.cli.dead"),
    Entry("alerts", "List, test and silence alerts.", "clawd.cli.alerts"),
    Entry("journal", "Look after the journal.", "clawd.cli.journal"),
    Entry("backup", "Copy the journal into one file.", "clawd.cli.backup"),
    Entry("restore", "Put a backup in the journal's place.", "clawd.cli.restore"),
    Entry("usage", "Show what models used and cost.", "clawd.cli.usage"),
    Entry("service", "Install the systemd unit.", "clawd.cli.service"),
    Entry("help", "Show what a command does and takes.", "clawd.cli.help"),
    Entry("version", "Print the version.", "clawd.cli.version_command"),
)


def _stand_in() -> None:
    """Never runs: `LazyGroup` puts the real command in its place."""


def register(app: typer.Typer) -> None:
    """Give the program a stand-in for every command: enough for help, completion and "did you mean"."""
    for entry in COMMANDS:
        app.command(entry.name, help=entry.help)(_stand_in)


class LazyGroup(TyperGroup):
    """A group whose commands are imported once one of them is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that was asked for, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        entry = next((entry for entry in COMMANDS if entry.name == name), None)
        return name, command if entry is None else load(entry), rest


def load(entry: Entry) -> Any:
    """Return the real command behind an entry."""
    command = get_command(importlib.import_module(entry.module).app)
    # Completion is installed for the whole program, not for each of its parts.
    command.params = [param for param in command.params if param.name not in _COMPLETION]
    command.name = entry.name
    command.help = command.help or entry.help
    return command


def command_app() -> typer.Typer:
    """Return an app for a module with one command or with several; plain help, no rich at start-up."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
