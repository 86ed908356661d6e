"""A scripted server that speaks Anthropic's Messages, and refuses what the real one refuses.

Source: Claude API reference, "Create a Message", "Streaming Messages", "Errors"; the words of the refusals are
those that clients have reported. The vendor's SDK checks it (tests/unit/models/test_anthropic_sdk.py).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.anthropic_rules import (
    FIELDS,
    Block,
    check_block,
    check_form,
    check_results,
    check_sampling,
    check_text,
    check_tools,
    content_of,
    mark_of,
    marks_in,
    prefix_of,
    refuse,
    seal,
)
from tests.fakes.model_site import Event, Fault, ModelSite, Refused, Seen, in_pieces, only

if TYPE_CHECKING:
    from collections.abc import Iterator

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def thinking(text: str) -> Block:
    """Return a block of thinking as the server seals it."""
    return {"type": "thinking", "thinking": text, "signature": seal(text)}


def redacted(text: str) -> Block:
    """Return a block of thinking that nobody may read."""
    return {"type": "redacted_thinking", "data": seal(f"redacted {text}")}


def said(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def tool_use(call_id: str, name: str, /, **arguments: Any) -> Block:
    """Return a call."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


@dataclass(kw_only=True)
class Answer(Fault):
    """What the server does with one request; the defaults are a good streamed answer."""

    text: str | None = None  # None: "you said: " and the last text of the user
    blocks: list[Block] | None = None  # instead of `text`
    stop: str | None = None  # default: tool_use where there are calls, else end_turn
    pings: int = 1
    fragment: int = 5  # characters of a delta
    usage: dict[str, Any] = field(
        default_factory=lambda: {
            "input_tokens": 8,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 300,
            "output_tokens": 7,
        }
    )


