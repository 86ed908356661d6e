"""A scripted server that speaks OpenAI's Responses, and refuses what the real one refuses.

Source: OpenAI API reference, "Create a model response", "Streaming events"; the words of the refusals are those
that clients have reported. The vendor's SDK checks it (tests/unit/models/test_responses_sdk.py).
"""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.model_site import Event, Fault, ModelSite, Refused, Seen, in_pieces, only, open_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

Item = dict[str, Any]

_FIELDS = {
    "model", "input", "instructions", "stream", "store", "include", "tools", "tool_choice", "reasoning",
    "max_output_tokens", "temperature", "text", "parallel_tool_calls", "metadata", "top_p", "truncation",
}  # fmt: skip
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _seal(text: str) -> str:
    return "seal" + hashlib.sha256(text.encode()).hexdigest()


def reasoning(item_id: str, *summary: str) -> Item:
    """Return an item of reasoning as the server seals it."""
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": item_id, "summary": parts, "encrypted_content": _seal(item_id)}


def said(text: str, item_id: str = "msg_1") -> Item:
    """Return a message."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": content}


def refused(words: str) -> Item:
    """Return a message that says no."""
    return {**said("", "msg_refused"), "content": [{"type": "refusal", "refusal": words}]}


def call(call_id: str, name: str, arguments: str = "{}", status: str = "completed") -> Item:
    """Return a call; `arguments` as the model wrote them."""
    return {
        "type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name,
        "arguments": arguments, "status": status,
    }  # fmt: skip


@dataclass(kw_only=True)
class Answer(Fault):
    """What the server does with one request; the defaults are a good streamed answer."""

    text: str | None = None  # None: "you said: " and the last text of the user
    items: list[Item] | None = None  # instead of `text`
    incomplete: str | None = None  # why the answer is not complete
    failed: dict[str, Any] | None = None  # the error of `response.failed`
    keepalives: int = 0
    fragment: int = 5  # characters of a delta
    deltas: bool = True  # False: texts and arguments come whole with their items
    usage: dict[str, Any] = field(
        default_factory=lambda: {
            "input_tokens": 328,
            "input_tokens_details": {"cached_tokens": 300, "cache_write_tokens": 20},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 335,
        }
    )


class FakeResponses(ModelSite[Answer]):
    """The server.

    Args:
        answers: Used up in order; afterwards `default` answers.
        default: The answer to all further requests.
        key: The only one that is let in; None: any, or none.
        reasons: Whether its model is one that reasons.
    """

    prefix = "/v1"

    def __init__(
        self, *answers: Answer, default: Answer | None = None, key: str | None = None, reasons: bool = True
    ) -> None:
        super().__init__(*answers, default=default or Answer(), key=key)
        self._reasons = reasons
        self._issued: dict[str, str] = {}  # of an item of reasoning: what followed it

    # --- answers

    def events(self, seen: Seen, answer: Answer) -> Iterator[Event]:
        for number, (kind, data) in enumerate(self._events(seen, answer)):
            yield kind, {"type": kind, "sequence_number": number, **data}

    def _events(self, seen: Seen, answer: Answer) -> Iterator[Event]:
        items = self._items(seen, answer)
        yield "response.created", {"response": _response(seen, "in_progress", [])}
        yield "response.in_progress", {"response": _response(seen, "in_progress", [])}
        for _ in range(answer.keepalives):
            yield "keepalive", {}
        for index, item in enumerate(items):
            yield "response.output_item.added", {"output_index": index, "item": _begun(item)}
            for kind, data in _inner(item, answer):
                yield kind, {"output_index": index, "item_id": item["id"], **data}
            yield "response.output_item.done", {"output_index": index, "item": item}
        if answer.failed is not None:
            response = {**_response(seen, "failed", []), "error": answer.failed}
            yield "response.failed", {"response": response}
            return
        response = self.whole(seen, answer)
        yield f"response.{response['status']}", {"response": response}

    def whole(self, seen: Seen, answer: Answer) -> dict[str, Any]:
        status = "incomplete" if answer.incomplete else "completed"
        response = _response(seen, status, self._items(seen, answer))
        response["usage"] = answer.usage
        response["incomplete_details"] = {"reason": answer.incomplete} if answer.incomplete else None
        return response

    def error_body(self, status: int, error: dict[str, Any]) -> dict[str, Any]:
        kind = "invalid_request_error" if status < 429 else "server_error"
        return {"error": {"type": kind, "param": None, "code": None, **error}}

    def error_event(self, error: dict[str, Any]) -> Event:
        return "error", {"type": "error", "sequence_number": 0, "param": None, **error}

    def _items(self, seen: Seen, answer: Answer) -> list[Item]:
        if answer.items is None:
            text = answer.text if answer.text is not None else f"you said: {_last_text(seen.body)}"
            return [said(text)] if text else []
        for item, following in itertools.pairwise(answer.items):
            if item["type"] == "reasoning":
                self._issued[item["id"]] = str(following.get("call_id"))
        return answer.items

    # --- checks

    def check(self, seen: Seen) -> None:
        body = seen.body
        if self.key is not None and seen.headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, {"message": "Incorrect API key provided.", "code": "invalid_api_key"})
        if not seen.path.endswith("/v1/responses"):
            raise Refused(404, {"message": "Invalid URL", "code": None})
        if name := only(_FIELDS, body):
            _refuse(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        for name in ("model", "input"):
            if not body.get(name):
                _refuse(f"Missing required parameter: '{name}'.", param=name)
        if body.get("max_output_tokens", 16) < 16:
            _refuse("Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16")
        self._check_model(body)
        _check_tools(body)
        form = body.get("text", {}).get("format", {"type": "text"})
        if form["type"] == "json_schema":
            if not _NAME.fullmatch(form["name"]):
                _refuse("Invalid 'text.format.name'")
            if form.get("strict") and open_objects(form["schema"], all_required=True):
                _refuse("Invalid schema for response_format: 'additionalProperties' is required to be false.")
        if isinstance(body["input"], list):
            self._check_input(body)

    def _check_model(self, body: dict[str, Any]) -> None:
        thinks = self._reasons and body.get("reasoning", {}).get("effort") != "none"
        if "temperature" in body and thinks:
            _refuse("Unsupported parameter: 'temperature' is not supported with this model.")
        if self._reasons:
            return
        if body.get("reasoning"):
            _refuse("Unsupported parameter: 'reasoning.effort' is not supported with this model.")
        if "reasoning.encrypted_content" in body.get("include", ()):
            _refuse("Encrypted content is not supported with this model.")

    def _check_input(self, body: dict[str, Any]) -> None:
        calls: list[str] = []
        results: list[str] = []
        items = body["input"]
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else {}
            match item.get("type", "message"):
                case "message":
                    _check_message(f"input[{number}]", item)
                case "function_call":
                    if len(item["call_id"]) > 64 or not _NAME.fullmatch(item["name"]):
                        _refuse(f"Invalid 'input[{number}].call_id' or '.name'")
                    if not isinstance(item["arguments"], str):
                        _refuse(f"Invalid type for 'input[{number}].arguments'")
                    calls.append(item["call_id"])
                case "function_call_output":
                    if item["call_id"] not in calls:
                        _refuse(
                            f"No tool call found for function call output with call_id {item['call_id']}."
                        )
                    results.append(item["call_id"])
                case "reasoning":
                    self._check_reasoning(item, following)
                case kind:
                    _refuse(f"Invalid value: '{kind}'.", param=f"input[{number}]", code="invalid_value")
        if missing := [i for i in calls if i not in results]:
            _refuse(f"No tool output found for function call {missing[0]}.")

    def _check_reasoning(self, item: Item, following: Item) -> None:
        if not item.get("encrypted_content"):
            words = "not found. Items are not persisted when `store` is set to false."
            raise Refused(404, {"message": f"Item with id '{item['id']}' {words}"})
        if item["encrypted_content"] != _seal(item["id"]):
            _refuse(f"The encrypted content for item {item['id']} could not be verified.")
        if not isinstance(item.get("summary"), list):
            _refuse("Missing required parameter: 'input[0].summary'.")
        if str(following.get("call_id")) != self._issued.get(item["id"]):
            _refuse(
                f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
            )


def _refuse(message: str, **more: str) -> None:
    raise Refused(400, {"message": message, **more})


def _check_message(where: str, message: Item) -> None:
    allowed = {"assistant": {"output_text", "refusal"}}.get(message["role"], {"input_text", "input_image"})
    content = message["content"]
    for part in content if isinstance(content, list) else ():
        if part["type"] not in allowed:
            _refuse(f"Invalid value: '{part['type']}'.", param=where, code="invalid_value")
        if part["type"] == "input_image" and not part["image_url"].startswith(("http", "data:image/")):
            _refuse("Invalid 'image_url'. Expected a valid URL.", param=where, code="invalid_value")
    if not content:
        _refuse(f"Invalid '{where}.content': empty array.")


def _check_tools(body: dict[str, Any]) -> None:
    for tool in body.get("tools", ()):
        if tool["type"] == "function" and not _NAME.fullmatch(tool["name"]):
            _refuse("Invalid 'tools[0].name': string does not match pattern.")
        # Where nothing is said the API is strict.
        if tool.get("strict") is not False and open_objects(tool["parameters"], all_required=True):
            _refuse(f"Invalid schema for function '{tool['name']}': 'additionalProperties' is required.")


def _response(seen: Seen, status: str, output: list[Item]) -> dict[str, Any]:
    return {
        "id": "resp_fake", "object": "response", "created_at": 0, "status": status, "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "model": seen.body.get("model"),
        "output": output, "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "store": False, "usage": None,
    }  # fmt: skip


def _begun(item: Item) -> Item:
    match item["type"]:
        case "message":
            return {**item, "content": [], "status": "in_progress"}
        case "function_call":
            return {**item, "arguments": "", "status": "in_progress"}
        case _:
            return {**item, "summary": [], "encrypted_content": item["encrypted_content"][:9]}


def _inner(item: Item, answer: Answer) -> Iterator[Event]:
    """Yield what comes between the beginning and the end of an item."""
    match item["type"]:
        case "message":
            for number, part in enumerate(item["content"]):
                kind = part["type"]
                name = "text" if kind == "output_text" else "refusal"
                place = {"content_index": number, **({"logprobs": []} if name == "text" else {})}
                empty = {**part, name: ""}
                yield "response.content_part.added", {"content_index": number, "part": empty}
                for piece in in_pieces(part[name], answer.fragment) if answer.deltas else ():
                    yield f"response.{kind}.delta", {**place, "delta": piece}
                yield f"response.{kind}.done", {**place, name: part[name]}
                yield "response.content_part.done", {"content_index": number, "part": part}
        case "function_call":
            for piece in in_pieces(item["arguments"], answer.fragment) if answer.deltas else ():
                yield "response.function_call_arguments.delta", {"delta": piece}
            done = {"arguments": item["arguments"], "name": item["name"]}
            yield "response.function_call_arguments.done", done
        case _:
            for number, part in enumerate(item["summary"]):
                place = {"summary_index": number}
                begun = {**place, "part": {**part, "text": ""}}
                yield "response.reasoning_summary_part.added", begun
                for piece in in_pieces(part["text"], answer.fragment):
                    yield "response.reasoning_summary_text.delta", {**place, "delta": piece}
                yield "response.reasoning_summary_text.done", {**place, "text": part["text"]}
                yield "response.reasoning_summary_part.done", {**place, "part": part}


def _last_text(body: dict[str, Any]) -> str:
    if isinstance(body["input"], str):
        return str(body["input"])
    content = [item["content"] for item in body["input"] if item.get("role") == "user"]
    texts = [c if isinstance(c, str) else "".join(p.get("text", "") for p in c) for c in content]
    return texts[-1] if texts else ""
