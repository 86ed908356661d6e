"""What of words may leave, and how: without secrets, and cut."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.journal.records import ModelResult, ToolDone, ToolIntent, TurnWaiting
from clawd.tracing import conventions as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.journal.reading import TurnView
    from clawd.journal.spans import Span
    from clawd.journal.story import Story
    from clawd.observability.redact import Redactor
    from clawd.response import JsonObject, ModelResponse

MAX_CONTENT: Final = 8192
"""Characters of one text; what is longer is cut, and says so."""
MAX_VALUE: Final = 256
"""Characters of any other attribute."""

_LOOK: Final = 4  # so many times what is kept is searched for secrets: a cut must not spare half of one


@dataclass(frozen=True, slots=True)
class Wording:
    """Cleans text, and finds the words of a span."""

    redactor: Redactor
    content: bool

    def text(self, text: str, limit: int = MAX_VALUE) -> str:
        """Return the text without secrets, of at most `limit` characters."""
        clean = self.redactor.clean(text[: limit * _LOOK])
        return clean if len(clean) <= limit and len(text) <= limit * _LOOK else f"{clean[: limit - 1]}…"

    def of_turn(self, turn: TurnView) -> Mapping[str, str]:
        """Return what was asked and answered; nothing without content."""
        if not self.content:
            return {}
        return {
            names.INPUT_MESSAGES: self._messages("user", turn.question),
            **({names.OUTPUT_MESSAGES: self._messages("assistant", turn.answer)} if turn.answer else {}),
        }

    def of_step(self, span: Span, story: Story) -> Mapping[str, str]:
        """Return the words of a model's answer, of a call or of a question; nothing without content."""
        told = dict(span.attributes)
        if not self.content or "step" not in told:
            return {}
        records = [
            entry.record
            for entry in story.entries
            if entry.record is not None and getattr(entry.record, "step", None) == told["step"]
        ]
        found: dict[str, str] = {}
        for record in records:
            match record:
                case ModelResult() if span.kind == "model" and "finish" in told:
                    found[names.OUTPUT_MESSAGES] = self._answer(record.response)
                case ToolIntent() if span.kind == "tool":
                    found[names.TOOL_ARGUMENTS] = self.text(record.arguments, MAX_CONTENT)
                case ToolDone() if span.kind == "tool":
                    found[names.TOOL_RESULT] = self.text(record.text, MAX_CONTENT)
                    arguments = _arguments(record.call_id, story)
                    if arguments and names.TOOL_ARGUMENTS not in found:
                        found[names.TOOL_ARGUMENTS] = self.text(arguments, MAX_CONTENT)
                case TurnWaiting() if span.kind == "question":
                    found[names.QUESTION_SUBJECT] = self.text(record.subject, MAX_CONTENT)
                case _:
                    pass
        return found

    def error(self, text: str) -> str:
        """Return what an error says; providers quote what they were asked, so nothing without content."""
        return self.text(text, MAX_CONTENT) if self.content else ""

    def _messages(self, role: str, text: str) -> str:
        return _json([{"role": role, "parts": [{"type": "text", "content": self.text(text, MAX_CONTENT)}]}])

    def _answer(self, response: ModelResponse) -> str:
        parts: list[JsonObject] = []
        if response.text:
            parts.append({"type": "text", "content": self.text(response.text, MAX_CONTENT)})
        parts += [
            {
                "type": "tool_call",
                "id": self.text(call.id),
                "name": self.text(call.name),
                "arguments": self.text(call.arguments, MAX_CONTENT),
            }
            for call in response.tool_calls
        ]
        finish = names.FINISHES.get(response.finish, response.finish)
        return _json([{"role": "assistant", "parts": [*parts], "finish_reason": finish}])


def _arguments(call_id: str, story: Story) -> str:
    """Return what a call was made with; one without an effect leaves that in the answer alone."""
    for entry in story.entries:
        if isinstance(entry.record, ModelResult):
            for call in entry.record.response.tool_calls:
                if call.id == call_id:
                    return call.arguments
    return ""


def _json(messages: Sequence[JsonObject]) -> str:
    return json.dumps(messages, ensure_ascii=False)