class FakeAnthropic(ModelSite[Answer]):
    """The server.

    Args:
        answers: Used up in order; afterwards `default` answers.
        default: The answer to all further requests.
        key: The only one that is let in; None: any, or none.
        max_chars: Longest conversation, in characters of JSON.
        binds: Whether a seal holds only as long as what stood before it, as with the newest models.
    """

    def __init__(
        self,
        *answers: Answer,
        default: Answer | None = None,
        key: str | None = None,
        max_chars: int = 10_000_000,
        binds: bool = False,
    ) -> None:
        super().__init__(*answers, default=default or Answer(), key=key)
        self._max_chars = max_chars
        self._binds = binds
        self._issued: dict[str, list[str]] = {}  # what stood beside a call, by its id
        self._before: dict[str, str] = {}  # what stood before a call, by its id

    # --- answers

    def events(self, seen: Seen, answer: Answer) -> Iterator[Event]:
        blocks = self._blocks(seen, answer)
        start = {**answer.usage, "output_tokens": 1}
        yield _event("message_start", message=self._message(seen, [], None, start))
        for index, block in enumerate(blocks):
            yield _event("content_block_start", index=index, content_block=_empty(block))
            if index == 0:
                for _ in range(answer.pings):
                    yield _event("ping")
            for delta in _deltas(block, answer.fragment):
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        delta = {"stop_reason": _stop(blocks, answer), "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage=answer.usage)
        yield _event("message_stop")

    def whole(self, seen: Seen, answer: Answer) -> dict[str, Any]:
        blocks = self._blocks(seen, answer)
        return self._message(seen, [_unraw(b) for b in blocks], _stop(blocks, answer), answer.usage)

    def error_body(self, status: int, error: dict[str, Any]) -> dict[str, Any]:
        full = {"type": _ERRORS.get(status, "api_error"), **error}
        return {"type": "error", "error": full, "request_id": "req_fake"}

    def error_event(self, error: dict[str, Any]) -> Event:
        return _event("error", error=error, request_id="req_fake")

    def _blocks(self, seen: Seen, answer: Answer) -> list[Block]:
        if answer.blocks is None:
            text = answer.text if answer.text is not None else f"you said: {_last_text(seen.body)}"
            return [said(text)] if text else []
        beside = [mark_of(block) for block in answer.blocks if block["type"] != "text"]
        for block in answer.blocks:
            if block["type"] == "tool_use":
                self._issued[block["id"]] = beside
                self._before[block["id"]] = prefix_of(seen.body, len(seen.body["messages"]))
        return answer.blocks

    def _message(
        self, seen: Seen, content: list[Block], stop: str | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "id": "msg_fake",
            "type": "message",
            "role": "assistant",
            "model": seen.body["model"],
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        }

    # --- checks

    def check(self, seen: Seen) -> None:
        body = seen.body
        given = seen.headers.get("x-api-key") or seen.headers.get("authorization", "").removeprefix("Bearer ")
        if self.key is not None and given != self.key:
            raise Refused(401, {"message": "invalid x-api-key"})
        if "anthropic-version" not in seen.headers:
            refuse("anthropic-version: header is required")
        if not seen.path.endswith("/v1/messages"):
            raise Refused(404, {"message": "Not found"})
        if seen.headers["anthropic-version"] >= "2026-10-21" and "temperature" in body:
            refuse("temperature: Extra inputs are not permitted")
        if field_name := only(FIELDS, body):
            refuse(f"{field_name}: Extra inputs are not permitted")
        for name in ("model", "max_tokens", "messages"):
            if not body.get(name):
                refuse(f"{name}: Field required")
        if (size := len(json.dumps(body["messages"]))) > self._max_chars:
            refuse(f"prompt is too long: {size} tokens > {self._max_chars} maximum")
        if (marks := marks_in(body)) > 4:
            refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")
        system = body.get("system", ())
        for block in system if isinstance(system, list) else ():
            check_text("system", block)
        check_tools(body)
        self._check_messages(body)
        check_sampling(body)
        form = body.get("output_config", {}).get("format")
        if form is not None:
            check_form(form["schema"])

    def _check_messages(self, body: dict[str, Any]) -> None:
        roles = [message["role"] for message in body["messages"]]
        if roles[0] != "user":
            refuse('messages: first message must use the "user" role')
        for before, role in itertools.pairwise(roles):
            if before == role:
                refuse(f'messages: roles must alternate, but found multiple "{role}" roles in a row')
        if roles[-1] == "assistant":
            refuse("This model does not support assistant message prefill.")
        called: list[str] = []  # ids of the message before
        ids: set[str] = set()
        for number, message in enumerate(body["messages"]):
            blocks = content_of(message)
            if not blocks:
                refuse(f"messages.{number}: content must be non-empty")
            for place, block in enumerate(blocks):
                check_block(f"messages.{number}.content.{place}", message["role"], block)
            check_results(number, called, blocks)
            called = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if ids & set(called) or len(set(called)) < len(called):
                refuse(f"messages.{number}: `tool_use` ids must be unique")
            ids.update(called)
        if ids and "tools" not in body:
            refuse("Requests which have `tool_use` or `tool_result` blocks in messages must define tools.")
        self._check_turn(body)

    def _check_turn(self, body: dict[str, Any]) -> None:
        """Check the thinking of the turn under way: there, complete, in its order."""
        messages = body["messages"]
        begun = max(
            i for i, m in enumerate(messages)
            if m["role"] == "user" and not any(b["type"] == "tool_result" for b in content_of(m))
        )  # fmt: skip
        budget = body.get("thinking", {}).get("type") == "enabled"
        for number, message in enumerate(messages[begun:], start=begun):
            if message["role"] != "assistant":
                continue
            blocks = content_of(message)
            if budget and blocks[0]["type"] not in ("thinking", "redacted_thinking"):
                refuse(
                    f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, "
                    f"but found `{blocks[0]['type']}`."
                )
            beside = [mark_of(block) for block in blocks if block["type"] != "text"]
            if not budget and not any(m.startswith("seal") for m in beside):
                continue  # all of it may be left out, a part may not
            bound = next((self._before[m] for m in beside if m in self._before), None)
            if self._binds and bound not in (None, prefix_of(body, number)):
                refuse(
                    f"messages.{number}.content.0: Invalid `signature` in `thinking` block. "
                    "The block is bound to a different conversation."
                )
            issued = next((self._issued[m] for m in beside if m in self._issued), beside)
            if beside != issued:
                refuse(
                    f"messages.{number}.content: `thinking` or `redacted_thinking` blocks in the latest "
                    "assistant message cannot be modified."
                )


# --- stream ---------------------------------------------------------------------------------------------


def _event(kind: str, **more: Any) -> Event:
    return kind, {"type": kind, **more}


def _empty(block: Block) -> Block:
    match block["type"]:
        case "text":
            return said("")
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use":
            return {**block, "input": {}}
        case _:
            return block


def _deltas(block: Block, size: int) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            for piece in in_pieces(block["text"], size):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in in_pieces(block["thinking"], size):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            given = block["input"]
            raw = given if isinstance(given, str) else json.dumps(given)  # a text: as the model broke it off
            for piece in in_pieces(raw, size):
                yield {"type": "input_json_delta", "partial_json": piece}
        case _:
            pass


def _unraw(block: Block) -> Block:
    return {**block, "input": {}} if isinstance(block.get("input"), str) else block


def _stop(blocks: list[Block], answer: Answer) -> str:
    calls = any(block["type"] == "tool_use" for block in blocks)
    return answer.stop or ("tool_use" if calls else "end_turn")


def _last_text(body: dict[str, Any]) -> str:
    texts = [b["text"] for m in body["messages"] if m["role"] == "user" for b in content_of(m) if "text" in b]
    return texts[-1] if texts else ""
