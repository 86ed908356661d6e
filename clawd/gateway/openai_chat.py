"""Answers in the chat completions format: whole, and as chunks. Pure.

Source: OpenAI API reference, "The chat completion object" and "The chat completion chunk object".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from clawd.gateway.openai_answers import Anew, Piece, Waiting, Whole, comment, told_by
from clawd.gateway.openai_shown import Shown
from clawd.gateway.openai_streams import frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clawd.gateway.openai_answers import Event
    from clawd.response import FinishReason, JsonObject, JsonValue, ToolCall, Usage

_FINISH: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
}
_ARGUMENTS: Final = 1024  # characters of a call's arguments in one chunk
DONE: Final = b"data: [DONE]\n\n"


def completion(whole: Whole, *, id_: str, model: str, created: int) -> JsonObject:
    """Return the complete answer; `model` is the name that the client asked for."""
    message: JsonObject = {"role": "assistant", "content": whole.text or None, "refusal": None}
    if whole.tool_calls:
        message["tool_calls"] = [_call(call) for call in whole.tool_calls]
    elif not whole.text:
        message["content"] = ""
    choice: JsonObject = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(whole),
    }
    body = _head(id_, "chat.completion", created, model)
    body |= {"choices": [choice], "clawd": told_by(whole)}
    if (usage := usage_of(whole.usage)) is not None:
        body["usage"] = usage
    return body


class Chunks:
    """Writes the chunks of one streamed answer; see `clawd.gateway.openai_streams.Frames`.

    Args:
        id_: Of the answer.
        model: The name that the client asked for.
        created: Seconds since 1970.
        usage: Whether the client wants a last chunk with the tokens.
        note: What marks in the text that it begins anew.
        buffered: Send nothing before the text is complete: a program reads it, and can take back nothing.
    """

    def __init__(
        self, *, id_: str, model: str, created: int, usage: bool, note: str, buffered: bool = False
    ) -> None:
        self._id = id_
        self._model = model
        self._created = created
        self._usage = usage
        self._shown = Shown(note, buffered=buffered)

    def begin(self) -> Sequence[bytes]:
        return [self._chunk({"role": "assistant", "content": ""})]

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
                return [*self._texts(self._shown.rest(event.text)), *self._calls(event), *self._end(event)]
            case _:
                assert_never(event)

    def failed(self, error: JsonObject) -> Sequence[bytes]:
        return [frame({"error": error}), DONE]

    def _texts(self, text: str) -> Sequence[bytes]:
        return [self._chunk({"content": text})] if text else []

    def _calls(self, whole: Whole) -> list[bytes]:
        found: list[bytes] = []
        for index, call in enumerate(whole.tool_calls):
            head: JsonObject = {"index": index, **_call(call)}
            head["function"] = {"name": call.name, "arguments": ""}
            found.append(self._chunk({"tool_calls": [head]}))
            for start in range(0, len(call.arguments), _ARGUMENTS):
                piece = {"arguments": call.arguments[start : start + _ARGUMENTS]}
                found.append(self._chunk({"tool_calls": [{"index": index, "function": {**piece}}]}))
        return found

    def _end(self, whole: Whole) -> list[bytes]:
        last = self._chunk({}, finish=_finish(whole), clawd=told_by(whole))
        if not self._usage:
            return [last, DONE]
        body = _head(self._id, "chat.completion.chunk", self._created, self._model)
        return [last, frame({**body, "choices": [], "usage": usage_of(whole.usage)}), DONE]

    def _chunk(self, delta: JsonObject, *, finish: str | None = None, clawd: JsonValue = None) -> bytes:
        body = _head(self._id, "chat.completion.chunk", self._created, self._model)
        body["choices"] = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        if self._usage:
            body["usage"] = None
        if clawd is not None:
            body["clawd"] = clawd
        return frame(body)


def usage_of(usage: Usage) -> JsonValue:
    """Return the tokens as OpenAI counts them; None where the provider did not say."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    prompt, answer = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking_tokens or 0},
    }


def _head(id_: str, kind: str, created: int, model: str) -> JsonObject:
    return {"id": f"chatcmpl-{id_}", "object": kind, "created": created, "model": model}


def _finish(whole: Whole) -> str:
    return "tool_calls" if whole.tool_calls and whole.finish == "stop" else _FINISH[whole.finish]


def _call(call: ToolCall) -> JsonObject:
    function: JsonObject = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
