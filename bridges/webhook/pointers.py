"""JSON pointers, and texts with pointers in them: how a configuration names parts of a foreign payload. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clawd.response import JsonObject, JsonValue

_ESCAPE: Final = re.compile(r"~(?![01])")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_HOLE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


class NotFound(LookupError):
    """There is nothing behind `pointer`, or nothing that can be used here; the text says so to the sender."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer or 'the body'}: {why}")
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Pointer:
    """The way to one value of a document. Source: RFC 6901."""

    text: str
    steps: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pointer:
        """Read `/user/id`; raises ValueError for what is no pointer."""
        if not text.startswith("/"):
            raise ValueError(f"{text!r:.80} is no JSON pointer: it has to begin with /, such as /data/text")
        if _ESCAPE.search(text):
            raise ValueError(f"{text!r:.80} is no JSON pointer: ~ is written ~0, and / within a name ~1")
        steps = text.split("/")[1:]
        return cls(text, tuple(step.replace("~1", "/").replace("~0", "~") for step in steps))

    def find(self, payload: JsonObject) -> JsonValue:
        """Return the value; raises NotFound, also for null."""
        here: JsonValue = payload
        for step in self.steps:
            if isinstance(here, dict) and step in here:
                here = here[step]
            elif isinstance(here, list) and _INDEX.fullmatch(step) and int(step) < len(here):
                here = here[int(step)]
            else:
                raise NotFound(self.text, "there is nothing")
        if here is None:
            raise NotFound(self.text, "there is nothing")
        return here

    def plain(self, payload: JsonObject) -> str:
        """Return a text, number or truth value as text; raises NotFound for anything else, and for no text."""
        value = self.find(payload)
        if isinstance(value, list | dict):
            raise NotFound(self.text, "a text or a number was expected")
        return _not_empty(self.text, _as_text(value))

    def readable(self, payload: JsonObject) -> str:
        """Return any value as text, lists and objects as JSON; raises NotFound."""
        return _not_empty(self.text, _as_text(self.find(payload)))


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every payload."""

    text: str

    def plain(self, _payload: JsonObject) -> str:
        """Return the text."""
        return self.text

    readable = plain


@dataclass(frozen=True, slots=True)
class Template:
    """Text with pointers in braces: `{/repo/name}: {/comment/body}`; `{{` and `}}` stand for braces."""

    parts: tuple[str | Pointer, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template; raises ValueError."""
        parts: list[str | Pointer] = []
        end = 0
        for hole in _HOLE.finditer(text):
            parts.append(text[end : hole.start()])
            end = hole.end()
            if hole[1] is None:
                parts.append(hole[0][0])
            elif hole[1].startswith("/"):
                parts.append(Pointer.parse(hole[1]))
            else:
                raise ValueError(
                    f"{hole[0]!r:.80} is no JSON pointer; did you mean '{{/{hole[1]}}}'? "
                    "Braces themselves are written {{ and }}"
                )
        parts.append(text[end:])
        return cls(tuple(part for part in parts if part))

    def plain(self, payload: JsonObject) -> str:
        """Return the text, filled in with texts and numbers; raises NotFound when one of them is not there."""
        return "".join(part if isinstance(part, str) else part.plain(payload) for part in self.parts)

    def readable(self, payload: JsonObject) -> str:
        """Return the text, filled in; raises NotFound."""
        return "".join(part if isinstance(part, str) else part.readable(payload) for part in self.parts)


Source = Pointer | Constant | Template


def parse_source(value: object) -> Source:
    """Read one source as a configuration writes it; raises ValueError."""
    if isinstance(value, Pointer | Constant | Template):
        return value
    if isinstance(value, dict) and set(value) == {"value"} and isinstance(value["value"], str | int):
        return Constant(str(value["value"]))
    if isinstance(value, str) and "{" in value:
        return Template.parse(str(value))
    if isinstance(value, str) and value.startswith("/"):
        return Pointer.parse(str(value))
    shown = f", got {str(value)!r:.80}" if isinstance(value, str) else ""
    raise ValueError(
        f"expected a JSON pointer such as /data/text, a text with {{/pointers}} in it, or {{value: TEXT}}{shown}"
    )


def _not_empty(pointer: str, text: str) -> str:
    if not text.strip():
        raise NotFound(pointer, "there is no text")
    return text


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
