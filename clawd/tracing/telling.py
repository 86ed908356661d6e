"""Turns the spans of a story into those that leave. Pure.

An id follows from what a span tells of, never from its place among the others: deliveries come and go beside a
turn that has ended, and all of it may be told again after a crash, under the same ids.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from clawd import __version__
from clawd.journal.span_builder import spans
from clawd.tracing import conventions as names
from clawd.tracing.conventions import provider_of
from clawd.tracing.spans import SentSpan, Value, span_id_of, to_ns, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from clawd.journal.reading import TurnView
    from clawd.journal.spans import Span
    from clawd.journal.story import Story
    from clawd.models.info import ModelInfo
    from clawd.tracing.wording import Wording

_CODE: Final = re.compile(r"E-[A-Z0-9-]{1,40}")
_OTHER: Final = "other"  # a tool that there is not: models make names up
_FAILED: Final = frozenset({"failed", "dead"})
_FINE: Final = frozenset({"ok", "hedge", "cancelled", "answered", "sent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a configured model."""

    provider: str
    model: str  # the provider's name for it
    host: str = ""
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a story does not hold itself: the models and tools of the configuration, and what words may leave."""

    models: Mapping[str, ModelFacts]
    tools: Collection[str]
    wording: Wording


def facts_of(infos: Sequence[ModelInfo]) -> Mapping[str, ModelFacts]:
    """Return what is known of the models in force, by their names."""
    found: dict[str, ModelFacts] = {}
    for info in infos:
        parts = urlsplit(info.place if "://" in info.place else "")
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError:  # no port that there can be
            host, port = "", None
        found[info.name] = ModelFacts(
            provider=provider_of(info.type, host), model=info.model, host=host, port=port
        )
    return found


def tell(
    story: Story, around: Surroundings, *, turn: bool, deliveries: Collection[str] | None = None
) -> Sequence[SentSpan]:
    """Return what a story tells.

    Args:
        story: Of a turn that has ended, or of a delivery that no turn made.
        around: What it does not hold itself.
        turn: Whether to tell the turn itself, with all but its deliveries.
        deliveries: The ids of those to tell; None: all that are over.
    """
    return tuple(_Telling(story, around).tell(turn, deliveries))


class _Telling:
    def __init__(self, story: Story, around: Surroundings) -> None:
        self._story = story
        self._around = around
        self._wording = around.wording
        self._spans = {span.id: span for span in spans(story)}
        self._keys = _keys(tuple(self._spans.values()))
        self._identifier = story.turn.id if story.turn is not None else next(iter(_deliveries_of(story)), "")

    def tell(self, turn: bool, deliveries: Collection[str] | None) -> Iterator[SentSpan]:
        for span in self._spans.values():
            if span.kind == "delivery":
                name = dict(span.attributes).get("delivery")
                if not span.open and (deliveries is None or name in deliveries):
                    yield self._span(span)
            elif turn:
                yield self._span(span)

    def _span(self, span: Span) -> SentSpan:
        parent = self._spans.get(span.parent) if span.parent is not None else None
        told = dict(span.attributes)
        name, extra = self._of(span, told)
        # An end of the turn is that of its work: what is delivered for minutes is told beside it, later.
        end = self._worked_until() if span.kind == "turn" else span.end
        error = self._error_type(span, told)
        attributes: dict[str, Value] = {
            **{
                outside: self._value(told[inside])
                for inside, outside in names.ATTRIBUTES[span.kind].items()
                if inside in told
            },
            **extra,
            **({names.ERROR_TYPE: error} if error else {}),
            **({names.CLOCK_SET: True} if span.clock_set else {}),
        }
        return SentSpan(
            trace_id=trace_id_of(self._identifier),
            span_id=span_id_of(self._identifier, self._keys[span.id]),
            parent_id=span_id_of(self._identifier, self._keys[parent.id]) if parent is not None else b"",
            name=name,
            role="client" if span.kind == "model" or name == "clawd.delivery.attempt" else "internal",
            start_ns=to_ns(span.start),
            end_ns=max(to_ns(end), to_ns(span.start)),
            attributes=attributes,
            failed=bool(error),
            message=self._wording.error(span.error) if error else "",
        )

    def _of(self, span: Span, told: Mapping[str, str | int | float]) -> tuple[str, dict[str, Value]]:
        """Return a span's name, and the attributes that are not its own by another name."""
        name: str = names.SPANS[span.kind]
        extra: dict[str, Value] = {}
        behind = ""
        match span.kind:
            case "turn":
                behind = names.AGENT
                extra = {
                    names.AGENT_NAME: names.AGENT,
                    names.AGENT_VERSION: __version__,
                    **self._of_turn(self._story.turn),
                }
            case "model":
                facts = self._around.models.get(span.name)
                behind = self._wording.text(facts.model if facts is not None else span.name)
                extra = {**self._of_model(span, behind, told), **self._wording.of_step(span, self._story)}
            case "tool":
                behind = span.name if span.name in self._around.tools else _OTHER
                extra = {
                    names.TOOL_NAME: behind,
                    names.TOOL_TYPE: "function",
                    **self._wording.of_step(span, self._story),
                }
            case "question":
                behind = span.name if span.name in self._around.tools else _OTHER
                extra = {names.TOOL_NAME: behind, **self._wording.of_step(span, self._story)}
            case "delivery":
                inner = span.parent is not None and self._spans[span.parent].kind == "delivery"
                name = "clawd.delivery.attempt" if inner else name
            case "queue":
                extra = {names.QUEUE: span.name}
        conversation = _conversation(self._story.turn)
        if conversation:
            extra[names.CONVERSATION] = conversation
        if name in names.OPERATIONS:
            extra[names.OPERATION] = name
            name = f"{name} {behind}"
        return name, extra

    def _of_turn(self, turn: TurnView | None) -> dict[str, Value]:
        if turn is None:
            return {}
        facts = self._around.models.get(turn.model or "")
        known: dict[str, Value] = {names.PROVIDER: facts.provider} if facts is not None else {}
        return {**known, **self._wording.of_turn(turn)}

    def _of_model(self, span: Span, model: str, told: Mapping[str, str | int | float]) -> dict[str, Value]:
        facts = self._around.models.get(span.name)
        finish = told.get("finish")
        found: dict[str, Value] = {
            names.REQUEST_MODEL: model,
            names.PROVIDER: facts.provider if facts is not None else "clawd.unknown",
        }
        if facts is not None and facts.host:
            found[names.SERVER_ADDRESS] = facts.host
            if facts.port is not None:
                found[names.SERVER_PORT] = facts.port
        if isinstance(finish, str):
            found[names.RESPONSE_MODEL] = model
            found[names.FINISH_REASONS] = (names.FINISHES.get(finish, finish),)
        return found

    def _error_type(self, span: Span, told: Mapping[str, str | int | float]) -> str:
        """Return a word of few: what an error says is no type of it."""
        around = self._spans.get(span.parent) if span.parent is not None else None
        if around is not None and span.kind == around.kind:  # an attempt to deliver went as its delivery did
            told = dict(around.attributes)
        outcome = str(told.get("outcome", told.get("state", "")))
        if not span.error and (span.kind != "turn" or outcome not in _FAILED):
            return ""
        if span.kind == "turn" and outcome not in _FAILED:
            return ""  # who stops a turn has what they wanted
        code = _CODE.match(span.error) if span.kind == "turn" else None
        if code is not None:
            return code[0]
        return outcome if outcome and outcome not in _FINE else "_OTHER"

    def _worked_until(self) -> datetime:
        """Return when the turn's own work was over, whatever has become of its deliveries meanwhile."""
        turn, root = self._story.turn, self._spans[0]
        committed_s = dict(root.attributes).get("committed_s")
        ends = [span.end for span in self._spans.values() if span.kind not in {"turn", "delivery"}]
        if isinstance(committed_s, float):
            ends.append(root.start + timedelta(seconds=committed_s))
        elif turn is not None and turn.finished_at is not None:
            ends.append(turn.finished_at)
        return max([root.start, *ends])

    def _value(self, value: str | float) -> Value:
        return self._wording.text(value) if isinstance(value, str) else value


