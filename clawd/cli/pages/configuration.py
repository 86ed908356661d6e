"""docs/keys.md: every key of the configuration. `python -m clawd.cli.pages.configuration > docs/keys.md`.

Types, limits and defaults come from the models that validate a configuration, the words from the comments in
config.example.yaml, which a test holds against the same models.
"""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from clawd.config.jsonschema import config_schema
from clawd.plugins import find_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Schema = dict[str, Any]
Path_ = tuple[str, ...]

EXAMPLE: Final = Path(__file__).parents[3] / "config.example.yaml"
_HEAD: Final = """# Every key

What a [configuration](configuration.md) may say; [config.example.yaml](../config.example.yaml) is a file that says all of
it. This page is made from the code: `python -m clawd.cli.pages.configuration > docs/keys.md`.

A *secret* is a text, `{env: NAME}`, `{file: PATH}` or `{credential: NAME}`. Keys whose name ends in `_s` are seconds, in
`_bytes` bytes, in `_usd` US dollars. Keys without a default are needed.
"""
_DEEPEST: Final = 3  # sections within sections
_LINE: Final = re.compile(r"^(?P<indent> *)(?P<item>- )?(?P<key>[A-Za-z0-9_.-]+):(?P<rest>.*)$")
_QUOTED: Final = re.compile(r"\"(?:[^\"\\\\]|\\\\.)*\"|'[^']*'(?=\s*(?:[,}\]#]|$))")
_TRAILING: Final = re.compile(r"(?:^|\s)# (?P<words>.*)$")


class _Row(NamedTuple):
    key: str
    kind: str
    default: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """What the example says: the comment of each key by its path, in the order of the file; lists count from 0."""

    words: Mapping[Path_, str]
    entries: Mapping[tuple[str, str], Sequence[Path_]]  # (`models` or `bridges`, type): its entries' paths

    def of(self, *paths: Path_) -> str:
        """Return the first words that are said of one of these keys."""
        return next((words for path in paths if (words := self.words.get(path))), "")

    def order(self, path: Path_) -> float:
        """Return a key's place in the file; behind all others when it is not there."""
        return next((at for at, each in enumerate(self.words) if each == path), math.inf)


def page(schema: Schema, example: str) -> str:
    """Return the page; `schema` is what `clawd config schema` prints, `example` the text of the example."""
    return "".join(_Pages(schema, read_example(example)).sections()).rstrip() + "\n"


# --- the words --------------------------------------------------------------------------------------------


def read_example(text: str) -> Example:
    """Return the comments of a file like the example: behind a key and below it, or in front of a section."""
    words: dict[Path_, str] = {}
    above: list[str] = []
    path: list[tuple[int, str]] = []
    counted: dict[Path_, int] = {}
    current: Path_ = ()
    for line in text.splitlines():
        stripped = line.strip()
        match = _LINE.match(line)
        if line.startswith("#"):
            above.append(line.lstrip("# "))
            current = ()
        elif stripped.startswith("#"):
            if current:  # the comment behind a key goes on
                words[current] = f"{words[current]} {stripped.lstrip('# ')}".strip()
        elif match is None:
            above = above if stripped else []
        else:
            depth = len(match["indent"])
            path = [each for each in path if each[0] < depth]
            if match["item"]:
                at = tuple(key for _, key in path)
                path.append((depth, str(counted.get(at, 0))))
                counted[at] = counted.get(at, 0) + 1
                depth += 2
            path.append((depth, match["key"]))
            current = tuple(key for _, key in path)
            words.setdefault(current, _behind(match["rest"]) or (" ".join(above) if depth == 0 else ""))
            above = []
    return Example(words, _entries(yaml.safe_load(text)))


def _behind(rest: str) -> str:
    """Return the comment behind a value, which may hold a `#` itself where it is in quotes."""
    found = _TRAILING.search(_QUOTED.sub(lambda match: " " * len(match[0]), rest))
    return rest[found.start("words") :] if found else ""


def _entries(data: dict[str, Any]) -> dict[tuple[str, str], list[Path_]]:
    found: dict[tuple[str, str], list[Path_]] = {}
    for number, entry in enumerate(data.get("models", ())):
        found.setdefault(("models", entry.get("type", "")), []).append(("models", str(number)))
    for name, entry in data.get("bridges", {}).items():
        found.setdefault(("bridges", entry.get("type", name)), []).append(("bridges", name))
    return found


