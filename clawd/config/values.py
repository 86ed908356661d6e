"""Turns marked nodes into plain values: secrets are fetched, variables filled in."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clawd.config.base import Text
from clawd.config.nodes import Entries, Items, KeyPath, Mark, Node, PlainValue, Scalar, key_text
from clawd.config.stamps import Stamp, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.presets import Addition
    from clawd.config.problems import Problems

MAX_SECRET_BYTES: Final = 64 * 1024
_REFERENCES: Final = frozenset({"env", "file", "credential"})
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Stands for a value that could not be had; the problem is noted, so nothing is built of it.
MISSING: Final = "unavailable"


class Values:
    """Resolves the values of one configuration.

    Afterwards `origins` tells for each key where its value is from, `secrets` holds what must never be printed, `stamps`
    the secret files that were read or missed, and `notes` what is allowed but not wise.
    """

    def __init__(self, environ: Mapping[str, str], home: Path, problems: Problems) -> None:
        self._environ = environ
        self._home = home
        self._problems = problems
        self.origins: dict[str, str] = {}
        self.secrets: list[str] = []
        self.stamps: dict[Path, Stamp] = {}
        self.notes: list[str] = []

    def plain(self, node: Node, path: KeyPath = ()) -> PlainValue:
        """Return the node's value; strings are `Text`, so that they keep their origin."""
        match node:
            case Entries():
                # Right below the root there are only sections: `logging: {file: …}` is no reference.
                reference = self._reference(node, path) if len(path) > 1 else None
                if reference is not None:
                    return reference
                return {key: self.plain(entry.node, (*path, key)) for key, entry in node.entries.items()}
            case Items(items=items):
                return [self.plain(item, (*path, index)) for index, item in enumerate(items)]
            case Scalar(mark=mark, value=str() as value):
                return self._fill_in(value, mark, path)
            case Scalar(mark=mark, value=value):
                self.origins[key_text(path)] = f"{mark.path}:{mark.line}"
                return value

    def variable(self, name: str) -> str | None:
        """Return what a variable of the environment holds; None when it is not set, or only white space."""
        return self._environ.get(name, "").strip() or None

    def add(self, path: KeyPath, addition: Addition, mark: Mark) -> PlainValue:
        """Return a value that the files do not say as if they did, and note where it comes from.

        Args:
            path: Its key.
            addition: The value and its origin.
            mark: The place in the files that led to it.
        """
        value = addition.value
        if addition.secret and isinstance(value, str):
            self.secrets.append(value)
        if isinstance(value, str):
            return self._text(value, mark, path, addition.origin)
        self._trace(path, value, addition.origin)
        return value

    def _trace(self, path: KeyPath, value: PlainValue, origin: str) -> None:
        parts = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, part in parts:
            self._trace((*path, key), part, origin)
        if not parts:
            self.origins[key_text(path)] = origin

    def _fill_in(self, value: str, mark: Mark, path: KeyPath) -> Text:
        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "${"
            if not _NAME.fullmatch(name):
                self._problems.add(
                    mark, path, f"${{{name}}} is not the name of a variable; write $${{ for a plain ${{"
                )
                return MISSING
            found = self._environ.get(name)
            if not found:
                self._problems.add(
                    mark,
                    path,
                    f"the variable {name} is {'empty' if found == '' else 'not set'}",
                    remedy=f"set {name}",
                )
                return MISSING
            return found

        return self._text(_VARIABLE.sub(replace, value), mark, path, f"{mark.path}:{mark.line}")

    def _reference(self, node: Entries, path: KeyPath) -> Text | None:
        if len(node.entries) != 1:
            return None
        ((kind, entry),) = node.entries.items()
        if (
            kind not in _REFERENCES
            or not isinstance(entry.node, Scalar)
            or not isinstance(entry.node.value, str)
        ):
            return None
        mark, name = entry.node.mark, entry.node.value
        if kind == "env":
            value, origin = self._from_environ(name, mark, path), f"environment {name}"
        elif kind == "file":
            file = (
                self._home.joinpath(*Path(name).parts[1:])
                if name.startswith("~/")
                else Path(mark.path).parent / name
            )
            value, origin = self._from_file(file, mark, path), f"file {file}"
        else:
            value, origin = self._from_credential(name, mark, path), f"credential {name}"
        if value != MISSING:
            self.secrets.append(value)
        return self._text(value, mark, path, origin)

    def _text(self, value: str, mark: Mark, path: KeyPath, origin: str) -> Text:
        self.origins[key_text(path)] = origin
        return Text(value, folder=Path(mark.path).parent, home=self._home, origin=origin)

    def _from_environ(self, name: str, mark: Mark, path: KeyPath) -> str:
        value = self._environ.get(name)
        if not value:
            state = "empty" if value == "" else "not set"
            remedy = f"set {name}, or use {{file: PATH}}"
            self._problems.add(mark, path, f"no value: the variable {name} is {state}", remedy=remedy)
            return MISSING
        return value

    def _from_credential(self, name: str, mark: Mark, path: KeyPath) -> str:
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if not folder or "/" in name or name in ("", ".", ".."):
            why = "CREDENTIALS_DIRECTORY is not set" if not folder else f"{name!r} is not a credential's name"
            remedy = f"add LoadCredential={name}:/path/to/file to the systemd unit"
            self._problems.add(mark, path, f"no value: {why}", remedy=remedy)
            return MISSING
        return self._from_file(Path(folder) / name, mark, path, check_mode=False)

    def _from_file(self, file: Path, mark: Mark, path: KeyPath, *, check_mode: bool = True) -> str:
        self.stamps.setdefault(file, stamp(file))
        try:
            mode = file.stat().st_mode
            raw = _read_head(file) if stat.S_ISREG(mode) else b""
            value = raw.decode("utf-8").strip()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            self._problems.add(mark, path, f"no value: can't read {file}: {reason}")
            return MISSING
        except UnicodeDecodeError:
            self._problems.add(mark, path, f"no value: {file} is not UTF-8 text")
            return MISSING
        if not value or len(raw) > MAX_SECRET_BYTES:
            reason = "too large" if value else "empty" if stat.S_ISREG(mode) else "not a regular file"
            self._problems.add(mark, path, f"no value: {file} is {reason}")
            return MISSING
        if check_mode and mode & (stat.S_IRGRP | stat.S_IROTH):
            self.notes.append(f"{file} holds a secret and others may read it; chmod 600 {file}")
        return value


def _read_head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_SECRET_BYTES + 1)
