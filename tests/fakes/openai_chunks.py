"""What the scripted OpenAI-compatible server says, in the two forms of OpenAI's completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.openai_api import Reply, Seen


def form_of(seen: Seen, reply: Reply) -> str:
    """Return the form of the answer: that of the request, unless the reply says otherwise."""
    return reply.form or ("completion" if "prompt" in seen.body else "chat")


def pieces(seen: Seen, reply: Reply) -> list[str]:
    if reply.chunks is not None:
        return reply.chunks
    text = reply.text if reply.text is not None else f"you said: {seen.last_user_text}"
    if reply.tool_calls and reply.text is None:
        return []
    return [text[i : i + 5] for i in range(0, len(text), 5)]


def deltas(seen: Seen, reply: Reply) -> Iterator[dict[str, Any]]:
    """Yield what the chunks add, as chat deltas."""
    if reply.null_content and form_of(seen, reply) == "chat":
        yield {"role": "assistant", "content": None}
    for thought in reply.reasoning:
        yield {reply.reasoning_field: thought}
    for piece in pieces(seen, reply):
        yield {"content": piece}
    for index, call in enumerate(reply.tool_calls):
        arguments, step = call["arguments"], max(1, reply.tool_fragment)
        head = {"name": call["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": head}]}
        for start in range(0, len(arguments), step):
            fragment = {"arguments": arguments[start : start + step]}
            yield {"tool_calls": [{"index": index, "function": fragment}]}


def chunk(
    seen: Seen,
    reply: Reply,
    delta: dict[str, Any] | None,
    *,
    finish: str | None = None,
    usage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one chunk; without a delta it has no choices, as the one that carries the usage."""
    chat = form_of(seen, reply) == "chat"
    said: dict[str, Any] = {"delta": delta} if chat else {"text": (delta or {}).get("content") or ""}
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-fake" if chat else "cmpl-fake",
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": 0,
        "model": seen.body.get("model"),
        "choices": [] if delta is None else [choice],
        **({"usage": usage} if usage is not None else {}),
    }


def complete(seen: Seen, reply: Reply) -> dict[str, Any]:
    """Return the whole answer as one object."""
    chat = form_of(seen, reply) == "chat"
    calls = [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
        for c in reply.tool_calls
    ]
    text = "".join(pieces(seen, reply))
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    if reply.reasoning:
        message[reply.reasoning_field] = "".join(reply.reasoning)
    finish = reply.finish or ("tool_calls" if calls else "stop")
    said: dict[str, Any] = {"message": message} if chat else {"text": text}
    return {
        "id": "chatcmpl-fake" if chat else "cmpl-fake",
        "object": "chat.completion" if chat else "text_completion",
        "created": 0,
        "model": seen.body.get("model"),
        "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish}],
        **({"usage": reply.usage} if reply.usage is not None else {}),
    }
