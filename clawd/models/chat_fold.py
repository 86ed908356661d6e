"""The answers of OpenAI's completions, chat and text, from JSON to events. Pure.

Source: OpenAI API reference, "The chat completion chunk object" and "The completion object"; the deviations
tolerated here were seen in llama.cpp, vLLM, Ollama, OpenRouter, DeepSeek, Qwen, Moonshot, GLM, Mistral and Gemini.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from clawd.models.answer_bounds import grown
from clawd.models.base import ModelResponse, Progress, TextDelta, ToolCall
from clawd.models.characters import Joiner, whole
from clawd.models.chat_thinking import TagSplitter, Thoughts
from clawd.models.chat_usage import UsageFold
from clawd.models.tool_calls import is_object, sane_calls
from clawd.models.wire import MalformedAnswer, ProviderFault
from clawd.response import Thinking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.models.base import FinishReason, ModelEvent
    from clawd.models.chat_config import ThinkTags
    from clawd.response import JsonObject, JsonValue

_FINISH: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # GLM
    "content_filter": "filtered",
    "sensitive": "filtered",  # GLM
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
# The provider's side gave up: OpenRouter and Mistral, vLLM, DeepSeek, GLM.
_BROKEN_OFF: Final = frozenset({"error", "abort", "insufficient_system_resource", "network_error"})
_MAX_SIGNATURE: Final = 64_000  # characters
_MAX_CALLS: Final = 256  # of one answer
_SHORT: Final = 10_000  # characters of arguments that are worth a look in the middle of a stream


@dataclass(slots=True)
class _CallInParts:
    """A tool call whose fragments are still coming."""

    index: int | None
    id: str = ""
    name: str = ""
    signature: str = ""  # Gemini's seal on the thought behind it
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def whole(self) -> bool:
        """Whether its arguments are complete; asked of short ones only."""
        return self.size <= _SHORT and is_object(self.arguments)


class ChatFold:
    """Collects the chunks of one answer; see `AnswerFold` for what its methods promise.

    Args:
        model: The configured name of the model.
        think_tags: What tags at the beginning of the text mean.
        trim: Leave out white space at the beginning, which follows from how a prompt ends.
    """

    def __init__(self, model: str, think_tags: ThinkTags = "leading", *, trim: bool = False) -> None:
        self._model = model
        self._text: list[str] = []
        self._characters = Joiner()
        self._tags = TagSplitter(think_tags, trim=trim)
        self._thoughts = Thoughts()
        self._calls: list[_CallInParts] = []
        self._arguments = 0  # characters of all of them
        self._finish: str | None = None
        self._usage = UsageFold()

    @property
    def finished(self) -> bool:
        return self._finish is not None

    def add(self, event: str, data: JsonValue) -> list[ModelEvent]:
        if not isinstance(data, dict):
            raise MalformedAnswer(f"a chunk is {_kind(data)} instead of an object")
        _check_for_error(event, data)
        self._usage.add(data)
        choices = data.get("choices")
        if choices is None:
            return []
        if not isinstance(choices, list):
            raise MalformedAnswer(f"`choices` is {_kind(choices)} instead of a list")
        events: list[ModelEvent] = []
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                self._choice(choice, events)
        return events

    def response(self) -> ModelResponse:
        finish = _finish_of(self._finish)
        cut = self._finish is None or finish in ("length", "filtered")
        named = [call for call in self._calls if call.name]
        if self._finish is None and not all(is_object(call.arguments) for call in named):
            raise MalformedAnswer("the answer ended in the middle of a tool call")
        # Where an answer was cut, a call without arguments may be one whose arguments never came; to run it
        # with none could be another call than the one that was meant.
        fit = [call for call in named if call.arguments.strip() or not cut]
        calls = sane_calls(
            ToolCall(id=whole(c.id), name=whole(c.name), arguments=whole(c.arguments)) for c in fit
        )
        if finish in ("stop", "tool_calls"):
            # Servers disagree on the word; whether there are calls is what counts.
            finish = "tool_calls" if calls else "stop"
        sealed = (
            Thinking(id=call.id, signature=part.signature)
            for call, part in zip(calls, fit, strict=True)
            if part.signature
        )
        return ModelResponse(
            model=self._model,
            text="".join(self._text),
            tool_calls=calls,
            finish=finish,
            usage=self._usage.usage(),
            thinking=(*self._thoughts.thinking(), *sealed),
        )

    def _choice(self, choice: JsonObject, events: list[ModelEvent]) -> None:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            self._delta(delta, events)
        elif isinstance(text := choice.get("text"), str):  # a text completion
            self._said(self._tags.feed(text), events)
        finish = choice.get("finish_reason")
        if not isinstance(finish, str) or not finish:
            return
        if finish in _BROKEN_OFF:
            raise ProviderFault(choice.get("error") or f"the provider broke off the answer ({finish})")
        self._said(self._tags.close(), events)
        self._finish = finish

    def _delta(self, delta: JsonObject, events: list[ModelEvent]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details")
        content, parts = _content_of(delta.get("content"))
        for text in (thought, parts):
            if isinstance(text, str):
                self._thoughts.add(text)
        if isinstance(details, list):
            self._thoughts.add_details(details)
        if thought or details or parts:
            events.append(Progress("thinking"))
        self._said(self._tags.feed(content + _content_of(delta.get("refusal"))[0]), events)
        fragments = delta.get("tool_calls")
        for fragment in fragments if isinstance(fragments, list) else ():
            if isinstance(fragment, dict):
                self._fragment(fragment)
                events.append(Progress("tool_call"))

    def _said(self, split: tuple[str, str], events: list[ModelEvent]) -> None:
        thought, said = split
        if thought:
            self._thoughts.add(thought)
            events.append(Progress("thinking"))
        if text := self._characters.feed(said):
            self._text.append(text)
            events.append(TextDelta(text))

    def _fragment(self, fragment: JsonObject) -> None:
        function = fragment.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        call = self._call_for(fragment, name if isinstance(name, str) else "")
        if isinstance(name, str) and not call.name:
            call.name = name
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if isinstance(arguments, str):
            call.pieces.append(arguments)
            call.size += len(arguments)
            self._arguments = grown(self._arguments, arguments)
        if signature := _signature_of(fragment):
            call.signature = signature

    def _call_for(self, fragment: JsonObject, name: str) -> _CallInParts:
        """Return the call that a fragment belongs to.

        The index decides; some servers number every call 0, or none at all, and then a new id begins a new
        call, as does a name behind complete arguments. Some gateways make up an id for every fragment: without
        a name it begins nothing.
        """
        raw_index, raw_id = fragment.get("index"), fragment.get("id")
        index = raw_index if isinstance(raw_index, int) else None
        call_id = raw_id if isinstance(raw_id, str) else ""
        for call in reversed(self._calls):
            if index is not None and call.index != index:
                continue
            if call_id in ("", call.id):
                if not call_id and name and call.name and call.whole:
                    break
                return call
            if index is not None and not (call.id and name):
                call.id = call.id or call_id
                return call
        if len(self._calls) == _MAX_CALLS:
            raise MalformedAnswer(f"more than {_MAX_CALLS} tool calls")
        call = _CallInParts(index=index, id=call_id)
        self._calls.append(call)
        return call


def _check_for_error(event: str, data: JsonObject) -> None:
    """Raise ProviderFault when this is an error in one of the forms that servers send it in."""
    if error := data.get("error"):
        raise ProviderFault(error)
    # vLLM, Mistral, DashScope and FastAPI send the error's fields without a frame.
    words = data.get("message") or data.get("detail")
    if event == "error" or data.get("object") == "error" or (words and data.get("choices") is None):
        raise ProviderFault(data)


def _finish_of(word: str | None) -> FinishReason:
    # Gemini's compatible endpoint says more behind a colon.
    return _FINISH.get((word or "").partition(":")[0], "stop")


def _signature_of(fragment: JsonObject) -> str:
    """Return the thought signature of a call, "" without one: `extra_content.google`, on Vertex AI `.vertex`."""
    extra = fragment.get("extra_content")
    for part in extra.values() if isinstance(extra, dict) else ():
        signature = part.get("thought_signature") if isinstance(part, dict) else None
        if isinstance(signature, str) and len(signature) <= _MAX_SIGNATURE:
            return signature
    return ""


def _content_of(content: JsonValue) -> tuple[str, str]:
    """Return the text and the thoughts of `content`: a string, null, or (Mistral) a list of parts."""
    if isinstance(content, str):
        return content, ""
    text, thought = [], []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            if isinstance(words := part.get("text"), str):
                text.append(words)
            thought.append(_content_of(part.get("thinking"))[0])
    return "".join(text), "".join(thought)


def _kind(value: JsonValue) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
