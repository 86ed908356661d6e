"""Anthropic's Messages format: the events of an answer, or a whole one, as ours. Pure.

Source: Claude API reference, "Streaming Messages" and "Stop reasons and fallback". Looked at in November 2026.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from clawd.models.answer_bounds import MAX_THINKING, grown
from clawd.models.base import ModelResponse, Progress, TextDelta, ToolCall, Usage
from clawd.models.characters import Joiner, whole
from clawd.models.fields import count_at, kind_of, object_at, objects_at, text_at
from clawd.models.tool_calls import is_object, sane_calls
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.response import Thinking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.models.base import FinishReason, ModelEvent
    from clawd.response import JsonObject, JsonValue

ANSWER_TOOL: Final = "answer_in_form"
"""The tool whose input is the answer, for models that know no other way to keep to a schema."""

_FINISH: Final[Mapping[str, FinishReason]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # a loop of the provider's own tools was cut; we offer none
    "refusal": "filtered",
}
_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


_MAX_BLOCKS: Final = 1000  # of one answer


@dataclass(slots=True)
class _Block:
    """One block of content; which of its fields are used is a matter of its type."""

    type: str
    id: str = ""
    name: str = ""
    input: JsonValue = None  # given whole with the block's start
    pieces: list[str] = field(default_factory=list)  # of a call's arguments, or of a thought
    seal: list[str] = field(default_factory=list)
    data: str = ""
    after_text: int = 0
    after_calls: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def asks(self) -> bool:
        """Whether it is a call of one of our tools."""
        return self.type == "tool_use" and self.name != ANSWER_TOOL


class AnthropicFold:
    """Collects the events of one answer.

    Args:
        model: The configured name of the model.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._blocks: dict[int, _Block] = {}  # by the stream's index, in order of arrival
        self._text: list[str] = []
        self._length = 0  # of the text
        self._calls = 0
        self._arguments = 0  # characters
        self._thought = 0  # characters
        self._characters = Joiner()
        self._stop: str | None = None
        self._over = False
        self._counts: dict[str, int] = {}
        self._thinking_tokens: int | None = None

    @property
    def finished(self) -> bool:
        """Whether the provider said why it stopped, or that the message is over."""
        return self._stop is not None or self._over

    def add(self, event: str, data: JsonValue) -> list[ModelEvent]:
        """Take one event, or a whole message, and return the events it stands for.

        Raises:
            ProviderFault: it is an error.
            MalformedAnswer: it is nothing of the format.
        """
        if not isinstance(data, dict):
            raise MalformedAnswer(f"an event is {kind_of(data)} instead of an object")
        kind = text_at(data, "type") or event
        if kind == "error" or data.get("error"):
            raise ProviderFault(data.get("error") or data)
        match kind:
            case "":
                raise MalformedAnswer("an object without a type")
            case "ping":
                return [Progress("keepalive")]
            case "message_start":
                self._count(object_at(data, "message"))
            case "content_block_start":
                return self._begin(_index(data, len(self._blocks)), object_at(data, "content_block"))
            case "content_block_delta":
                return self._more(_index(data, len(self._blocks) - 1), object_at(data, "delta"))
            case "content_block_stop":
                return self._end(_index(data, len(self._blocks) - 1))
            case "message_delta":
                self._count(data)
                self._stopped(object_at(data, "delta"))
            case "message_stop":
                self._over = True
            case "message":
                return self._whole(data)
            case _:
                pass  # a type from after this was written
        return []

    def response(self) -> ModelResponse:
        """Return what has come so far as a response."""
        finish = _FINISH.get(self._stop or "", "stop")
        # What a refused answer began is not to be acted on, nor a call that the limit cut off, nor one whose
        # arguments never came.
        asked = [b for b in self._blocks.values() if b.asks and finish != "filtered"]
        if finish == "length" and asked and not is_object(asked[-1].arguments):
            asked.pop()
        calls = sane_calls(
            ToolCall(id=whole(c.id), name=whole(c.name), arguments=whole(c.arguments) or "{}") for c in asked
        )
        if finish == "stop" and calls:
            finish = "tool_calls"
        return ModelResponse(
            model=self._model,
            text="".join(self._text),
            tool_calls=calls,
            finish=finish,
            usage=self._usage(),
            thinking=self._thinking() if calls else (),
        )

    # --- blocks

    def _begin(self, index: int, block: JsonObject) -> list[ModelEvent]:
        if len(self._blocks) == _MAX_BLOCKS:
            raise MalformedAnswer(f"more than {_MAX_BLOCKS} blocks of content")
        self._blocks[index] = found = _Block(
            type=text_at(block, "type"),
            id=text_at(block, "id"),
            name=text_at(block, "name"),
            input=block.get("input"),
            seal=[text_at(block, "signature")],
            data=text_at(block, "data"),
            after_text=self._length,
            after_calls=self._calls,
        )
        self._calls += found.asks
        self._thought += len(found.data)
        self._think(found, text_at(block, "thinking"))
        if found.type == "text":
            return self._say(text_at(block, "text"))
        return [Progress("tool_call" if found.type == "tool_use" else "thinking")]

    def _more(self, index: int, delta: JsonObject) -> list[ModelEvent]:
        block = self._blocks.get(index) or _Block(type="")
        match text_at(delta, "type"):
            case "text_delta":
                return self._say(text_at(delta, "text"))
            case "input_json_delta" if block.type == "tool_use":
                return self._argue(block, text_at(delta, "partial_json"))
            case "thinking_delta":
                self._think(block, text_at(delta, "thinking"))
                return [Progress("thinking")]
            case "signature_delta":
                block.seal.append(text_at(delta, "signature"))
                return [Progress("thinking")]
            case _:
                return []

    def _end(self, index: int) -> list[ModelEvent]:
        block = self._blocks.get(index)
        if block is None or block.type != "tool_use" or any(block.pieces) or not block.input:
            return []
        # Some servers give a call's input at once, with its start.
        return self._argue(block, json.dumps(block.input, ensure_ascii=False))

    def _argue(self, block: _Block, piece: str) -> list[ModelEvent]:
        """Take a piece of a call's arguments; those of the answer's tool are the answer."""
        self._arguments = grown(self._arguments, piece)
        block.pieces.append(piece)
        return [Progress("tool_call")] if block.asks else self._say(piece)

    def _think(self, block: _Block, piece: str) -> None:
        self._thought += len(piece)
        if piece and self._thought <= MAX_THINKING:
            block.pieces.append(piece)

    def _whole(self, message: JsonObject) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        for index, block in enumerate(objects_at(message, "content")):
            events += self._begin(index, block)
            events += self._end(index)
        self._count(message)
        self._stopped(message)
        self._over = True
        return events

    def _say(self, text: str) -> list[ModelEvent]:
        text = self._characters.feed(text)
        if not text:
            return []
        self._text.append(text)
        self._length += len(text)
        return [TextDelta(text)]

    def _thinking(self) -> tuple[Thinking, ...]:
        if self._thought > MAX_THINKING:
            return ()
        return tuple(
            Thinking(
                text=whole("".join(block.pieces)), signature="".join(block.seal), data=block.data,
                after_text=block.after_text, after_calls=block.after_calls,
            )
            for block in self._blocks.values()
            if block.type in ("thinking", "redacted_thinking")
        )  # fmt: skip

    # --- end

    def _stopped(self, where: JsonObject) -> None:
        reason = text_at(where, "stop_reason")
        if reason == "model_context_window_exceeded" and not self._text and not self._calls:
            words = "the model's context window was full before the first visible word"
            raise ProviderFault({"code": "context_length_exceeded", "message": words})
        self._stop = reason or self._stop

    def _count(self, where: JsonObject) -> None:
        """Take the counts; those of later events include those of earlier ones."""
        usage = object_at(where, "usage")
        for name in _COUNTS:
            if (count := count_at(usage, name)) is not None:
                self._counts[name] = max(count, self._counts.get(name, 0))
        thinking = count_at(object_at(usage, "output_tokens_details"), "thinking_tokens")
        self._thinking_tokens = thinking if thinking is not None else self._thinking_tokens

    def _usage(self) -> Usage:
        fresh, output, read, written = (self._counts.get(name) for name in _COUNTS)
        usage = Usage(
            output_tokens=output,
            cached_tokens=read,
            cache_write_tokens=written,
            thinking_tokens=self._thinking_tokens,
        )
        # The API counts only what is new as input.
        return usage if fresh is None else replace(usage, input_tokens=fresh + (read or 0) + (written or 0))


def _index(data: JsonObject, otherwise: int) -> int:
    found = count_at(data, "index")
    return otherwise if found is None else found
