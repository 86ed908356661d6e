"""What Anthropic's Messages refuse of a request, as far as one request shows it. Pure.

The words are those that clients have reported.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from tests.fakes.model_site import Refused, open_objects

Block = dict[str, Any]

FIELDS = {
    "model", "max_tokens", "messages", "system", "stream", "temperature", "tools", "tool_choice",
    "thinking", "output_config", "metadata", "stop_sequences", "top_k", "top_p", "service_tier",
}  # fmt: skip
_BLOCKS = {
    "user": {"text", "image", "tool_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking"},
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_PICTURES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def seal(text: str) -> str:
    return "seal" + hashlib.sha256(text.encode()).hexdigest()


def refuse(message: str) -> None:
    raise Refused(400, {"message": message})


def content_of(message: dict[str, Any]) -> list[Block]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def mark_of(block: Block) -> str:
    """Return what tells a block that is not text from others."""
    return str(block.get("id") or block.get("signature") or block.get("data"))


def check_form(schema: Any) -> None:
    if open_objects(schema):
        refuse("output_config.format.schema: For 'object' type, 'additionalProperties' must be false")
    if isinstance(schema, dict):
        if schema.get("type") == "integer" and "minimum" in schema:
            refuse("output_config.format.schema: For 'integer' type, property 'minimum' is not supported")
        for part in (*schema.get("properties", {}).values(), schema.get("items")):
            check_form(part)


def prefix_of(body: dict[str, Any], messages: int) -> str:
    """Return what stands before a message, without the marks for the cache."""
    before = [body.get("system"), body.get("tools"), body["messages"][:messages]]
    return re.sub(r', "cache_control": \{[^}]*\}', "", json.dumps(before))


def marks_in(value: Any) -> int:
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(marks_in(part) for part in value.values())
    return sum(marks_in(part) for part in value) if isinstance(value, list) else 0


def check_text(where: str, block: Block) -> None:
    if not block["text"].strip():
        refuse(f"{where}: text content blocks must contain non-whitespace text")


def _check_picture(where: str, source: dict[str, Any]) -> None:
    good = (
        source["url"].lower().startswith("https://")
        if source["type"] == "url"
        else source["media_type"] in _PICTURES and bool(source["data"])
    )
    if not good:
        refuse(
            f"{where}.image.source: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        )


def check_results(number: int, called: list[str], blocks: list[Block]) -> None:
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    kinds = [block["type"] == "tool_result" for block in blocks]
    if unknown := [i for i in results if i not in called]:
        refuse(f"messages.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {unknown[0]}.")
    missing = [i for i in called if i not in results]
    if missing or kinds != sorted(kinds, reverse=True) or results != called:
        refuse(
            f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing or results)}."
        )


def check_tools(body: dict[str, Any]) -> None:
    names = [tool["name"] for tool in body.get("tools", ())]
    for tool in body.get("tools", ()):
        if not _NAME.fullmatch(tool["name"]) or tool["input_schema"].get("type") != "object":
            refuse("tools.0.custom.input_schema.type: Field required")
    if len(set(names)) < len(names):
        refuse("tools: Tool names must be unique.")
    choice = body.get("tool_choice", {"type": "auto"})
    if choice["type"] == "tool" and choice["name"] not in names:
        refuse(f"Tool '{choice['name']}' not found in provided tools")
    if "tool_choice" in body and not names:
        refuse("tool_choice: may only be specified while providing tools")


def check_sampling(body: dict[str, Any]) -> None:
    temperature = body.get("temperature", 1)
    if not 0 <= temperature <= 1:
        refuse("temperature: range: 0..1")
    mode = body.get("thinking", {"type": "disabled"})
    if mode["type"] == "disabled":
        return
    if temperature != 1:
        refuse("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")
    if mode["type"] != "enabled":
        if "budget_tokens" in mode:
            refuse("thinking.adaptive.budget_tokens: Extra inputs are not permitted")
        return
    if mode["budget_tokens"] < 1024:
        refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if body["max_tokens"] <= mode["budget_tokens"]:
        refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        refuse("Thinking may not be enabled when tool_choice forces tool use.")


def check_block(where: str, role: str, block: Block) -> None:
    kind = block["type"]
    if kind not in _BLOCKS[role]:
        refuse(f"{where}: `{kind}` blocks are not permitted in `{role}` messages")
    match kind:
        case "text":
            check_text(where, block)
        case "thinking":
            if block["signature"] != seal(block["thinking"]) or "cache_control" in block:
                refuse(f"{where}: Invalid `signature` in `thinking` block")
        case "redacted_thinking":
            if not block["data"].startswith("seal"):
                refuse(f"{where}: Invalid `data` in `redacted_thinking` block")
        case "tool_use":
            good = _ID.fullmatch(block["id"]) and _NAME.fullmatch(block["name"])
            if not good or not isinstance(block["input"], dict):
                refuse(f"{where}: Input should be a valid call")
        case "image":
            _check_picture(where, block["source"])
        case _:
            pass
