"""Reads one YAML file into a tree of marked nodes, without trusting it.

The parser's events are used rather than its objects: they carry places, show duplicate keys, and let depth and size
be capped before anything is built. Scalars follow YAML 1.2's core schema plus yes/no/on/off: no dates, no base 60, and
digits with a leading zero stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml
from yaml import events as ev

from clawd.config.nodes import Entries, Entry, Items, Mark, Node, Scalar, ScalarValue, height

if TYPE_CHECKING:
    from pathlib import Path

    from clawd.config.problems import Problems

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 50_000
MAX_NUMBER_CHARS: Final = 64  # Python refuses to read an integer of more than 4,300 digits

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
# YAML 1.2, c-printable; the parser's own report of such a character has no line.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+)")
_FLOAT = re.compile(r"[-+]?(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][-+]?\d+)?|[-+]?\d[\d_]*\.(?:[eE][-+]?\d+)?")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None,
    "true": True, "yes": True, "on": True,
    "false": False, "no": False, "off": False,
}  # fmt: skip


_NAMES: Final = frozenset({"headers"})  # sections whose keys are names of others, which may begin with x-


class _Stop(Exception):
    """The file can't be read further; the problem is noted."""


def read_yaml(path: Path, problems: Problems) -> Entries | None:
    """Return the file's top section, None when there is none to use; what is wrong is added to `problems`.

    Raises:
        OSError: the file can't be read.
    """
    text = _read_text(path, problems)
    if text is None:
        return None
    problems.quote_from(str(path), text)
    bad = _UNPRINTABLE.search(text)
    if bad:
        mark = _mark_at(path, text, bad.start())
        problems.add(mark, (), f"the character U+{ord(bad[0]):04X} is not allowed in YAML")
        return None
    try:
        root = _Builder(path, text, problems).document()
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        _add_syntax(path, text, error, problems)
        return None
    except yaml.YAMLError as error:
        problems.add_file(path, f"not YAML: {error}")
        return None
    if root is None:
        # An editor that truncates before it writes shows us this for an instant: it must not mean "all defaults".
        problems.add_file(path, "the file is empty", remedy="write {} to take every default")
        return None
    if not isinstance(root, Entries):
        problems.add(root.mark, (), "expected `key: value` lines at the top, not a list or a single value")
        return None
    return root


def _read_text(path: Path, problems: Problems) -> str | None:
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        problems.add_file(
            path, f"the file is larger than {MAX_FILE_BYTES // 1024} KiB", remedy="is it the right file?"
        )
        return None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        problems.quote_from(str(path), raw.decode("utf-8", "replace"))
        mark = _mark_at(path, before, len(before))
        problems.add(mark, (), f"not UTF-8: byte 0x{raw[error.start]:02X}", remedy="save the file as UTF-8")
        return None


