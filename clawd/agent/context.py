"""What a model may be shown: the session so far and this turn, as blocks that stay whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from clawd.agent.turn import Turn, fold
from clawd.agent.undoing import asked_again, kept
from clawd.commands import is_in_place
from clawd.messages import Text
from clawd.models.base import AssistantMessage, ChatMessage, ToolMessage, UserMessage
from clawd.models.pictures import is_shown, note_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clawd.journal.base import PastTurn
    from clawd.messages import InboundMessage, Part

TAKEN_BACK: Final = (
    "[Note: the user took back an earlier exchange that the summary may still mention. Ignore that exchange.]"
)

Shown: TypeAlias = "Callable[[InboundMessage], InboundMessage]"
"""Makes of a message what a model is shown of it."""


def as_written(message: InboundMessage) -> InboundMessage:
    """Return the message: it is shown whole."""
    return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Messages that are shown together or not at all: a past turn, or a model's step with its results."""

    messages: tuple[ChatMessage, ...]
    seq: int = 0  # of a past turn
    needs_seq: int = 0  # the turn whose message a past one asked again, else its own
    step: int = 0  # of this turn: the last step of the block


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All that could be shown, in order: past turns, the question, this turn's steps."""

    past: tuple[Block, ...]
    question: tuple[UserMessage, ...]
    # What the question's client tells of earlier; no summary ever stands for it.
    context: tuple[Block, ...] = ()
    steps: tuple[Block, ...] = ()
    needs_seq: int | None = None  # a past turn whose message is the question
    instructions: tuple[str, ...] = ()  # of the question's client, behind the agent's own


def lay_out(
    history: Sequence[PastTurn],
    past: tuple[Block, ...],
    message: InboundMessage,
    turn: Turn,
    merged: Mapping[int, InboundMessage],
    *,
    through_step: int = 0,
    shown: Shown = as_written,
) -> Layout:
    """Return what the next request could show.

    Args:
        history: The session's finished turns, oldest first.
        past: What `past_blocks` makes of them: the same for every request of a turn.
        message: The message that this turn answers.
        turn: What has happened in this turn.
        merged: Further messages that became part of this turn, by their sequence number.
        through_step: This turn's steps up to here are in the summary; its messages are shown all the same.
        shown: Makes of a message what a model is shown of it.
    """
    again = asked_again(history, turn.undone.again) if turn.undone is not None else None
    first = question(message, again)
    senders = {m.sender.id for m in (*first, *merged.values()) if m.group}
    several = len(senders) > 1
    merged = {seq: shown(m) for seq, m in merged.items()}
    early, blocks = _steps(turn, merged, through_step=through_step, several=several, in_work=True)
    return Layout(
        past=past,
        context=tuple(Block(messages=(said,)) for said in _told(first[0])),
        question=(*(_user(shown(m), several=several) for m in first), *early),
        steps=blocks,
        needs_seq=again.seq if again is not None else None,
        instructions=_instructions(first[0]),
    )


def _instructions(message: InboundMessage) -> tuple[str, ...]:
    """Return what the message's client wants models to be told beside the agent's own instructions."""
    return tuple(said.text for said in message.context or () if said.role == "system")


def _told(message: InboundMessage) -> list[ChatMessage]:
    """Return what was said before a message elsewhere, as its client tells it."""
    return [
        AssistantMessage(text=said.text) if said.role == "assistant" else UserMessage((Text(said.text),))
        for said in message.context or ()
        if said.role != "system"
    ]


def _quoted(message: InboundMessage) -> list[UserMessage]:
    """Return what a merged message came with: the text that it replies to."""
    return [said for said in _told(message) if isinstance(said, UserMessage)]


def question(message: InboundMessage, again: PastTurn | None) -> list[InboundMessage]:
    """Return the messages that a turn begins with: its own, or those that it asks again."""
    return [message] if again is None else [again.message, *(queued.message for queued in again.merged)]


