"""Answers in the Responses format: whole, and as typed events. Pure.

Source: OpenAI API reference, "The response object" and "Streaming events" of Responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from clawd.gateway.openai_answers import Anew, Piece, Waiting, Whole, comment, told_by
from clawd.gateway.openai_shown import Shown
from clawd.gateway.openai_streams import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.gateway.openai_answers import Event
    from clawd.gateway.openai_question import Question
    from clawd.response import JsonObject, JsonValue, ToolCall, Usage

_INCOMPLETE: Final = {"length": "max_output_tokens", "filtered": "content_filter"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What is constant about one response. `created` is in seconds since 1970."""

    id: str
    model: str  # the name that the client asked for
    created: int
    stored: bool  # it can be fetched again, and followed
    question: Question | None = None  # None: fetched again

    @property
    def name(self) -> str:
        """Its id, as clients know it."""
        return f"resp_{self.id}"

    def whole(self, whole: Whole) -> JsonObject:
        """Return the complete answer."""
        output: list[JsonValue] = [self.message(whole.text, "completed")] if whole.text else []
        output += [self.call(number, call) for number, call in enumerate(whole.tool_calls)]
        why = "approval" if whole.question is not None else _INCOMPLETE.get(whole.finish)
        body = self.body("incomplete" if why else "completed", output)
        body["incomplete_details"] = {"reason": why} if why else None
        body["usage"] = _usage(whole.usage)
        body["clawd"] = told_by(whole)
        return body

    def cancelled(self, text: str) -> JsonObject:
        """Return what there is of one that was ended."""
        return self.body("cancelled", [self.message(text, "incomplete")] if text else [])

    def failed(self, error: JsonObject) -> JsonObject:
        """Return what became of it."""
        told: JsonObject = {"code": error["code"], "message": error["message"]}
        return {**self.body("failed", []), "error": told}

    def body(self, status: str, output: list[JsonValue]) -> JsonObject:
        """Return the object with everything that it always has."""
        question = self.question
        return {
            "id": self.name,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": question.max_tokens if question is not None else None,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": question.previous if question is not None else None,
            "store": self.stored,
            "temperature": question.temperature if question is not None else None,
            "text": {"format": _form(question)},
            "tool_choice": "auto",
            "tools": _tools(question),
            "top_p": None,
            "truncation": "disabled",
            "usage": None,
            "metadata": {},
        }

    def message(self, text: str, status: str) -> JsonObject:
        """Return the item that holds the text."""
        content: list[JsonValue] = [_part(text)] if text else []
        return {
            "id": f"msg_{self.id}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def call(self, number: int, call: ToolCall) -> JsonObject:
        """Return the item of one call."""
        return {
            "id": f"fc_{self.id}_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }


class ResponseEvents:
    """Writes the events of one streamed response; see `clawd.gateway.openai_streams.Frames`.

    Deltas say what was sent, with a note where the text began anew; the last events have the text as it is.
    """

    def __init__(self, response: Response, *, note: str, buffered: bool = False) -> None:
        self._response = response
        self._shown = Shown(note, buffered=buffered)
        self._number = 0
        self._begun = False  # the item that holds the text

    def begin(self) -> Sequence[bytes]:
        body = self._response.body("in_progress", [])
        return [
            self._event("response.created", response=body),
            self._event("response.in_progress", response=body),
        ]

    def event(self, event: Event) -> Sequence[bytes]:
        match event:
            case Piece(text):
                return self._texts(self._shown.more(text))
            case Anew():
                self._shown.anew()
                return []
            case Waiting():
                return [comment(event)]
            case Whole():
                return self._end(event)
            case _:
                assert_never(event)

    def failed(self, error: JsonObject) -> Sequence[bytes]:
        return [self._event("response.failed", response=self._response.failed(error))]

    def _texts(self, text: str) -> list[bytes]:
        if not text:
            return []
        found: list[bytes] = []
        if not self._begun:
            self._begun = True
            item = self._response.message("", "in_progress")
            found.append(self._event("response.output_item.added", output_index=0, item=item))
            found.append(self._of_text("response.content_part.added", part=_part("")))
        found.append(self._of_text("response.output_text.delta", delta=text, logprobs=[]))
        return found

    def _end(self, whole: Whole) -> list[bytes]:
        found = self._texts(self._shown.rest(whole.text))
        if self._begun:
            text, item = whole.text, self._response.message(whole.text, "completed")
            found.append(self._of_text("response.output_text.done", text=text, logprobs=[]))
            found.append(self._of_text("response.content_part.done", part=_part(text)))
            found.append(self._event("response.output_item.done", output_index=0, item=item))
        for number, call in enumerate(whole.tool_calls):
            found += self._call(number, call)
        body = self._response.whole(whole)
        found.append(self._event(f"response.{body['status']}", response=body))
        return found

    def _call(self, number: int, call: ToolCall) -> list[bytes]:
        item, index = self._response.call(number, call), number + self._begun
        begun: JsonObject = {**item, "status": "in_progress", "arguments": ""}
        where: JsonObject = {"item_id": item["id"], "output_index": index}
        kind = "response.function_call_arguments"
        return [
            self._event("response.output_item.added", output_index=index, item=begun),
            self._event(f"{kind}.delta", **where, delta=call.arguments),
            self._event(f"{kind}.done", **where, name=call.name, arguments=call.arguments),
            self._event("response.output_item.done", output_index=index, item=item),
        ]

    def _of_text(self, kind: str, **fields: JsonValue) -> bytes:
        return self._event(
            kind, item_id=f"msg_{self._response.id}", output_index=0, content_index=0, **fields
        )

    def _event(self, kind: str, **fields: JsonValue) -> bytes:
        value: JsonObject = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return frame(value, name=kind)


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Usage) -> JsonValue:
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    given, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.thinking_tokens or 0},
        "total_tokens": given + made,
    }


def _form(question: Question | None) -> JsonObject:
    if question is None or question.schema is None:
        return {"type": "text"}
    schema = question.schema
    return {
        "type": "json_schema",
        "name": schema.name,
        "schema": dict(schema.schema),
        "strict": schema.strict,
    }


def _tools(question: Question | None) -> list[JsonValue]:
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
            "strict": False,
        }
        for tool in (question.tools if question is not None else ())
    ]