# --- the tables -------------------------------------------------------------------------------------------


class _Pages:
    def __init__(self, schema: Schema, example: Example) -> None:
        self._sections: Mapping[str, Schema] = schema["properties"]
        self._shared: Mapping[str, Schema] = schema["$defs"]
        self._example = example

    def sections(self) -> Iterator[str]:
        yield _HEAD
        plain = [name for name, part in self._sections.items() if not self._is_section(part)]
        yield "\n## At the top\n"
        yield from self._table([row for name in plain for row in self._rows([(name,)], self._sections[name])])
        for name, part in self._sections.items():
            if name in plain:
                continue
            yield f"\n## {name}\n"
            if text := self._example.of((name,)):
                yield f"\n{_escaped(text)}\n"
            yield from self._section(name, part)

    def _section(self, name: str, part: Schema) -> Iterator[str]:
        if name == "models":
            entries = part["items"]["anyOf"]
            typed = {
                each["properties"]["type"]["const"]: each for each in entries if "type" in each["properties"]
            }
            yield from self._kinds(name, typed, "chat")
        elif name == "bridges":
            yield from self._kinds(name, part["properties"], "telegram")
        elif name == "tools":
            own = [key for key, value in part["properties"].items() if "properties" not in value]
            yield from self._table(
                [row for key in own for row in self._rows([(name, key)], part["properties"][key])]
            )
            for key in [key for key in part["properties"] if key not in own]:
                yield f"\n### {key}\n"
                yield from self._keys([(name, key)], part["properties"][key])
        else:
            resolved = self._resolved(part)
            entry = _named(resolved)
            if entry:
                yield f"\nEach entry of `{name}`, by its name:\n"
            first = next((p for p in self._example.words if len(p) == 2 and p[0] == name), (name,))
            yield from self._keys([first if entry else (name,)], self._resolved(entry) if entry else resolved)

    def _kinds(self, name: str, kinds: Mapping[str, Schema], usual: str) -> Iterator[str]:
        """Yield what all types have in common, then each type's own keys."""
        properties = [kind["properties"] for kind in kinds.values()]
        common = [
            key
            for key, part in kinds[usual]["properties"].items()
            if key != "type" and all(each.get(key) == part for each in properties)
        ]
        yield f"\n### Every type: {', '.join(sorted(kinds))}\n"
        yield from self._keys(self._example.entries[name, usual], kinds[usual], only=common)
        for kind, section in sorted(kinds.items()):
            own = [key for key in section["properties"] if key not in (*common, "type")]
            yield f"\n### type: {kind}\n"
            if own:
                paths = list(self._example.entries.get((name, kind), ()))
                if name == "models":  # what has no note there says "as above"
                    paths += self._example.entries[name, usual]
                yield from self._keys(paths, section, only=own)
            else:
                yield "\nNothing beyond that.\n"

    def _keys(
        self, paths: Sequence[Path_], section: Schema, *, only: Sequence[str] | None = None
    ) -> Iterator[str]:
        keys = [key for key in section["properties"] if only is None or key in only]
        keys.sort(key=lambda key: self._example.order((*paths[0], key)))
        yield from self._table(
            [
                row
                for key in keys
                for row in self._rows(
                    [(*path, key) for path in paths],
                    section["properties"][key],
                    needed=key in section.get("required", ()),
                )
            ]
        )

    def _rows(
        self, paths: Sequence[Path_], part: Schema, *, needed: bool = False, shown: str = ""
    ) -> Iterator[_Row]:
        """Yield a key's row, and below it those of the section that it holds."""
        shown = shown or paths[0][-1]
        yield _Row(shown, self._type(part), "" if needed else _default(part), self._example.of(*paths))
        inner, entries = self._inner(part)
        if inner is None or shown.count(".") >= _DEEPEST:
            return
        for key, below in inner["properties"].items():
            yield from self._rows(
                [found for path in paths for found in self._below(path, key)],
                below,
                needed=key in inner.get("required", ()),
                shown=f"{shown}{entries}.{key}",
            )

    def _below(self, path: Path_, key: str) -> Iterator[Path_]:
        """Yield the paths of a key in a section, or in the entries of one."""
        yield (*path, key)
        depth = len(path) + 2
        yield from (p for p in self._example.words if len(p) == depth and (*p[:-2], p[-1]) == (*path, key))

    @staticmethod
    def _table(rows: Sequence[_Row]) -> Iterator[str]:
        yield "\n| key | type | default | |\n|---|---|---|---|\n"
        for row in rows:
            shown = f"`{row.default}`" if row.default else ""
            yield f"| `{row.key}` | {_escaped(row.kind)} | {_escaped(shown)} | {_escaped(row.text)} |\n"

    # --- schemas in words -------------------------------------------------------------------------------------

    def _resolved(self, part: Schema) -> Schema:
        reference = part.get("$ref")
        return self._shared[str(reference).removeprefix("#/$defs/")] if reference else part

    def _is_section(self, part: Schema) -> bool:
        resolved = self._resolved(part)
        holds = resolved.get("items", {}).get("anyOf", [{}])[0].get("properties")
        return bool("properties" in resolved or _named(resolved) or holds)

    def _inner(self, part: Schema) -> tuple[Schema | None, str]:
        """Return the section below a key, and how its entries are written: `[]` in a list, `.NAME` by name."""
        for each in (part, *part.get("anyOf", ())):
            resolved = self._resolved(each)
            if _is_secret_form(resolved) or list(resolved.get("properties", ())) == ["value"]:
                continue
            if same := _same(resolved):
                return self._resolved(same), ".NAME"
            if "properties" in resolved:
                return resolved, ""
            for below, mark in ((resolved.get("items"), "[]"), (_named(resolved), ".NAME")):
                if below and "properties" in (held := self._resolved(below)):
                    return held, mark
        return None, ""

    def _type(self, part: Schema) -> str:
        choices = [self._resolved(each) for each in part.get("anyOf", ())]
        if any(_is_secret_form(each) for each in choices):
            rest = [each for each in choices if not _is_secret_form(each) and each.get("type") != "string"]
            return " or ".join(["secret", *(self._type(each) for each in rest)])
        if choices:
            return " or ".join(dict.fromkeys(self._type(each) for each in choices))
        part = self._resolved(part)
        if "enum" in part:
            return ", ".join(f"`{_shown(value)}`" for value in part["enum"])
        if "const" in part:
            return f"`{_shown(part['const'])}`"
        match part.get("type"):
            case "array":
                items = part.get("items")
                return f"list of {self._type(items)}" if items else "list"
            case "object" if _same(part):
                return f"section of {', '.join(f'`{name}`' for name in part['properties'])}"
            case "object":
                return "section"
            case "integer" | "number" as kind:
                return f"{'number' if kind == 'number' else 'whole number'}{_limits(part)}"
            case "boolean":
                return "true or false"
            case "null":
                return "null"
            case "string":
                return "text"
            case _:
                return "anything"