def past_blocks(history: Sequence[PastTurn], turn: Turn, shown: Shown = as_written) -> tuple[Block, ...]:
    """Return what could be shown of the session's finished turns, oldest first."""
    known = {past.seq for past in history}
    blocks: list[Block] = []
    still = {past.seq: past for past in kept(history, turn)}
    for past in history:
        folded = fold(past.records)
        if folded.undone is not None and _was_summarised(folded.undone.seqs, history, known):
            blocks.append(
                Block(messages=(UserMessage((Text(TAKEN_BACK),)),), seq=past.seq, needs_seq=past.seq)
            )
        if past.seq in still and (messages := _past(still[past.seq], folded, shown)):
            original = asked_again(history, past.seq) if folded.undone is not None else None
            needs_seq = original.seq if original is not None else past.seq
            blocks.append(Block(messages=messages, seq=past.seq, needs_seq=needs_seq))
    return tuple(blocks)


def _was_summarised(undone: Sequence[int], history: Sequence[PastTurn], known: set[int]) -> bool:
    """Whether a summary may speak of turns that were undone: of the whole turn, or of its first steps."""
    if not set(undone) <= known:
        return True
    return any(fold(past.records).summary is not None for past in history if past.seq in undone)


def _past(past: PastTurn, turn: Turn, shown: Shown) -> tuple[ChatMessage, ...]:
    if turn.finished is None or turn.finished.outcome == "dead":
        return ()
    if is_in_place(past.message.text):
        return ()  # a command: its words matter to people, not to the model
    told = _told(past.message)
    messages = [shown(m) for m in (past.message, *(queued.message for queued in past.merged))]
    several = len({m.sender.id for m in messages if m.group}) > 1
    if turn.finished.outcome != "answered":
        # A model must not see calls without results, nor its own half sentence as if it were whole.
        said = AssistantMessage(text=turn.finished.text)
        return (*told, *(_user(m, several=several) for m in messages), said)
    merged = {queued.seq: m for queued, m in zip(past.merged, messages[1:], strict=True)}
    # Those that belong to the question of an exchange that was asked again were merged by no step.
    asked = [m for seq, m in merged.items() if seq not in turn.merged]
    through_step = turn.summary.through_step if turn.summary is not None else 0
    early, blocks = _steps(turn, merged, through_step=through_step, several=several, in_work=False)
    return (
        *told,
        *(_user(m, several=several) for m in (messages[0], *asked)),
        *early,
        *(message for block in blocks for message in block.messages),
    )


def _steps(
    turn: Turn, merged: Mapping[int, InboundMessage], *, through_step: int, several: bool, in_work: bool
) -> tuple[list[UserMessage], tuple[Block, ...]]:
    """Return the messages that were merged in front of the first shown step, and the steps.

    What a model thought goes back to it while the turn is in work, and never again.
    """
    merges = list(turn.merges)
    early: list[UserMessage] = []
    blocks: list[Block] = []

    def taken_in(before: int | None) -> list[UserMessage]:
        """Return what was merged in front of this step; all that is left for None."""
        found: list[UserMessage] = []
        while merges and (before is None or merges[0].step <= before):
            seqs = merges.pop(0).seqs
            for seq in seqs:
                if seq in merged:
                    found += [*_quoted(merged[seq]), _user(merged[seq], several=several)]
        return found

    for result in turn.responses:
        response = result.response
        new: list[ChatMessage] = list(taken_in(result.step))
        last = result.step + len(response.tool_calls)
        if last <= through_step or not blocks:
            early += [message for message in new if isinstance(message, UserMessage)]
            new = []
        if last <= through_step:
            continue
        # Nothing follows from the calls of a last answer: it was asked for without tools.
        calls = () if result.last else response.tool_calls
        said = AssistantMessage(text=response.text, tool_calls=calls)
        if in_work:
            said = replace(said, thinking=response.thinking, model=response.model)
        new.append(said)
        for step, call in enumerate(response.tool_calls, start=result.step + 1):
            if done := turn.done.get(step):
                new.append(ToolMessage(call_id=call.id, name=call.name, text=done.text))
        blocks.append(Block(messages=tuple(new), step=last))
    if late := taken_in(None):
        if blocks:
            blocks.append(Block(messages=tuple(late), step=blocks[-1].step + 1))
        else:
            early += late
    return early, tuple(blocks)


def _user(message: InboundMessage, *, several: bool = False) -> UserMessage:
    parts = tuple(_readable(part) for part in message.parts)
    if several:
        parts = (Text(f"[{message.sender.name or message.sender.id}]"), *parts)
    return UserMessage(parts)


def _readable(part: Part) -> Part:
    """Replace what a model can't look at by words for it."""
    return part if isinstance(part, Text) or is_shown(part) else Text(note_of(part))
