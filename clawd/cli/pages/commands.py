"""docs/commands.md: every command and option. `python -m clawd.cli.pages.commands > docs/commands.md`.

Made from the signatures that Typer reads; docs/cli.md tells how commands behave.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_type_hints

from typer.models import OptionInfo, ParameterInfo

from clawd.cli import root
from clawd.cli.lazy import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import typer

_HEAD: Final = """# Every command

[The command line](cli.md) tells how commands behave; this is the list, as `--help` has it. It is made from
the code: `python -m clawd.cli.pages.commands > docs/commands.md`.

| command | |
|---|---|
"""
_KINDS: Final = {int: "NUMBER", float: "NUMBER", Path: "PATH"}


class _Parameter(NamedTuple):
    name: str
    kind: Any
    info: ParameterInfo
    default: Any  # inspect.Parameter.empty: it is needed

    @property
    def is_option(self) -> bool:
        return isinstance(self.info, OptionInfo)


def page() -> str:
    """Return the page."""
    return "".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for entry in COMMANDS:
        yield f"| [`clawd {entry.name}`](#clawd-{entry.name}) | {entry.help} |\n"
    yield "\n## In front of the command\n"
    yield from _table(_parameters(root.root))
    for entry in COMMANDS:
        app: typer.Typer = importlib.import_module(entry.module).app
        yield from _group(f"clawd {entry.name}", app, entry.help)


def _group(path: str, app: typer.Typer, text: str) -> Iterator[str]:
    """Yield a command, or a group with its commands: a single one without a name stands for the group itself."""
    commands = [
        (each.name or each.callback.__name__, each.callback)
        for each in app.registered_commands
        if each.callback
    ]
    if len(commands) == 1 and app.registered_callback is None:
        yield from _command(path, commands[0][1], level=2)
        return
    yield f"\n## {path}\n\n{text}\n"
    for name, callback in sorted(commands, key=lambda each: each[0]):
        yield from _command(f"{path} {name.replace('_', '-')}", callback, level=3)


def _command(path: str, callback: Callable[..., Any], *, level: int) -> Iterator[str]:
    parameters = _parameters(callback)
    arguments = [_usage(each) for each in parameters if not each.is_option]
    options = ["[OPTIONS]"] if any(each.is_option for each in parameters) else []
    yield f"\n{'#' * level} {path}\n\n{' '.join((callback.__doc__ or '').split())}\n"
    yield f"\n```\n{' '.join([path, *options, *arguments])}\n```\n"
    yield from _table(parameters)


def _parameters(callback: Callable[..., Any]) -> list[_Parameter]:
    hints = get_type_hints(callback, include_extras=True)
    found = []
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, *extras = get_args(hints[name]) or (hints[name],)
        info = next((each for each in extras if isinstance(each, ParameterInfo)), None)
        if info is not None and not info.hidden:
            found.append(_Parameter(name, kind, info, parameter.default))
    return found


def _table(parameters: list[_Parameter]) -> Iterator[str]:
    if parameters:
        yield "\n| | |\n|---|---|\n"
    for each in parameters:
        yield f"| `{_cell(_forms(each))}` | {_cell(_text(each))} |\n"


def _base(kind: Any) -> Any:
    """Return the type of one value: of an option that may be missing, or that is given several times."""
    inner = [each for each in get_args(kind) if each is not NoneType]
    return _base(inner[0]) if inner else kind


def _several(parameter: _Parameter) -> bool:
    return getattr(parameter.kind, "__origin__", None) is list


def _usage(parameter: _Parameter) -> str:
    """Return an argument as a usage line has it."""
    name = f"{_title(parameter)}{'...' if _several(parameter) else ''}"
    return name if parameter.default is inspect.Parameter.empty else f"[{name}]"


def _title(parameter: _Parameter) -> str:
    return (parameter.info.metavar or parameter.name.upper()).removesuffix("...").strip("[]")


def _forms(parameter: _Parameter) -> str:
    """Return an option with its forms, and what it takes; an argument's name."""
    if not parameter.is_option:
        return _title(parameter)
    # Within `Annotated` Typer has the first form in the default's place.
    given = (parameter.info.default, *(parameter.info.param_decls or ()))
    forms = [each for each in given if isinstance(each, str)]
    shown = ", ".join(sorted(forms or [f"--{parameter.name.replace('_', '-')}"], key=len))
    base = _base(parameter.kind)
    if base is bool:
        return shown.replace("/", " / ")
    choices = (
        "|".join(each.value for each in base) if isinstance(base, type) and issubclass(base, Enum) else ""
    )
    return f"{shown} {parameter.info.metavar or choices or _KINDS.get(base, 'TEXT')}"


def _text(parameter: _Parameter) -> str:
    """Return what a parameter is for, and its default where that says something."""
    words = " ".join((parameter.info.help or "").split())
    default: Any = parameter.default
    if isinstance(parameter.info.show_default, str):
        return f"{words} Default: {parameter.info.show_default}."
    if default is inspect.Parameter.empty or default in (None, False, True, "", []):
        return words
    return f"{words} Default: `{default.value if isinstance(default, Enum) else default}`."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


if __name__ == "__main__":
    main()
