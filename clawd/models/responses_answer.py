"""OpenAI's Responses format: the events of an answer, or a whole one, as ours. Pure.

Source: OpenAI API reference, "Streaming events" of Responses and "The response object". Looked at in
November 2026.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from clawd.models.answer_bounds import MAX_THINKING, grown
from clawd.models.base import ModelResponse, Progress, TextDelta, ToolCall, Usage
from clawd.models.characters import Joiner, whole
from clawd.models.fields import count_at, kind_of, object_at, objects_at, text_at
from clawd.models.tool_calls import is_object, sane_calls
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.response import Thinking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.models.base import FinishReason, ModelEvent
    from clawd.response import JsonObject, JsonValue

_BETWEEN_MESSAGES: Final = "\n\n"


_MAX_ITEMS: Final = 1000  # of one answer


@dataclass(slots=True)
class _Item:
    """A call or a piece of reasoning; which of its fields are used is a matter of its type."""

    type: str
    index: int | None
    id: str = ""
    call_id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)  # of the arguments
    complete: bool = False
    summary: list[str] = field(default_factory=list)
    encrypted: str = ""
    after_text: int = 0
    after_calls: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class ResponsesFold:
    """Collects the events of one answer.

    Args:
        model: The configured name of the model.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._items: list[_Item] = []
        self._arguments = 0  # characters of deltas
        self._text: list[str] = []
        self._length = 0  # of the text
        self._characters = Joiner()
        self._part: tuple[JsonValue, JsonValue] | None = None  # the one that the last text belongs to
        self._part_text: list[str] = []
        self._refused = False
        self._why_incomplete = ""
        self._finished = False
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        """Whether the last event has come, which holds the usage too."""
        return self._finished

    def add(self, event: str, data: JsonValue) -> list[ModelEvent]:
        """Take one event, or a whole response, and return the events it stands for.

        Raises:
            ProviderFault: it is an error.
            MalformedAnswer: it is nothing of the format.
        """
        if not isinstance(data, dict):
            raise MalformedAnswer(f"an event is {kind_of(data)} instead of an object")
        kind = text_at(data, "type") or event
        if kind == "error" or (data.get("error") and not kind.startswith("response.")):
            raise ProviderFault(data.get("error") or data)
        match kind:
            case "":
                return self._end(data, text_at(data, "status"))
            case "keepalive":
                return [Progress("keepalive")]
            case "response.output_item.added" | "response.output_item.done":
                index = count_at(data, "output_index")
                return self._item(object_at(data, "item"), index, done=kind.endswith("done"))
            case "response.output_text.delta" | "response.refusal.delta":
                self._refused = self._refused or "refusal" in kind
                return self._more_text(data, text_at(data, "delta"))
            case "response.output_text.done" | "response.refusal.done":
                self._refused = self._refused or "refusal" in kind
                return self._rest_of_text(data, text_at(data, "text") or text_at(data, "refusal"))
            case "response.function_call_arguments.delta":
                return self._argue(self._call_of(data), text_at(data, "delta"))
            case "response.function_call_arguments.done":
                call = self._call_of(data)
                call.pieces = [text_at(data, "arguments") or call.arguments]
                return [Progress("tool_call")]
            case "response.completed" | "response.incomplete" | "response.failed":
                response = object_at(data, "response")
                return self._end(response, text_at(response, "status") or kind.removeprefix("response."))
            case _:
                # The steps of reasoning have a dozen names; other types are from after this was written.
                return [Progress("thinking")] if kind.startswith("response.reasoning") else []

    def response(self) -> ModelResponse:
        """Return what has come so far as a response."""
        finish: FinishReason = "stop"
        asked = [item for item in self._items if item.type == "function_call"]
        if self._why_incomplete:
            finish = "filtered" if self._why_incomplete == "content_filter" else "length"
            asked = [c for c in asked if finish == "length" and c.complete and is_object(c.arguments)]
        calls = sane_calls(
            ToolCall(id=whole(c.call_id), name=whole(c.name), arguments=whole(c.arguments) or "{}")
            for c in asked
        )
        if finish == "stop" and calls:
            finish = "tool_calls"
        elif finish == "stop" and self._refused:
            finish = "filtered"
        return ModelResponse(
            model=self._model,
            text="".join(self._text),
            tool_calls=calls,
            finish=finish,
            usage=self._usage,
            thinking=self._thinking() if calls else (),
        )

    # --- text

    def _more_text(self, data: JsonObject, text: str) -> list[ModelEvent]:
        part = (data.get("output_index"), data.get("content_index"))
        if part != self._part:
            between = _BETWEEN_MESSAGES if self._part is not None and self._part[0] != part[0] else ""
            self._part, self._part_text = part, []
            return self._shown(between if self._text else "", text)
        return self._shown("", text)

    def _rest_of_text(self, data: JsonObject, text: str) -> list[ModelEvent]:
        """Show what the deltas left out; some servers send none."""
        part = (data.get("output_index"), data.get("content_index"))
        known = "".join(self._part_text) if part == self._part else ""
        rest = text[len(known) :] if text.startswith(known) else ""
        return self._more_text(data, rest) if rest else []

    def _shown(self, between: str, text: str) -> list[ModelEvent]:
        self._part_text.append(text)
        shown = self._characters.feed(between + text)
        if not shown:
            return []
        self._text.append(shown)
        self._length += len(shown)
        return [TextDelta(shown)]

    # --- items

    def _item(self, item: JsonObject, index: int | None, *, done: bool) -> list[ModelEvent]:
        kind = text_at(item, "type")
        if kind not in ("function_call", "reasoning"):
            return []
        found = self._find(kind, index, text_at(item, "id"), text_at(item, "call_id"))
        found.call_id = text_at(item, "call_id") or found.call_id
        found.name = text_at(item, "name") or found.name
        arguments = item.get("arguments")
        if isinstance(arguments, dict):
            found.pieces = [json.dumps(arguments, ensure_ascii=False)]
        elif done and isinstance(arguments, str) and arguments:
            found.pieces = [arguments]
        if done:
            found.complete = text_at(item, "status") != "incomplete"
            # That of `added` may be a part only.
            found.encrypted = text_at(item, "encrypted_content") or found.encrypted
            found.summary = [text_at(part, "text") for part in objects_at(item, "summary")] or found.summary
        return [Progress("tool_call" if kind == "function_call" else "thinking")]

    def _argue(self, call: _Item, piece: str) -> list[ModelEvent]:
        self._arguments = grown(self._arguments, piece)
        call.pieces.append(piece)
        return [Progress("tool_call")]

    def _call_of(self, data: JsonObject) -> _Item:
        return self._find("function_call", count_at(data, "output_index"), text_at(data, "item_id"), "")

    def _find(self, kind: str, index: int | None, item_id: str, call_id: str) -> _Item:
        """Return the item that is meant, a new one where none is: by id where both have one, else by place."""
        for item in self._items:
            if item.type != kind:
                continue
            if (call_id and call_id == item.call_id) or (item_id and item_id == item.id):
                return item
            if index is not None and index == item.index and not (item_id and item.id):
                item.id = item.id or item_id
                return item
        if len(self._items) == _MAX_ITEMS:
            raise MalformedAnswer(f"more than {_MAX_ITEMS} items")
        calls = sum(item.type == "function_call" for item in self._items)
        new = _Item(type=kind, index=index, id=item_id, after_text=self._length, after_calls=calls)
        self._items.append(new)
        return new

    def _thinking(self) -> tuple[Thinking, ...]:
        sizes = (len(i.encrypted) + sum(map(len, i.summary)) for i in self._items if i.type == "reasoning")
        if sum(sizes) > MAX_THINKING:
            return ()
        return tuple(
            Thinking(
                id=item.id, text=whole(text), data=item.encrypted if number == 0 else "",
                after_text=item.after_text, after_calls=item.after_calls,
            )
            for item in self._items
            if item.type == "reasoning"
            for number, text in enumerate(item.summary or [""])
        )  # fmt: skip

    # --- end

    def _end(self, response: JsonObject, status: str) -> list[ModelEvent]:
        """Take the response as it stands in the last event, or instead of a stream."""
        if status == "failed" or response.get("error"):
            raise ProviderFault(response.get("error") or {"message": "the response failed"})
        if status not in ("completed", "incomplete"):
            raise MalformedAnswer(f"a response that is {status}" if status else "an object without a status")
        events: list[ModelEvent] = []
        shown = bool(self._text)
        for index, item in enumerate(objects_at(response, "output")):
            if text_at(item, "type") == "message" and not shown:
                events += self._message(item, index)
            events += self._item(item, index, done=True)
        self._why_incomplete = _why(response) if status == "incomplete" else ""
        self._usage = read_usage(object_at(response, "usage"))
        self._finished = True
        return events

    def _message(self, message: JsonObject, index: int) -> Sequence[ModelEvent]:
        events: list[ModelEvent] = []
        for number, part in enumerate(objects_at(message, "content")):
            self._refused = self._refused or text_at(part, "type") == "refusal"
            place: JsonObject = {"output_index": index, "content_index": number}
            events += self._rest_of_text(place, text_at(part, "text") or text_at(part, "refusal"))
        return events


def read_usage(usage: JsonObject) -> Usage:
    """Return the tokens counted."""
    of_input, of_output = object_at(usage, "input_tokens_details"), object_at(usage, "output_tokens_details")
    return Usage(
        input_tokens=count_at(usage, "input_tokens"),
        output_tokens=count_at(usage, "output_tokens"),
        cached_tokens=count_at(of_input, "cached_tokens"),
        cache_write_tokens=count_at(of_input, "cache_write_tokens"),
        thinking_tokens=count_at(of_output, "reasoning_tokens"),
    )


def _why(response: JsonObject) -> str:
    return text_at(object_at(response, "incomplete_details"), "reason") or "unknown"
