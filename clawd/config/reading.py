"""Reads a configuration file and what it includes into one tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clawd.config.nodes import Entries, Entry, Items, KeyPath, Mark, Node, Scalar, key_text
from clawd.config.stamps import Stamp, stamp
from clawd.config.yamlfile import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clawd.config.problems import Problems


class Reader:
    """Reads files and remembers which; `stamps` has those read and those missed, in order."""

    def __init__(self, problems: Problems, locate: Callable[[str, Path], Path]) -> None:
        """`locate` makes an absolute path of a written one and the folder of the file that says it."""
        self._problems = problems
        self._locate = locate
        self.stamps: dict[Path, Stamp] = {}

    def read(self, path: Path) -> Entries | None:
        """Return the merged tree, None when the file itself can't be used."""
        return self._read(path, None, ())

    def _read(self, path: Path, named_at: Mark | None, chain: tuple[Path, ...]) -> Entries | None:
        self.stamps.setdefault(path, stamp(path))
        try:
            root = read_yaml(path, self._problems)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            if named_at:
                self._problems.add(named_at, ("include",), f"can't read {path}: {reason}")
            else:
                self._problems.add_file(path, f"can't be read: {reason}")
            return None
        include = root.entries.pop("include", None) if root else None
        for name, mark in self._includes(include):
            other = self._locate(name, path.parent)
            if other in (*chain, path):
                self._problems.add(mark, ("include",), f"{other} includes itself, by way of {path}")
                continue
            part = self._read(other, mark, (*chain, path))
            if root and part:
                root = self._merge(root, part, ())
        return root

    def _includes(self, entry: Entry | None) -> Iterator[tuple[str, Mark]]:
        if entry is None:
            return
        for node in entry.node.items if isinstance(entry.node, Items) else (entry.node,):
            if isinstance(node, Scalar) and isinstance(node.value, str):
                yield node.value, node.mark
            else:
                self._problems.add(node.mark, ("include",), "expected a file name or a list of them")

    def _merge(self, first: Entries, second: Entries, path: KeyPath) -> Entries:
        entries = dict(first.entries)
        for key, entry in second.entries.items():
            mine = entries.get(key)
            if mine is None or _is_nothing(mine.node):
                entries[key] = entry
            elif isinstance(mine.node, Entries) and isinstance(entry.node, Entries):
                entries[key] = Entry(mine.mark, self._merge(mine.node, entry.node, (*path, key)))
            elif not _is_nothing(entry.node):
                where = f"{key_text((*path, key))!r} is set twice, first at {mine.mark}"
                self._problems.add(entry.mark, (*path, key), where)
        return Entries(first.mark, entries)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
