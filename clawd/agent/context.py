"""What a model is shown: instructions, the session so far, this turn. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.agent.turn import Turn, fold
from clawd.commands import InPlace, parse
from clawd.messages import Audio, File, Image, Text
from clawd.models.base import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage
from clawd.texts import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.journal.base import PastTurn
    from clawd.messages import InboundMessage, Part


def build_context(
    instructions: str,
    history: Sequence[PastTurn],
    message: InboundMessage,
    turn: Turn,
    *,
    history_chars: int,
    merged: Mapping[int, InboundMessage] | None = None,
) -> tuple[ChatMessage, ...]:
    """Return the messages of the next request.

    Args:
        instructions: The system prompt.
        history: The session's finished turns, oldest first.
        message: The message that this turn answers.
        turn: What has happened in this turn.
        history_chars: Greatest size of the history in characters; the newest turns that fit are kept.
        merged: Further messages that became part of this turn, by their sequence number.
    """
    kept: list[list[ChatMessage]] = []
    left = history_chars
    for past in reversed(history):
        messages = _past(past)
        left -= sum(_size(m) for m in messages)
        if left < 0:
            break
        kept.append(messages)
    older = [m for messages in reversed(kept) for m in messages]
    return (SystemMessage(instructions), *older, _user(message), *_steps(turn, merged or {}))


def _past(past: PastTurn) -> list[ChatMessage]:
    turn = fold(past.records)
    if turn.finished is None or turn.finished.outcome == "dead":
        return []
    if isinstance(parse(past.message.text), InPlace):
        return []  # a command: its words matter to people, not to the model
    steps = _steps(turn, {queued.seq: queued.message for queued in past.merged})
    if turn.finished.outcome != "answered":
        # A model must not see calls without results, nor its own half sentence as if it were whole.
        more = [_user(queued.message) for queued in past.merged]
        steps = [*more, AssistantMessage(text=turn.finished.text)]
    return [_user(past.message), *steps]


def _steps(turn: Turn, merged: Mapping[int, InboundMessage]) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    merges = list(turn.merges)

    def take_in(before: int | None) -> None:
        """Add what was merged in front of this step; all that is left for None."""
        while merges and (before is None or merges[0].step <= before):
            messages.extend(_user(merged[seq]) for seq in merges.pop(0).seqs if seq in merged)

    for result in turn.responses:
        take_in(result.step)
        response = result.response
        messages.append(AssistantMessage(text=response.text, tool_calls=response.tool_calls))
        for step, call in enumerate(response.tool_calls, start=result.step + 1):
            if done := turn.done.get(step):
                messages.append(ToolMessage(call_id=call.id, name=call.name, text=done.text))
    take_in(None)
    return messages


def _user(message: InboundMessage) -> UserMessage:
    return UserMessage(tuple(_readable(part, message.sender.language) for part in message.parts))


def _readable(part: Part, language: str | None) -> Part:
    """Replace what no model here can look at yet by a note, so that the model can say so."""
    match part:
        case Text():
            return part
        case Image():
            return Text(say("attachment", language, kind="image", name=part.mime or ""))
        case Audio():
            return Text(say("attachment", language, kind="audio", name=part.mime or ""))
        case File():
            return Text(say("attachment", language, kind="file", name=part.name or part.mime or ""))


def _size(message: ChatMessage) -> int:
    match message:
        case UserMessage(parts):
            return sum(len(p.text) for p in parts if isinstance(p, Text))
        case AssistantMessage():
            return len(message.text) + sum(len(c.arguments) for c in message.tool_calls)
        case SystemMessage() | ToolMessage():
            return len(message.text)
