"""What must hold of a journal's rows, checked over rows that somebody else has read. Pure.

`checking.py` reads them, in pieces. Each finding has a constant id; docs/backup.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Severity = Literal["error", "warning"]

OPEN: Final = frozenset({"queued", "running", "waiting"})
FINISHED: Final = frozenset({"answered", "failed", "cancelled", "dead"})
LINE: Final = frozenset({"pending", "sending", "parked"})
DELIVERIES: Final = LINE | {"open", "sent", "unknown", "dead"}

_RESTORE: Final = "restore a backup; keep the damaged files"
_RESTART: Final = "clawd stop, clawd start; report it if it comes back"
_REPORT: Final = "report it with clawd trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that must not be so. `where` names a turn, a delivery, a conversation or a file."""

    id: str
    severity: Severity
    where: str
    what: str  # one sentence
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """A conversation, with what its neighbours say of it."""

    name: str  # its address
    last_seq: int
    done_seq: int
    owner: str | None
    ready_at: int | None
    stuck: bool
    send_at: int | None
    kept_from: int | None  # the first message that is still there; None: none is
    present: int  # messages behind `forgotten`
    newest: int  # the last message that is there, 0: none
    forgotten: int  # up to here messages may be missing: retention removed them
    line: str | None  # state of the oldest row of its line, None: nothing waits
    line_filled: bool = True  # that row has a text
    sending: bool = False  # a row of the line is on the wire


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """A row of the journal, its body looked at just enough."""

    id: int
    step: int
    kind: str
    known: bool  # this version reads its kind and format
    calls: int = 0  # llm.result: how many tools it asked for
    answers: tuple[int, ...] = ()  # turn.finished
    outcome: str = ""  # turn.finished


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A row of the outbox that belongs to a turn."""

    name: str
    state: str
    filled: bool  # it has a text
    owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRows:
    """A message with all that is told of its turn. `state` is None where the message itself is missing."""

    name: str
    conv: int
    seq: int
    done_seq: int
    state: str | None
    merged_into: int | None = None
    deadline: int | None = None
    given_up: bool = False  # by a person, because its rows could not be read: no record tells its end
    records: Sequence[RecordRow] = ()  # by id
    deliveries: Sequence[DeliveryRow] = ()


def check_conversation(conv: ConversationRow) -> Iterator[Finding]:
    """Yield what is wrong with a conversation as a whole: gaps, and work that nobody would be woken for."""
    where = conv.name
    if conv.done_seq > conv.last_seq:
        yield _error(
            "conv.done_seq", where, f"turns are over up to {conv.done_seq}, but {conv.last_seq} is the last"
        )
    base = _kept_from(conv)
    missing = max(conv.last_seq, conv.newest) - base - conv.present
    if missing > 0 or conv.newest > conv.last_seq:
        count = f"{missing} of the messages {base + 1} to {conv.last_seq} are missing"
        text = count if missing > 0 else f"message {conv.newest} lies behind the last one, {conv.last_seq}"
        yield _error("inbox.gap", where, text, _RESTORE)
    yield from _wakes(conv)
    yield from _line(conv)


def _kept_from(conv: ConversationRow) -> int:
    """Return the message up to which all may be missing."""
    if conv.kept_from is None:
        return max(conv.forgotten, conv.done_seq)
    return max(conv.forgotten, conv.kept_from - 1)


def _wakes(conv: ConversationRow) -> Iterator[Finding]:
    where, work = conv.name, conv.done_seq < conv.last_seq
    if conv.stuck:
        return  # left alone on purpose, and listed among the dead letters
    if work and conv.owner is None and conv.ready_at is None:
        yield _error(
            "conv.never_ready",
            where,
            f"message {conv.done_seq + 1} waits, and no worker would be woken",
            _RESTART,
        )
    if not work and (conv.ready_at is not None or conv.owner is not None):
        yield _warning("conv.ready_idle", where, "a worker would be woken, but nothing waits", _RESTART)
    if conv.owner is not None and conv.ready_at is not None:
        yield _warning(
            "conv.owned_and_ready", where, "it is in work, and another worker would take it", _RESTART
        )


def _line(conv: ConversationRow) -> Iterator[Finding]:
    where = conv.name
    if conv.line == "pending" and not conv.sending and conv.send_at is None:
        yield _error(
            "conv.never_sent", where, "a delivery is pending, and nobody would be woken to send it", _RESTART
        )
    if conv.send_at is not None and (conv.line != "pending" or conv.sending):
        yield _warning(
            "conv.send_idle", where, "a delivery would be looked for, but none can be sent", _RESTART
        )
    if conv.line in ("pending", "parked") and not conv.line_filled:
        yield _error(
            "outbox.empty", where, "the oldest delivery of the line has no text, so nothing behind it moves"
        )


class TurnChecks:
    """Checks turns that come in the order of their conversations and messages.

    A message may be answered by an earlier one's turn, so the last turn is remembered. Args:
        owner: The process that may hold deliveries now; None when none runs.
    """

    def __init__(self, owner: str | None) -> None:
        self._owner = owner
        self._last: TurnRows | None = None
        self._named: set[int] = set()  # further messages that the last turn says it answered

    def take(self, turn: TurnRows) -> Iterator[Finding]:
        """Yield what is wrong with the next turn, and what it shows to be wrong with the one before."""
        if turn.state is None:
            yield from self._leftovers()
            yield from _ownerless(turn)
            return
        if turn.merged_into is not None:
            yield from self._merged(turn)
        else:
            yield from self._leftovers()
            self._last = turn
            self._named = {
                seq for r in turn.records if r.kind == "turn.finished" for seq in r.answers if seq != turn.seq
            }
            yield from _own_end(turn)
        yield from _state(turn)
        yield from _steps(turn)
        yield from _deliveries(turn, self._owner)

    def end(self) -> Iterator[Finding]:
        """Yield what only the end of all turns shows."""
        yield from self._leftovers()
        self._last = None

    def _leftovers(self) -> Iterator[Finding]:
        if self._last is not None:
            for seq in sorted(self._named):
                yield _error(
                    "message.claimed",
                    self._last.name,
                    f"its end says that it answers message {seq}, which is not part of it",
                )
        self._named = set()

    def _merged(self, turn: TurnRows) -> Iterator[Finding]:
        last = self._last
        if last is None or (last.conv, last.seq) != (turn.conv, turn.merged_into):
            yield _error(
                "message.merged",
                turn.name,
                f"it became part of the turn of message {turn.merged_into}, which is not there",
            )
            return
        if any(r.kind == "turn.finished" for r in turn.records):
            yield _error(
                "message.answered_twice", turn.name, "it is part of another turn and has an end of its own"
            )
        named = turn.seq in self._named
        self._named.discard(turn.seq)
        if last.state != turn.state and (last.state in FINISHED or turn.state in FINISHED):
            yield _error(
                "message.state", turn.name, f"it is {turn.state}, while its turn {last.name} is {last.state}"
            )
        elif turn.state in FINISHED and not named and not last.given_up:
            yield _error(
                "message.unanswered", turn.name, f"it is over, but the end of {last.name} does not name it"
            )


def _ownerless(turn: TurnRows) -> Iterator[Finding]:
    if turn.records:
        yield _error(
            "journal.orphan", turn.name, f"{len(turn.records)} records belong to a message that is not there"
        )
    for delivery in turn.deliveries:
        yield _error("outbox.orphan", delivery.name, f"it belongs to {turn.name}, which is not there")


def _own_end(turn: TurnRows) -> Iterator[Finding]:
    """The end of a turn is recorded once, and names its message."""
    ends = [record for record in turn.records if record.kind == "turn.finished"]
    if len(ends) > 1:
        yield _error("turn.finished_twice", turn.name, f"its end is recorded {len(ends)} times")
    if turn.state in OPEN and ends:
        yield _error("turn.finished_open", turn.name, f"its end is recorded, but it is {turn.state}")
    if turn.state in FINISHED and not ends and not turn.given_up:
        yield _error("turn.no_end", turn.name, f"it is {turn.state}, but its end is not recorded")
    for end in ends:
        if not end.known:
            continue
        if turn.seq not in end.answers:
            yield _error("turn.no_answers", turn.name, "its end does not name the message that it answers")
        if turn.state in FINISHED and end.outcome != turn.state:
            yield _error(
                "turn.outcome", turn.name, f"it is {turn.state}, but its end says {end.outcome!r:.40}"
            )


def _state(turn: TurnRows) -> Iterator[Finding]:
    if turn.state in OPEN:
        if turn.seq <= turn.done_seq:
            yield _error(
                "turn.passed_over",
                turn.name,
                f"it is {turn.state}, but all up to {turn.done_seq} count as over",
            )
        if turn.state == "waiting" and turn.deadline is None:
            yield _error("turn.waits_for_ever", turn.name, "it waits for a person and has no deadline")
    elif turn.state not in FINISHED:
        yield _error("turn.state", turn.name, f"there is no state {turn.state!r:.40}")
    elif turn.seq > turn.done_seq:
        yield _error(
            "conv.done_seq", turn.name, f"it is {turn.state}, but only {turn.done_seq} turns count as over"
        )
    if not any(record.kind == "accepted" for record in turn.records):
        yield _warning(
            "journal.not_accepted", turn.name, "no record tells that it was accepted: clients never see it"
        )
    for record in turn.records:
        if not record.known:
            yield _warning(
                "journal.unknown",
                turn.name,
                f"this version does not read record {record.id} ({record.kind:.40})",
                "install the version that wrote it; clawd dead list",
            )


def _steps(turn: TurnRows) -> Iterator[Finding]:
    """Results stand in the order of their steps: a response, then one for each call that it asked for."""
    results = {r.step: r for r in turn.records if r.kind in ("llm.result", "tool.result") and r.step > 0}
    step, asked = 1, 0  # the next step; how many calls of the last response are left
    for found in sorted(results):
        if found != step:
            yield _error("step.hole", turn.name, f"step {found} has a result, step {step} before it has none")
            return
        record = results[found]
        if not record.known:
            return  # what it asked for can't be told
        if record.kind == "tool.result" and asked == 0:
            yield _error(
                "tool.unasked", turn.name, f"step {found} is a tool's result that no response asked for"
            )
            return
        if record.kind == "llm.result" and asked > 0:
            yield _error(
                "step.order",
                turn.name,
                f"step {found} is a response, while {asked} calls before it have no result",
            )
            return
        asked = record.calls if record.kind == "llm.result" else asked - 1
        step += 1
    for intent in (r for r in turn.records if r.kind == "tool.intent" and r.step not in results):
        if intent.step != step or asked == 0:
            yield _error(
                "tool.unasked", turn.name, f"step {intent.step} is a call that no response asked for"
            )
        elif turn.state == "answered":
            yield _error(
                "tool.no_result",
                turn.name,
                f"the call of step {intent.step} has no result, though the turn was answered",
            )


def _deliveries(turn: TurnRows, owner: str | None) -> Iterator[Finding]:
    for delivery in turn.deliveries:
        if delivery.state not in DELIVERIES:
            yield _error("outbox.state", delivery.name, f"there is no state {delivery.state!r:.40}")
        elif delivery.state == "sending" and owner is not None and delivery.owner != owner:
            yield _error(
                "outbox.stuck", delivery.name, "it is being sent by a process that is gone", _RESTART
            )
        elif turn.state in FINISHED and delivery.state == "open":
            yield _error("outbox.stuck", delivery.name, "it is an unfinished preview of a turn that is over")
        elif turn.state in FINISHED and delivery.state in ("pending", "parked") and not delivery.filled:
            yield _error("outbox.stuck", delivery.name, "it waits to be sent and has no text")


def _error(id_: str, where: str, what: str, remedy: str = _REPORT) -> Finding:
    return Finding(id=id_, severity="error", where=where, what=what, remedy=remedy)


def _warning(id_: str, where: str, what: str, remedy: str = _REPORT) -> Finding:
    return Finding(id=id_, severity="warning", where=where, what=what, remedy=remedy)