def _conversation(turn: TurnView | None) -> str:
    """Return a name for the conversation that says nothing of who is in it."""
    return turn.id.removeprefix("turn:").rpartition("-")[0] if turn is not None else ""


def _deliveries_of(story: Story) -> Sequence[str]:
    return tuple(outgoing.view.id for outgoing in story.outgoing)


def _keys(all_spans: Sequence[Span]) -> Mapping[int, str]:
    """Return what tells each span from the others of its story, whenever the story is told."""
    seen: Counter[str] = Counter()
    keys: dict[int, str] = {}
    for span in all_spans:
        told = dict(span.attributes)
        key: str = span.kind
        match span.kind:
            case "turn":
                pass
            case "queue":
                key = f"queue {span.name} {told.get('claim', '')} {told.get('turn', '')}"
            case "model":
                key = f"model {told.get('step')} {told.get('claim')} {told.get('purpose')} {span.name}"
            case "tool":
                key = f"tool {told.get('step')} {told.get('claim')}"
            case "question":
                key = f"question {told.get('step')}"
            case "delivery":
                inner = span.parent is not None and "part" not in told
                key = f"{told.get('delivery')}{' attempt' if inner else ''}"
        keys[span.id] = f"{key} {seen[key]}"
        seen[key] += 1
    return keys
