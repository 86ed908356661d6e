"""A configuration file as a tree whose every part knows its place."""

from __future__ import annotations

from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
ScalarValue = str | int | float | bool | None
PlainValue = ScalarValue | list["PlainValue"] | dict[str, "PlainValue"]
"""What is written, without its places."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a number, true, false or nothing."""

    mark: Mark
    value: ScalarValue


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a section; `mark` is the key's place."""

    mark: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Entries:
    """A section: keys in the order of the file."""

    mark: Mark
    entries: dict[str, Entry]


Node = Scalar | Items | Entries


def describe(node: Node) -> str:
    """Return what the node is in plain words, without its value."""
    match node:
        case Entries():
            return "a section"
        case Items():
            return "a list"
        case Scalar(value=bool() as value):
            return "true" if value else "false"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=str()):
            return "text"
        case Scalar():
            return "a number"


def key_text(path: KeyPath) -> str:
    """Return the path as people write it: `bridges.telegram.token`, `models[0].name`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def height(node: Node) -> int:
    """Return how many levels lie below the node; 0 for a scalar."""
    if isinstance(node, Scalar):
        return 0
    below = node.items if isinstance(node, Items) else tuple(entry.node for entry in node.entries.values())
    return 1 + max((height(part) for part in below), default=0)


def find(root: Node, path: KeyPath) -> tuple[KeyPath, Node, Mark]:
    """Return the deepest part of the tree on this path: its own path, the node, and its key's place.

    Parts that the tree does not have are passed over: pydantic puts the names of union members into its paths.
    """
    node, mark, reached = root, root.mark, list[str | int]()
    for part in path:
        if isinstance(node, Entries) and part in node.entries:
            entry = node.entries[str(part)]
            node, mark = entry.node, entry.mark
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            mark = node.mark
        else:
            continue
        reached.append(part)
    return tuple(reached), node, mark


def place_of(root: Node, path: KeyPath) -> Mark:
    """Return the place of the value on this path, or of its key where the value is a list or a section."""
    _, node, mark = find(root, path)
    return node.mark if isinstance(node, Scalar) else mark
