"""In-memory parts for a ControlServer: they keep what they are told and say what a test put in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clawd.control.protocol import (
    BridgeStep,
    BridgeTest,
    BudgetStatus,
    Lags,
    TokenRequest,
    TokenStatus,
    Totals,
)
from clawd.control.services import ControlServices
from clawd.fanout import Arrived, Asked, Delta, Ended, Fanout, Started
from clawd.ids import (
    DeliveryId,
    QuestionId,
    SystemClock,
    TurnId,
    parse_turn_id,
    question_id,
    turn_id,
)
from clawd.journal.base import ConversationSettings, Lease, OpenQuestion, TurnState
from clawd.journal.check import Finding
from clawd.journal.items import Push
from clawd.journal.reading import (
    DeadView,
    DeliveryView,
    EntryView,
    TurnView,
)
from clawd.journal.spend import UsageRow
from clawd.messages import (
    Address,
    InboundControl,
    InboundMessage,
    MessageId,
    Sender,
    Text,
)
from clawd.models.info import ModelInfo, SwitchSeen
from tests.fakes.alert_desk import FakeDesk
from tests.fakes.control_journal import AT, INSTANCE, Admin, Inbox, Journal, Keeping, Views
from tests.fakes.control_operations import Operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from clawd.journal.records import Outcome


@dataclass(slots=True)
class World:
    """All that the doubles share: conversations, their entries and turns, and what was asked."""

    fanout: Fanout = field(default_factory=Fanout)
    messages: list[InboundMessage] = field(default_factory=list)
    controls: list[InboundControl] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    turns: dict[TurnId, TurnView] = field(default_factory=dict)
    entries: dict[Address, list[EntryView]] = field(default_factory=dict)
    seen: dict[str, TurnId] = field(default_factory=dict)
    dead: list[DeadView] = field(default_factory=list)
    questions: list[OpenQuestion] = field(default_factory=list)
    before_answer: Callable[[], None] | None = None  # happens once, before a word reaches the inbox
    may_answer: bool = True
    failure: Exception | None = None  # the inbox raises it
    reload_failure: Exception | None = None
    backups: int = 0
    findings: list[Finding] = field(default_factory=list)
    used: list[UsageRow] = field(default_factory=list)
    budgets: list[BudgetStatus] = field(default_factory=list)
    desk: FakeDesk = field(default_factory=FakeDesk)
    totals: Totals = field(default_factory=Totals)
    lags: Lags | None = None
    deliveries: dict[DeliveryId, DeliveryView] = field(default_factory=dict)
    when_traced: Callable[[], None] | None = None  # happens once, after a look at a delivery
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # set by each read of a turn
    bridge_test: BridgeTest = field(
        default_factory=lambda: BridgeTest(
            detail="the callback answers",
            steps=[BridgeStep(name="reachable", ok=True, detail="http://127.0.0.1:7373", exit_code=0)],
        )
    )
    state: str = "ready"
    journal_pause: str = ""
    pid: int = 4242
    while_asking: Callable[[], None] | None = None  # happens once, between a read of a turn and its answer
    models: list[ModelInfo] = field(
        default_factory=lambda: [
            ModelInfo(
                name="demo", type="demo", model="demo", place="here", found="built in", routes=("default",)
            )
        ]
    )
    tokens: list[TokenStatus] = field(default_factory=list)
    wanted_tokens: list[TokenRequest] = field(default_factory=list)
    switches: list[SwitchSeen] = field(default_factory=list)
    when_watched: Callable[[], None] | None = None  # happens once, before a read of questions
    bad_cursors: set[str] = field(default_factory=set)
    while_reading: Callable[[], None] | None = None  # happens once, between a read of entries and its answer

    def entry(
        self,
        address: Address,
        role: str,
        text: str,
        turn: TurnId | None,
        state: TurnState,
        answers: tuple[TurnId, ...] = (),
    ) -> None:
        """Add a durable entry."""
        rows = self.entries.setdefault(address, [])
        rows.append(
            EntryView(
                cursor=f"{len(rows) + 1:06}",
                turn=turn,
                role="user" if role == "user" else "assistant",
                text=text,
                at=AT,
                state=state,
                answers=answers,
            )
        )

    def ask(self, address: Address, text: str) -> TurnId:
        """Add a message and its queued turn."""
        seq = sum(1 for turn in self.turns.values() if turn.conversation == address) + 1
        conv = list(dict.fromkeys((*self.entries, address))).index(address) + 1
        turn = turn_id(INSTANCE, conv, seq)
        self.turns[turn] = TurnView(
            id=turn,
            conversation=address,
            seq=seq,
            state="queued",
            attempts=0,
            question=text,
            answer="",
            accepted_at=AT,
        )
        self.entry(address, "user", text, turn, "queued")
        self.fanout.publish(address, Arrived())
        return turn

    def start(self, turn: TurnId) -> None:
        """A worker takes the turn."""
        view = self.turns[turn]
        self.turns[turn] = replace(view, state="running", attempts=view.attempts + 1)
        message = InboundMessage(
            id=MessageId(turn),
            address=view.conversation,
            sender=Sender(id="1"),
            parts=(Text(view.question),),
            sent_at=AT,
        )
        lease = Lease(
            conv=1,
            seq=view.seq,
            epoch=1,
            owner="test",
            attempts=view.attempts + 1,
            turn=turn,
            address=view.conversation,
            message=message,
            right="owner",
            settings=ConversationSettings(),
        )
        self.fanout.publish(view.conversation, Started(lease=lease))

    def live(self, turn: TurnId, text: str) -> None:
        """A worker takes the turn and has written this much."""
        self.start(turn)
        address = self.turns[turn].conversation
        self.fanout.publish(address, Delta(turn=turn, attempt=1, offset=0, text=text))

    def wait_for_person(
        self,
        turn: TurnId,
        subject: str = "rm -rf build",
        *,
        step: int = 2,
        about: Literal["approval", "unknown"] = "approval",
        left_s: float = 600,
    ) -> QuestionId:
        """The turn waits for a person's word."""
        view = self.turns[turn]
        self.turns[turn] = replace(view, state="waiting", attempts=0)
        parsed = parse_turn_id(turn)
        assert parsed is not None
        now = datetime.now(UTC)
        question = OpenQuestion(
            id=question_id(INSTANCE, *parsed, step),
            turn=turn,
            conversation=view.conversation,
            asker=Sender(id="7", name="Ann"),
            about=about,
            tool="shell",
            subject=subject,
            asked_at=now,
            deadline=now + timedelta(seconds=left_s),
        )
        self.questions.append(question)
        self.fanout.publish(view.conversation, Asked(turn=turn, question=question))
        return question.id

    def answered(self, question: QuestionId) -> None:
        """The word came, and a worker goes on."""
        [open_one] = [found for found in self.questions if found.id == question]
        self.questions.remove(open_one)
        self.start(open_one.turn)

    def merge(self, turn: TurnId, into: TurnId) -> None:
        """A message becomes part of an earlier one's turn."""
        self.turns[turn] = replace(self.turns[turn], state="running", merged_into=into)

    def finish(self, turn: TurnId, text: str, outcome: Outcome = "answered", exit_code: int = 0) -> None:
        """The turn's end is committed, then published."""
        self.commit(turn, text, outcome, exit_code)
        view = self.turns[turn]
        ended = Ended(turn=turn, outcome=outcome, text=text, model="demo", exit_code=exit_code)
        self.fanout.publish(view.conversation, ended)

    def commit(self, turn: TurnId, text: str, outcome: Outcome = "answered", exit_code: int = 0) -> None:
        """The turn's end is committed and nobody told."""
        view = replace(
            self.turns[turn],
            state=outcome,
            answer=text,
            finished_at=AT,
            model="demo",
            exit_code=exit_code,
        )
        self.turns[turn] = view
        merged_turns = [other for other in self.turns.values() if other.merged_into == turn]
        for merged in merged_turns:
            self.turns[merged.id] = replace(
                merged, state=outcome, answer=text, finished_at=AT, model="demo", exit_code=exit_code
            )
        answers = (turn, *(merged.id for merged in merged_turns))
        self.entry(view.conversation, "assistant", text, turn, outcome, answers)

    def services(self) -> ControlServices:
        """Return the parts as the server wants them."""
        return ControlServices(
            inbox=Inbox(self),
            journal=Journal(self),
            views=Views(self),
            admin=Admin(self),
            keeping=Keeping(self),
            fanout=self.fanout,
            operations=Operations(self),
            alerts=self.desk,
            clock=SystemClock(),
            names=lambda: ("main", "default"),
            prefixes=dict,
        )


def socket_in(directory: Path) -> Path:
    """Return a socket path short enough for any temporary directory."""
    return directory / "c.sock"
