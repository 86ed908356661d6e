"""Makes the tree of commands that completion reads, and says which of their words the daemon knows."""

from __future__ import annotations

import json
from typing import Any, Final

from clawd.cli.checks.catalogue import ABOUT as CHECKS
from clawd.cli.lazy import COMMANDS, load
from clawd.cli.root import program

ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "alerts silence": ("alert_rule",),
    "approvals approve": ("approval",),
    "approvals deny": ("approval",),
    "bridges login": ("bridge",),
    "bridges restart": ("bridge",),
    "bridges test": ("bridge",),
    "conversations delete": ("conversation",),
    "conversations export": ("conversation",),
    "conversations reset": ("conversation",),
    "conversations show": ("conversation",),
    "dead drop": ("dead",),
    "dead resubmit": ("dead",),
    "models test": ("model",),
    "pair approve": ("pairing",),
    "pair revoke": ("principal",),
    "send": ("address",),
    "tail": ("conversation",),
    "tokens revoke": ("token",),
    "trace": ("turn",),
    "turns cancel": ("open_turn",),
    "turns retry": ("turn",),
}
"""Kinds of names (`names.py`) by command, in the order of its arguments; further ones have none."""

OPTIONS: Final[dict[str, str]] = {
    "alerts silence --end": "silence",
    "approvals list --conversation": "conversation",
    "chat --conversation": "own_conversation",
    "chat --model": "model",
    "doctor --only": "check",
    "logs --bridge": "bridge",
    "logs --conversation": "address",
    "logs --model": "model",
    "logs --turn": "turn",
    "turns list --conversation": "conversation",
}
"""The same for the value of an option."""

_ABOUT: Final = 72  # characters of help that fit beside a word


def tree_text() -> str:
    """Return the text of `commands.json`: the whole command line without what is hidden."""
    root = program()
    tree = _described(root, "")
    for entry in COMMANDS:
        tree["commands"][entry.name] = _described(load(entry), entry.name) | {"help": _short(entry.help)}
    return json.dumps(tree, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _described(command: Any, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {"help": _short(command.help)} if path else {}
    visible = [param for param in command.params if not getattr(param, "hidden", False)]
    options = [_option(param, path) for param in visible if param.param_type_name == "option"]
    found["options"] = [*options, {"names": ["-h", "--help"], "help": "Show what there is to say."}]
    arguments = [param for param in visible if param.param_type_name == "argument"]
    if arguments:
        kinds = ARGUMENTS.get(path, ())
        found["arguments"] = [
            _value(param, kinds[nth] if nth < len(kinds) else "") for nth, param in enumerate(arguments)
        ]
        if arguments[-1].nargs == -1:
            found["repeats"] = True
    children = getattr(command, "commands", {})
    if children:
        found["commands"] = {
            name: _described(child, f"{path} {name}".strip()) if path else {}
            for name, child in children.items()
            if not child.hidden
        }
    return found


def _option(param: Any, path: str) -> dict[str, Any]:
    names = [*param.opts, *param.secondary_opts]
    found: dict[str, Any] = {"names": names, "help": _short(param.help)}
    if not param.is_flag and not param.count:
        kind = next((kind for name in names if (kind := OPTIONS.get(f"{path} {name}"))), "")
        found["value"] = _value(param, kind)
    return found


def _value(param: Any, kind: str) -> dict[str, Any]:
    # Typer's own answer: which attribute holds the choices has changed from one version to the next.
    choices = [item.value for item in param.shell_complete(None, "") if item.type == "plain"]
    if kind == "check":  # of this version, whatever the daemon's is
        return {"choices": list(CHECKS)}
    if choices:
        return {"choices": choices}
    return {"kind": kind} if kind else {}


def _short(text: str | None) -> str:
    """Return the first sentence, on one line."""
    line = " ".join((text or "").split("\n\n")[0].split())
    sentence = line.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= _ABOUT else f"{sentence[: _ABOUT - 1]}…"
