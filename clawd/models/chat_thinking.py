"""What a chat model thought: told apart from what it says, and kept to be sent back. Pure.

Source: DeepSeek API docs, "Thinking Mode" (`reasoning_content`); OpenRouter docs, "Reasoning Tokens"
(`reasoning`, `reasoning_details`); Gemini API docs, "Thought signatures"; the tags are those of the templates of
DeepSeek R1, Qwen 3, Magistral and Gemini's compatible endpoint.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from clawd.models.characters import whole
from clawd.response import Thinking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.models.chat_config import ThinkTags
    from clawd.response import JsonObject, JsonValue

_TAGS: Final[Mapping[str, str]] = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
}
_MAX_CHARS: Final = 256_000  # of all thoughts of an answer
_DETAIL_CHARS: Final = 100  # what one more detail counts for beside its words
_MAX_SPACE: Final = 100  # characters of white space before a tag
# The words of each kind of `reasoning_details`, by its type.
_WORDS: Final[Mapping[JsonValue, str]] = {"reasoning.summary": "summary"}
_PIECES: Final = ("text", "summary", "data", "signature")  # what comes in pieces


class TagSplitter:
    """Tells thoughts in tags at the beginning of a text from the text, however it was cut.

    Local servers without a parser for their model's thoughts send them so. Tags further on are text: they may
    be what the talk is about. With `trim`, a text without thoughts loses white space at its beginning too.
    """

    def __init__(self, tags: ThinkTags, *, trim: bool = False) -> None:
        self._held = ""  # may be the beginning of a tag
        self._closing: str | None = _TAGS["<think>"] if tags == "open" else None
        self._undecided = tags != "none"
        self._trim = trim  # behind the thoughts, before the first visible character

    def feed(self, text: str) -> tuple[str, str]:
        """Return what is certain by now to be thought, and what is certain to be said."""
        if not self._undecided and self._closing is None:
            return "", self._said(text)
        text, self._held = self._held + text, ""
        if self._undecided:
            if self._may_be_opening(text):
                self._held = text
                return "", ""
            self._undecided = False
            for opening, closing in _TAGS.items():
                if text.lstrip().startswith(opening):
                    self._closing = closing
                    text = text.lstrip()[len(opening) :]
        if self._closing is None:
            return "", self._said(text)
        thought, found, rest = text.partition(self._closing)
        if found:
            self._closing, self._trim = None, True
            return thought, self._said(rest)
        kept = _overlap(text, self._closing)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], ""

    def close(self) -> tuple[str, str]:
        """Return what was still held, now that nothing follows."""
        held, self._held = self._held, ""
        self._undecided = False
        return (held, "") if self._closing is not None else ("", self._said(held))

    def _said(self, text: str) -> str:
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        return text

    def _may_be_opening(self, text: str) -> bool:
        begun = text.lstrip()
        if not begun:
            return len(text) <= _MAX_SPACE
        return any(opening.startswith(begun) and opening != begun for opening in _TAGS)


class Thoughts:
    """Collects what a model thought in one answer, up to a limit."""

    def __init__(self) -> None:
        self._room = _MAX_CHARS
        self._text: list[str] = []
        self._details: list[_Detail] = []

    def add(self, text: str) -> None:
        """Take plain text; what is too much is left out."""
        if text and self._room > 0:
            self._text.append(text[: self._room])
            self._room -= len(text)

    def add_details(self, details: list[JsonValue]) -> None:
        """Take pieces of `reasoning_details`: those with one type and index belong together."""
        for piece in details:
            if self._room > 0 and isinstance(piece, dict) and isinstance(piece.get("type"), str):
                detail = self._detail_for(piece)
                self._room -= detail.add(piece)

    def _detail_for(self, piece: JsonObject) -> _Detail:
        if self._details and self._details[-1].takes(piece):
            return self._details[-1]
        self._room -= _DETAIL_CHARS
        self._details.append(_Detail())
        return self._details[-1]

    def thinking(self) -> tuple[Thinking, ...]:
        """Return them; details win over plain text, which says the same, and go whole or not at all."""
        if self._details and self._room > 0:
            return tuple(_kept(detail.joined()) for detail in self._details)
        text = whole("".join(self._text))
        return (Thinking(text=text),) if text else ()


class _Detail:
    """One of `reasoning_details`, of which pieces are still coming."""

    def __init__(self) -> None:
        self._values: JsonObject = {}
        self._pieces: dict[str, list[str]] = {}

    def takes(self, piece: JsonObject) -> bool:
        """Whether a piece is this one's."""
        return all(self._values.get(key) == piece.get(key) for key in ("type", "index"))

    def add(self, piece: JsonObject) -> int:
        """Take a piece and return how many characters it has."""
        for key, value in piece.items():
            if key in _PIECES and isinstance(value, str):
                self._pieces.setdefault(key, []).append(value)
            elif isinstance(value, str | int | float):
                self._values[key] = value
        return sum(len(value) for value in piece.values() if isinstance(value, str))

    def joined(self) -> JsonObject:
        """Return it as it would have come in one piece."""
        return {**self._values, **{key: "".join(pieces) for key, pieces in self._pieces.items()}}


def _kept(detail: JsonObject) -> Thinking:
    """Return a detail whose words can be read, and whose rest waits as JSON in `data`."""
    field = _WORDS.get(detail.get("type"), "text")
    words = detail.get(field)
    if not isinstance(words, str):
        return Thinking(data=json.dumps(detail))
    rest = {key: value for key, value in detail.items() if key != field}
    return Thinking(text=whole(words), data=json.dumps(rest))


def details_of(thinking: tuple[Thinking, ...]) -> list[JsonValue]:
    """Return the `reasoning_details` that were kept, as they came; thoughts without any are left out."""
    details: list[JsonValue] = []
    for thought in thinking:
        try:
            detail = json.loads(thought.data or "null")
        except ValueError:  # another format's
            continue
        if isinstance(detail, dict) and isinstance(detail.get("type"), str):
            words: JsonObject = {_WORDS.get(detail["type"], "text"): thought.text} if thought.text else {}
            details.append({**detail, **words})
    return details


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the text's end may be the beginning of the tag."""
    return next(
        (size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0
    )
