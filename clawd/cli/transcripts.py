"""A conversation's export in three forms: what the daemon streams, as lines, as one object, as Markdown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Frame = dict[str, Any]


def jsonl(frames: Iterable[Frame]) -> Iterator[str]:
    """Yield one JSON object a line, `type` first: the conversation, then its turns and pushes."""
    for frame in frames:
        yield json.dumps(frame, ensure_ascii=False) + "\n"


def one_object(frames: Iterable[Frame], schema_version: int) -> Iterator[str]:
    """Yield one JSON object, `{schema_version, conversation, entries}`, without holding all of it."""
    rest = iter(frames)
    head = next(rest)
    start = {"schema_version": schema_version, "conversation": head}
    yield json.dumps(start, ensure_ascii=False)[:-1] + ', "entries": ['
    for number, frame in enumerate(rest):
        yield (", " if number else "") + json.dumps(frame, ensure_ascii=False)
    yield "]}\n"


def markdown(frames: Iterable[Frame]) -> Iterator[str]:
    """Yield a document for people: questions, what was done for them, answers, and where each went."""
    for frame in frames:
        match frame["type"]:
            case "conversation":
                yield f"# {frame['address']}\n\n{frame['turns']} messages, exported {frame['exported_at']}\n"
            case "turn":
                yield from _turn(frame)
            case _:
                yield f"\n## Sent by clawd, {frame['at']}\n\n{frame['text'] or ''}\n\n{_delivery(frame)}\n"


def _turn(turn: Frame) -> Iterator[str]:
    message = turn["message"]
    sender = message.get("sender") or {}
    who = sender.get("name") or sender.get("id") or "unknown"
    yield f"\n## {who}, {turn['accepted_at']}\n\n{_said(message)}\n"
    if turn["merged_into"] is not None:
        yield f"\n*answered together with message {turn['merged_into']}*\n"
        return
    for record in turn["records"]:
        yield from _record(record)
    ended = f", ended {turn['ended_at']}" if turn["ended_at"] else ""
    yield f"\n*{turn['id']}: {turn['state']}{ended}*\n"
    for delivery in turn["deliveries"]:
        yield f"\n{_delivery(delivery)}\n"


def _said(message: Frame) -> str:
    if "raw" in message:
        return _unreadable(message)
    return "\n\n".join(_part(part) for part in message["parts"])


def _part(part: Frame) -> str:
    if "text" in part:
        return str(part["text"])
    told = ", ".join(f"{key}: {value}" for key, value in part.items() if value is not None)
    return f"*attachment: {told}*"


def _record(record: Frame) -> Iterator[str]:
    body, kind, at = record["record"], record["kind"], record["at"]
    if "raw" in body:
        yield f"\n{_unreadable(body)}\n"
        return
    match kind:
        case "llm.result" | "summary.result":
            response = body["response"]
            yield f"\n### {response['model']}, step {record['step']}, {at}{_usage(response)}\n"
            if response["text"]:
                yield f"\n{response['text']}\n"
            for call in response["tool_calls"]:
                yield f"\nCalls `{call['name']}`:\n\n{_fenced(call['arguments'])}\n"
        case "tool.result":
            head = f"{body['name']}: {body['outcome']} after {body['duration_s']:.3f} s"
            yield f"\n### {head}, step {record['step']}, {at}\n\n{_fenced(body['text'])}\n"
        case "turn.finished":
            yield f"\n### Answer, {at}\n\n{body['text']}\n"
            if body["error"]:
                yield f"\n*{body['error']}*\n"
        case "turn.waiting":
            yield f"\n*asks whether `{body['name']}` may run, until {body['deadline']}*\n\n{_fenced(body['subject'])}\n"
        case "turn.resumed":
            yield f"\n*{'approved' if body['approved'] else 'denied'} ({body['why']}), {at}*\n"
        case _:
            pass  # how it went about it; JSON has everything


def _usage(response: Frame) -> str:
    usage = response.get("usage") or {}
    counts = [
        f"{usage[key]} {word}"
        for key, word in (("input_tokens", "in"), ("output_tokens", "out"))
        if usage.get(key) is not None
    ]
    return f" ({', '.join(counts)} tokens)" if counts else ""


def _delivery(delivery: Frame) -> str:
    ended = f", {delivery['ended_at']}" if delivery["ended_at"] else ""
    why = f" ({delivery['why']})" if delivery["why"] else ""
    return f"*{delivery['id']}: {delivery['state']} after {delivery['attempts']} attempts{ended}{why}*"


def _unreadable(row: Frame) -> str:
    return f"*can't be read: {row['why']}*\n\n{_fenced(row['raw'])}"


def _fenced(text: str) -> str:
    """Return text as a code block whose fence no line of it ends."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