def _mark_at(path: Path, text: str, index: int) -> Mark:
    before = text[:index]
    return Mark(str(path), before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _add_syntax(path: Path, text: str, error: yaml.MarkedYAMLError, problems: Problems) -> None:
    place = error.problem_mark or error.context_mark
    mark = Mark(str(path), place.line + 1, place.column + 1) if place else Mark(str(path), 1, 1)
    message = str(error.problem or error.context or "not YAML")
    if error.context and error.context_mark and error.context_mark.line + 1 != mark.line:
        message += f" ({error.context} that began in line {error.context_mark.line + 1})"
    problems.add(
        mark, (), message, remedy=_syntax_remedy("".join(text.splitlines()[mark.line - 1 : mark.line]), mark)
    )


def _syntax_remedy(line: str, mark: Mark) -> str:
    if line[mark.column - 1 : mark.column] == "\t":
        return "indent with spaces, YAML allows no tabs there"
    if "${" in line:
        return "within {…} and […] put text that has ${NAME} in quotes"
    return ""


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    size: int
    height: int


class _Builder:
    """Makes nodes of the parser's events."""

    def __init__(self, path: Path, text: str, problems: Problems) -> None:
        self._path = str(path)
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._problems = problems
        self._anchors: dict[str, _Anchored] = {}
        self._count = 0

    def document(self) -> Node | None:
        """Return the only document's root, None for a file without one."""
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, ev.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "a second document begins here; one file holds one")
            elif not isinstance(event, ev.StreamStartEvent | ev.StreamEndEvent | ev.DocumentEndEvent):
                root = self._node(event, 1)
        if isinstance(root, Scalar) and root.value is None:
            return None
        return root

    def _node(self, event: ev.Event, depth: int, name: str = "") -> Node:
        self._count += 1
        if depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        if self._count > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values")
        if isinstance(event, ev.AliasEvent):
            return self._alias(event, depth)
        before = self._count
        if isinstance(event, ev.MappingStartEvent):
            node: Node = self._section(event, depth, name)
        elif isinstance(event, ev.SequenceStartEvent):
            node = self._list(event, depth)
        elif isinstance(event, ev.ScalarEvent):
            node = self._scalar(event)
        else:
            self._stop(event, "expected a value")
        if event.anchor:
            # Known only when complete, so that a part can't contain itself.
            self._anchors[event.anchor] = _Anchored(node, self._count - before + 1, height(node))
        return node

    def _alias(self, event: ev.AliasEvent, depth: int) -> Node:
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            self._stop(event, f"the alias *{event.anchor} has no complete anchor &{event.anchor} before it")
        # The node is shared here, but whoever reads the tree meets it each time: a bomb is counted before it bursts.
        self._count += anchored.size
        if self._count > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values with this alias")
        if depth + anchored.height > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels with this alias")
        return anchored.node

    def _scalar(self, event: ev.ScalarEvent) -> Scalar:
        mark = self._mark(event)
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._problems.add(mark, (), f"the tag {event.tag} is not supported")
            return Scalar(mark, None)
        plain = event.style is None or event.style == ""
        return Scalar(mark, resolve_plain(event.value) if plain and event.tag is None else event.value)

    def _list(self, start: ev.SequenceStartEvent, depth: int) -> Items:
        mark = self._mark(start)
        self._refuse_tag(start, mark)
        items: list[Node] = []
        for event in self._events:
            if isinstance(event, ev.SequenceEndEvent):
                break
            items.append(self._node(event, depth + 1))
        return Items(mark, tuple(items))

    def _section(self, start: ev.MappingStartEvent, depth: int, name: str = "") -> Entries:
        mark = self._mark(start)
        self._refuse_tag(start, mark)
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for event in self._events:
            if isinstance(event, ev.MappingEndEvent):
                break
            if not isinstance(event, ev.ScalarEvent):
                self._stop(event, "expected a key, not a list or section")
            key, place = str(event.value), self._mark(event)
            node = self._node(next(self._events), depth + 1, key)
            if key == "<<" and not event.style:
                self._merge(node, place, merged)
            elif key in entries:
                first = entries[key].mark
                self._problems.add(place, (), f"the key {key!r} is set twice, first in line {first.line}")
            elif not key.startswith("x-") or name in _NAMES:  # free for notes and for anchors to refer to
                entries[key] = Entry(place, node)
        for key, entry in merged.items():
            entries.setdefault(key, entry)
        return Entries(mark, entries)

    def _merge(self, node: Node, place: Mark, merged: dict[str, Entry]) -> None:
        for part in node.items if isinstance(node, Items) else (node,):
            if not isinstance(part, Entries):
                self._problems.add(place, (), "<<: expected an alias of a section")
                return
            for key, entry in part.entries.items():
                merged.setdefault(key, entry)

    def _refuse_tag(self, event: ev.CollectionStartEvent, mark: Mark) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self._problems.add(mark, (), f"the tag {event.tag} is not supported")

    def _mark(self, event: ev.Event) -> Mark:
        place = event.start_mark
        return Mark(self._path, place.line + 1, place.column + 1) if place else Mark(self._path, 1, 1)

    def _stop(self, event: ev.Event, message: str) -> NoReturn:
        self._problems.add(self._mark(event), (), message)
        raise _Stop


def resolve_plain(text: str) -> ScalarValue:
    """Return what an unquoted scalar means."""
    if text.lower() in _WORDS and text in (text.lower(), text.capitalize(), text.upper()):
        return _WORDS[text.lower()]
    if len(text) > MAX_NUMBER_CHARS:
        return text
    if _INT.fullmatch(text):
        return int(text.replace("_", ""), 0)
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0\d", text):
        return float(text.replace("_", ""))
    return text
