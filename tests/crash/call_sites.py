"""The commits and fault points in clawd's source, found by reading it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import clawd

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE: Final = Path(clawd.__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A place where something is handed to the writer."""

    where: str  # FILE:FUNCTION
    labels: frozenset[str]  # literal ones
    labelled: bool  # literally, or by the kinds of records


def commits() -> list[Commit]:
    """Return every `store.write(…)` and `store.post(…)` outside the store itself."""
    found: list[Commit] = []
    for name, function, node in _calls():
        if name.startswith("store/") or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value).rpartition(".")[2]
        asked_for = node.func.attr in ("write", "post") and owner in ("store", "_store")
        # The journal's own way to the writer, by the clock as it is set; that one hands its labels on.
        handed_on = name == "journal/sqlite.py" and node.func.attr == "_write"
        if function == "_write" or not (asked_for or handed_on):
            continue
        kinds = next((word.value for word in node.keywords if word.arg == "kinds"), None)
        literals = _strings(kinds) if isinstance(kinds, ast.Tuple) else frozenset()
        found.append(Commit(where=f"{name}:{function}", labels=literals, labelled=kinds is not None))
    return found


def points() -> dict[str, str]:
    """Return every `fault("…")` with its name in full, by name, and where it stands."""
    return {
        argument.value: f"{name}:{function}"
        for name, function, node in _calls()
        if ast.unparse(node.func).rpartition(".")[2] == "fault"
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def commit_statements() -> set[str]:
    """Return the files that say COMMIT to the database themselves."""
    return {
        name
        for name, _, node in _calls()
        if any(isinstance(argument, ast.Constant) and argument.value == "COMMIT" for argument in node.args)
        or ast.unparse(node.func).endswith("db.commit")
    }


@cache
def _calls() -> tuple[tuple[str, str, ast.Call], ...]:
    return tuple(_all_calls())


def _all_calls() -> Iterator[tuple[str, str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from _within(tree, name, "module")


def _within(node: ast.AST, name: str, function: str) -> Iterator[tuple[str, str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(child, ast.Call):
            yield name, function, child
        yield from _within(child, name, inner)


def _strings(node: ast.Tuple) -> frozenset[str]:
    return frozenset(
        item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
    )
