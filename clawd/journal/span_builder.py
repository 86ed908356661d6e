"""Builds the spans of a story. Pure; what spans are stands in `spans.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from clawd.journal.records import (
    ModelIntent,
    ModelResult,
    QuestionAnswered,
    SummaryIntent,
    SummaryResult,
    ToolDone,
    ToolIntent,
    TurnFinished,
    TurnMerged,
    TurnOffline,
    TurnStarted,
    TurnWaiting,
)
from clawd.journal.span_drafts import Draft, delivery_drafts
from clawd.journal.span_times import Timeline
from clawd.journal.spans import some

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clawd.journal.reading import TurnView
    from clawd.journal.spans import Attribute, Span, SpanKind
    from clawd.journal.story import Entry, Story
    from clawd.response import ModelAttempt, ModelResponse

_FINE = frozenset({"ok", "hedge", "cancelled"})  # outcomes of an attempt that are no error
_CUT = "cut off"


def spans(story: Story) -> Sequence[Span]:
    """Return the spans of a story, the root first, the others by their start; at least the root.

    A delivery that no turn made is a root of its own, so there may be several of those.
    """
    if story.turn is None:
        return _pushed(story)
    return _Builder(story, story.turn).build()


@dataclass(frozen=True, slots=True)
class _Request:
    """A request to the models that is under way."""

    begun: datetime
    low: datetime  # where the row in front of it lies: its attempts began later
    claim: int
    step: int
    model: str
    purpose: Literal["answer", "summary"]


@dataclass(slots=True)
class _Builder:
    """Goes through the rows of one turn in their order."""

    story: Story
    turn: TurnView
    times: Timeline = field(init=False)
    drafts: list[Draft] = field(default_factory=list)
    requests: dict[int, _Request] = field(default_factory=dict)  # by step
    tools: dict[int, tuple[datetime, int, ToolIntent]] = field(default_factory=dict)  # by step
    questions: dict[int, Draft] = field(default_factory=dict)  # by step, the latest
    asked: Draft | None = None  # the question that nobody has answered
    idle_since: datetime | None = None  # nobody works on it; None: somebody does
    idle: str = "queued"  # why nobody does; as the name of a `queue` span
    last: datetime = field(init=False)
    claims: int = 0
    committed: datetime | None = None
    cost_usd: float = 0.0

    def __post_init__(self) -> None:
        entries = self.story.entries
        start = min([self.turn.accepted_at, *(entry.at for entry in entries[:1])])
        self.times = Timeline(start, [entry.at for entry in entries])
        self.last = self.idle_since = start

    def build(self) -> Sequence[Span]:
        self._messages()
        for number, entry in enumerate(self.story.entries):
            at = self.times.row(number, entry.at)
            self._entry(entry, at, self.times.shifts[number])
            self.last = at
        now = self.times.place(self.story.now, self.last)
        self._close(now)
        for outgoing in self.story.outgoing:
            self.drafts += delivery_drafts(outgoing, self.times, now)
        root = self._root(now)
        ordered = [root, *sorted(self.drafts, key=lambda draft: draft.start)]
        for number, draft in enumerate(ordered):
            draft.number = number
        return tuple(draft.freeze(root, self.times) for draft in ordered)

    def _root(self, now: datetime) -> Draft:
        turn = self.turn
        is_open = turn.finished_at is None or any(draft.open for draft in self.drafts)
        over = self.committed or self.times.place(turn.finished_at or now, self.last)
        end = max([over, self.last, *(draft.end for draft in self.drafts), *([now] if is_open else [])])
        committed_s = (self.committed - self.times.start).total_seconds() if self.committed else None
        return Draft(
            kind="turn",
            name=turn.id,
            start=self.times.start,
            end=end,
            attributes=some(
                turn=turn.id,
                conversation=str(turn.conversation),
                bridge=turn.conversation.bridge,
                outcome=turn.state if turn.finished_at is not None else None,
                model=turn.model,
                claims=self.claims or None,
                merged=len(self.story.merged) or None,
                merged_into=turn.merged_into,
                committed_s=committed_s,
                input_tokens=turn.input_tokens,
                output_tokens=turn.output_tokens,
                cost_usd=self.cost_usd or None,
                exit_code=turn.exit_code or None,
            ),
            error=turn.error or "",
            open=is_open,
        )

    # --- the rows ---------------------------------------------------------------------------------------

    def _entry(self, entry: Entry, at: datetime, shift: timedelta) -> None:
        match entry.record:
            case TurnStarted():
                self._started(at, entry.claim)
            case ModelIntent() | SummaryIntent() as intent:
                purpose: Literal["answer", "summary"] = (
                    "answer" if isinstance(intent, ModelIntent) else "summary"
                )
                self.requests[intent.step] = _Request(
                    at, self.last, entry.claim, intent.step, intent.model or intent.route, purpose
                )
            case ModelResult() | SummaryResult() as result:
                request = self.requests.pop(result.step, None) or self._request_of(result, entry)
                self._attempts(request, result.response.attempts, at, shift, result.response)
            case ToolIntent() as intent:
                self.tools[intent.step] = (at, entry.claim, intent)
            case ToolDone() as done:
                self._tool(done, at, entry.claim)
            case TurnWaiting() as waiting:
                self._waiting(waiting, at)
            case QuestionAnswered() as answered:
                self._answered(answered)
            case TurnOffline() as offline:
                self._last_attempts(offline.attempts, at, entry.claim, shift)
                self.idle_since, self.idle = at, "network"
            case TurnFinished() as finished:
                self._finished(finished, at, entry.claim, shift)
            case _:
                pass

    def _started(self, at: datetime, claim: int) -> None:
        """A worker took the turn: what an earlier one had begun, and not ended, was cut off."""
        self._cut(self.last)
        if self.asked is not None:
            self.asked.end, self.asked.open, self.asked = at, False, None
        else:
            # Nothing is written when a process dies, so the gap begins with its last row.
            begun = self.idle_since if self.idle_since is not None else self.last
            self._add("queue", self.idle, begun, at, some(claim=claim))
        self.idle_since, self.idle = None, "gap"
        self.claims = claim

    def _request_of(self, result: ModelResult | SummaryResult, entry: Entry) -> _Request:
        """Return the request of an answer whose intent is missing: nobody waits for that to be written."""
        purpose: Literal["answer", "summary"] = "answer" if isinstance(result, ModelResult) else "summary"
        return _Request(self.last, self.last, entry.claim, result.step, result.response.model, purpose)

    def _attempts(
        self,
        request: _Request,
        attempts: Sequence[ModelAttempt],
        end: datetime,
        shift: timedelta,
        response: ModelResponse | None = None,
    ) -> None:
        """Add the attempts of a request that ended there; one without any is shown whole."""
        common = some(step=request.step, claim=request.claim, purpose=request.purpose)
        said = _said(response)
        if not attempts:
            name = response.model if response is not None else request.model
            self._add("model", name, request.begun, end, (*some(model=name), *common, *said))
            return
        at = request.begun
        for attempt in attempts:
            begun = attempt.begun_at + shift if attempt.begun_at is not None else at
            begun = min(max(begun, request.low), end)
            over = min(begun + timedelta(seconds=attempt.duration_s), end)
            if attempt.outcome != "hedge":  # without a time of its own the next followed, or ran beside
                at = over
            self.cost_usd += (attempt.cost_usd or 0.0) + attempt.possible_usd
            details = (*some(model=attempt.model), *common, *_of_attempt(attempt))
            if attempt is attempts[-1] or attempt.outcome == "ok":
                details, said = (*details, *said), ()
            error = "" if attempt.outcome in _FINE else attempt.detail or attempt.outcome
            self._add("model", attempt.model, begun, over, details, error)

    def _tool(self, done: ToolDone, at: datetime, claim: int) -> None:
        intent = self.tools.pop(done.step, None)
        length = timedelta(seconds=done.duration_s)
        # Calls without an effect leave no intent; they may have run beside each other and end together.
        begun = max(at - length, self.times.start) if intent is None else intent[0]
        end = at if intent is None else min(begun + length, at)
        self._add(
            "tool",
            done.name,
            begun,
            end,
            some(
                tool=done.name,
                step=done.step,
                claim=claim,
                call_id=done.call_id,
                effect=intent[2].effect if intent is not None else "pure",
                outcome=done.outcome,
            ),
            error="" if done.outcome == "ok" else done.outcome,
        )

    def _waiting(self, waiting: TurnWaiting, at: datetime) -> None:
        details = some(tool=waiting.name, step=waiting.step, about=waiting.about, subject=waiting.subject)
        self.asked = self._add("question", waiting.name, at, at, details)
        self.asked.open = True
        self.questions[waiting.step] = self.asked

    def _answered(self, answered: QuestionAnswered) -> None:
        question = self.questions.get(answered.step)
        if question is not None:
            answer = "approved" if answered.approved else "denied"
            question.attributes += some(answer=answer, why=answered.why, by=answered.by)

    def _last_attempts(
        self, attempts: Sequence[ModelAttempt], at: datetime, claim: int, shift: timedelta, model: str = ""
    ) -> None:
        """Add the attempts of a request that no model answered."""
        if attempts:
            _, request = self.requests.popitem() if self.requests else (0, None)
            request = request or _Request(self.last, self.last, claim, 0, model, "answer")
            self._attempts(request, attempts, at, shift)

    def _finished(self, finished: TurnFinished, at: datetime, claim: int, shift: timedelta) -> None:
        self._last_attempts(finished.attempts, at, claim, shift, finished.model or "")
        self._cut(at)
        if self.idle_since is not None:  # cancelled, or given up, before anybody took it
            self._add("queue", "queued", self.idle_since, at)
            self.idle_since = None
        self.committed = at

    # --- what has no end of its own ---------------------------------------------------------------------

    def _cut(self, end: datetime, *, is_open: bool = False) -> None:
        """End what was begun and has no end in the journal."""
        error, outcome = ("", None) if is_open else (_CUT, "cut")
        for request in self.requests.values():
            details = some(
                model=request.model,
                step=request.step,
                claim=request.claim,
                purpose=request.purpose,
                outcome=outcome,
            )
            self._add("model", request.model, request.begun, end, details, error).open = is_open
        for begun, claim, intent in self.tools.values():
            details = some(
                tool=intent.name,
                step=intent.step,
                claim=claim,
                call_id=intent.call_id,
                effect=intent.effect,
                outcome=outcome,
            )
            self._add("tool", intent.name, begun, end, details, error).open = is_open
        self.requests.clear()
        self.tools.clear()

    def _close(self, now: datetime) -> None:
        """Bring what is not over up to now, and what is over without a row of its own to its end."""
        turn = self.turn
        end = now if turn.finished_at is None else self.times.place(turn.finished_at, self.last)
        is_open = turn.finished_at is None
        if self.asked is not None:
            self.asked.end, self.asked.open = end, is_open
        elif turn.state == "queued" or (self.idle_since is not None and self.committed is None):
            self._cut(self.last)
            begun = self.idle_since if self.idle_since is not None else self.last
            details = some(merged_into=turn.merged_into)
            self._add("queue", self.idle, begun, end, details).open = is_open
        self._cut(end, is_open=is_open)

    def _messages(self) -> None:
        """Add the wait of each message that became part of the turn, up to where it did."""
        merges = [
            (entry.record.seqs, self.times.row(number, entry.at))
            for number, entry in enumerate(self.story.entries)
            if isinstance(entry.record, TurnMerged)
        ]
        for message in self.story.merged:
            came = self.times.place(message.at)
            end = next((at for seqs, at in merges if message.seq in seqs), came)
            self._add("queue", "merged", min(came, end), end, some(turn=message.turn))

    def _add(
        self,
        kind: SpanKind,
        name: str,
        start: datetime,
        end: datetime,
        attributes: tuple[Attribute, ...] = (),
        error: str = "",
    ) -> Draft:
        draft = Draft(kind, name, start, max(start, end), attributes, error)
        self.drafts.append(draft)
        return draft


def _pushed(story: Story) -> Sequence[Span]:
    drafts: list[Draft] = []
    moments = [outgoing.at for outgoing in story.outgoing]
    times = Timeline(min([story.now, *moments]), [])
    for outgoing in story.outgoing:
        drafts += delivery_drafts(outgoing, times, times.place(story.now))
    for number, draft in enumerate(drafts):
        draft.number = number
    return tuple(draft.freeze(None, times) for draft in drafts)


def _of_attempt(attempt: ModelAttempt) -> tuple[Attribute, ...]:
    return some(
        outcome=attempt.outcome,
        first_token_s=attempt.first_token_s,
        input_tokens=attempt.usage.input_tokens,
        output_tokens=attempt.usage.output_tokens,
        cached_tokens=attempt.usage.cached_tokens,
        cost_usd=attempt.cost_usd,
        possible_usd=attempt.possible_usd or None,
    )


def _said(response: ModelResponse | None) -> tuple[Attribute, ...]:
    if response is None:
        return ()
    return some(finish=response.finish, calls=", ".join(call.name for call in response.tool_calls))