def _named(part: Schema) -> Schema | None:
    """Return what the entries of a section are whose names are free, None for any other section."""
    given = [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]
    return next((each for each in given if isinstance(each, dict) and each), None)


def _same(part: Schema) -> Schema | None:
    """Return what the keys of a section are that are all alike, None for other sections."""
    below = list(part.get("properties", {}).values())
    alike = (
        len(below) > 1 and "$ref" in below[0] and all(each.get("$ref") == below[0]["$ref"] for each in below)
    )
    return below[0] if alike else None


def _is_secret_form(part: Schema) -> bool:
    return list(part.get("properties", ())) in (["env"], ["file"], ["credential"])


def _limits(part: Schema) -> str:
    low, high = part.get("minimum", part.get("exclusiveMinimum")), part.get("maximum")
    above = "above " if "exclusiveMinimum" in part else ""
    if low is not None and high is not None:
        return f", {low} to {high}" if not above else f", above {low}, at most {high}"
    if low is not None:
        return f", above {low}" if above else f", at least {low}"
    return f", at most {high}" if high is not None else ""


def _default(part: Schema) -> str:
    if "default" not in part or isinstance(part["default"], dict):
        return ""
    return _shown(part["default"])


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Print the page."""
    schema, broken = config_schema(find_plugins())
    for error in broken:
        sys.stderr.write(f"{error}\n")
    sys.stdout.write(page(schema, EXAMPLE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
