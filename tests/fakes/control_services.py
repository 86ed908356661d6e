"""In-memory parts for a ControlServer: they keep what they are told and say what a test put in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clawd.alerts.saying import firing
from clawd.bridge import BridgeStatus
from clawd.control.protocol import (
    PROTOCOL_VERSION,
    BridgeStep,
    BridgeTest,
    BudgetStatus,
    Lags,
    PairingStatus,
    PrincipalStatus,
    ReloadReport,
    Status,
    TokenRequest,
    TokenStatus,
    Totals,
    UsageReport,
)
from clawd.control.services import ControlServices
from clawd.errors import HoldsMore, NotFound, NotPossible
from clawd.fanout import Arrived, Asked, Delta, Ended, Fanout, Started
from clawd.ids import (
    DeliveryId,
    QuestionId,
    SystemClock,
    TurnId,
    delivery_id,
    parse_turn_id,
    question_id,
    turn_id,
)
from clawd.journal.base import ConversationSettings, Lease, OpenQuestion, TurnState
from clawd.journal.check import Finding
from clawd.journal.checking import Report
from clawd.journal.items import Push, Pushed
from clawd.journal.keeping import (
    Exported,
    ExportedConversation,
    ExportedDelivery,
    ExportedPush,
    JournalFacts,
    Progress,
)
from clawd.journal.reading import (
    ConversationView,
    DeadView,
    DeliveryView,
    EntryView,
    Page,
    QueueStats,
    Trace,
    TraceLine,
    TurnView,
)
from clawd.journal.spend import UsageRow, total_of
from clawd.messages import (
    Accepted,
    Address,
    Duplicate,
    InboundControl,
    InboundMessage,
    MessageId,
    Refused,
    Replied,
    Sender,
    Text,
)
from clawd.models.info import ModelInfo, SwitchSeen
from clawd.store.backup import Backup
from tests.fakes.alert_desk import FakeDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from clawd.journal.items import Item, Stored
    from clawd.journal.records import Outcome
    from clawd.journal.spend import UsageBy
    from clawd.messages import AcceptResult, Cursor, Inbound

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
INSTANCE = "fake"


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
            inbox=_Inbox(self),
            journal=_Journal(self),
            views=_Views(self),
            admin=_Admin(self),
            keeping=_Keeping(self),
            fanout=self.fanout,
            operations=_Operations(self),
            alerts=self.desk,
            clock=SystemClock(),
            names=lambda: ("main", "default"),
            prefixes=dict,
        )


@dataclass(slots=True)
class _Inbox:
    world: World

    async def accept(self, batch: Sequence[Inbound], cursor: Cursor | None = None) -> Sequence[AcceptResult]:
        if self.world.failure is not None:
            raise self.world.failure
        return [self._one(event) for event in batch]

    def _one(self, event: Inbound) -> AcceptResult:
        if isinstance(event, InboundControl):
            if event.question is not None:
                return self._word(event, event.question)
            self.world.controls.append(event)
            return Replied(text="stopping")
        assert isinstance(event, InboundMessage)
        if event.id in self.world.seen:
            first = next(m for m in self.world.messages if m.id == event.id)
            return Duplicate(turn=self.world.seen[event.id], same_body=first.digest == event.digest)
        if event.text == "/status":
            return Replied(text="all is well")
        open_before = sum(
            1
            for turn in self.world.turns.values()
            if turn.conversation == event.address and turn.state in ("queued", "running")
        )
        turn = self.world.ask(event.address, event.text)
        self.world.messages.append(event)
        self.world.seen[event.id] = turn
        return Accepted(turn=turn, position=open_before)

    def _word(self, event: InboundControl, question: QuestionId) -> AcceptResult:
        happening, self.world.before_answer = self.world.before_answer, None
        if happening is not None:
            happening()
        if not self.world.may_answer:
            if event.address.bridge == "api":  # so it is where the question is another conversation's
                return Replied(text="nothing to answer", nothing=True)
            return Refused(reason="not_yours", text="not yours")
        if all(found.id != question for found in self.world.questions):
            return Replied(text="nothing to answer", nothing=True)
        self.world.controls.append(event)
        self.world.answered(question)
        return Replied(text="approved" if event.kind == "approve" else "denied")

    async def cursor(self, key: str) -> str | None:
        return None


@dataclass(slots=True)
class _Journal:
    world: World

    async def accept(
        self, batch: Sequence[Item], cursor: Cursor | None = None
    ) -> Sequence[Accepted | Duplicate | Pushed | Stored]:
        results: list[Accepted | Duplicate | Pushed | Stored] = []
        for item in batch:
            assert isinstance(item, Push)
            if any(push.id == item.id for push in self.world.pushes):
                results.append(Duplicate(turn=None))
                continue
            self.world.pushes.append(item)
            results.append(Pushed(delivery=delivery_id(INSTANCE, len(self.world.pushes))))
        return results


@dataclass(slots=True)
class _Views:
    world: World

    async def turn(self, turn: TurnId) -> TurnView:
        self.world.asked.set()
        if turn not in self.world.turns:
            raise NotFound(f"there is no turn {turn}")
        view = self.world.turns[turn]
        happening, self.world.while_asking = self.world.while_asking, None
        if happening is not None:
            happening()
        return view

    async def questions(self, *, address: Address | None = None, limit: int = 100) -> Sequence[OpenQuestion]:
        happening, self.world.when_watched = self.world.when_watched, None
        if happening is not None:
            happening()
        found = [question for question in self.world.questions if address in (None, question.conversation)]
        return found[:limit]

    async def turns(
        self, *, address: Address | None = None, state: TurnState | None = None, limit: int = 50
    ) -> Sequence[TurnView]:
        found = [
            turn
            for turn in self.world.turns.values()
            if address in (None, turn.conversation) and state in (None, turn.state)
        ]
        return found[:limit]

    async def conversations(self, *, limit: int = 50, prefix: str = "") -> Sequence[ConversationView]:
        return [
            ConversationView(
                address=address,
                turns=sum(1 for t in self.world.turns.values() if t.conversation == address),
                open_turns=0,
                last_at=AT,
                last_text=rows[-1].text,
                settings=ConversationSettings(),
            )
            for address, rows in self.world.entries.items()
            if str(address).startswith(prefix)
        ][:limit]

    async def entries(self, address: Address, *, after: str = "", limit: int = 200) -> Page:
        if after in self.world.bad_cursors:
            raise NotFound(f"there is no cursor {after}")
        rows = self.world.entries.get(address, [])
        found = [row for row in rows if row.cursor > after]
        found = found[:limit] if after else found[-limit:]
        happening, self.world.while_reading = self.world.while_reading, None
        if happening is not None:
            happening()
        return Page(entries=tuple(found), cursor=found[-1].cursor if found else after)

    async def dead(self, *, limit: int = 100) -> Sequence[DeadView]:
        return self.world.dead[:limit]

    async def trace(self, identifier: str) -> Trace:
        if (found := self.world.deliveries.get(DeliveryId(identifier))) is not None:
            happening, self.world.when_traced = self.world.when_traced, None
            if happening is not None:
                happening()
            return Trace(turn=None, lines=(), deliveries=(found,))
        turn = await self.turn(TurnId(identifier))
        return Trace(
            turn=turn,
            lines=(TraceLine(at=AT, what="accepted", detail=(("id", "terminal:0:1"),)),),
            deliveries=(),
        )

    async def stats(self) -> QueueStats:
        return QueueStats(
            queued=sum(1 for turn in self.world.turns.values() if turn.state == "queued"),
            running=sum(1 for turn in self.world.turns.values() if turn.state == "running"),
            oldest_age_s=0.0,
            deliveries_open=0,
            dead=len(self.world.dead),
            conversations=len(self.world.entries),
            last_id=sum(map(len, self.world.entries.values())),
        )


@dataclass(slots=True)
class _Admin:
    world: World

    async def reset(self, address: Address) -> None:
        self._known(address)
        self.world.calls.append(("reset", str(address)))

    async def delete(self, address: Address, *, only: TurnId | None = None) -> int:
        self._known(address)
        turns = [t for t in self.world.turns.values() if t.conversation == address]
        if only is not None and [(t.id, t.seq) for t in turns] != [(only, 1)]:
            raise HoldsMore("the conversation holds more than one turn", where=str(address))
        if any(t.conversation == address and t.state == "running" for t in self.world.turns.values()):
            raise NotPossible("the conversation has an open turn", where=str(address))
        del self.world.entries[address]
        self.world.calls.append(("delete", str(address)))
        return 1

    async def retry(self, turn: TurnId) -> TurnId:
        view = self.world.turns.get(turn)
        if view is None:
            raise NotFound(f"there is no turn {turn}")
        if view.state not in ("failed", "cancelled", "dead"):
            raise NotPossible("only a turn without an answer can be retried", where=turn)
        return self.world.ask(view.conversation, view.question)

    async def resubmit(self, identifier: str) -> str:
        await self.drop(identifier)
        return str(DeliveryId(identifier))

    async def drop(self, identifier: str) -> None:
        found = [item for item in self.world.dead if item.id == identifier]
        if not found:
            raise NotFound(f"there is no {identifier}")
        self.world.dead.remove(found[0])
        self.world.calls.append(("dropped", identifier))

    def _known(self, address: Address) -> None:
        if address not in self.world.entries:
            raise NotFound("there is no such conversation", where=str(address))


@dataclass(slots=True)
class _Keeping:
    world: World

    async def sweep_files(self, pause: Callable[[], Awaitable[None]]) -> None:
        return

    async def facts(self) -> JournalFacts:
        return JournalFacts(
            file=Path("/var/lib/clawd/clawd.db"),
            bytes=1 << 20,
            free_bytes=0,
            wal_bytes=0,
            shrinks=True,
            keep_days=None,
            backups=self.world.backups,
            last_backup=None,
            last_backup_at=None,
        )

    async def backup(
        self, target: Path | None, *, force: bool, tell: Callable[[Progress], Awaitable[None]]
    ) -> Backup:
        self.world.calls.append(("backup", str(target), str(force)))
        await tell(Progress(done=1, of=2))
        return Backup(file=target or Path("/var/lib/clawd/backups/x.db"), bytes=2, duration_s=0.1)

    async def check(self, *, quick: bool, tell: Callable[[Progress], Awaitable[None]]) -> Report:
        findings = tuple(self.world.findings)
        return Report(
            findings=findings, count=len(findings), turns=1, conversations=1, duration_s=0.1, quick=quick
        )

    async def export(self, address: Address) -> AsyncIterator[Exported]:
        if address not in self.world.entries:
            raise NotFound(f"there is no conversation {address}")
        yield ExportedConversation(
            address=address, moved_to=None, turns=1, settings=ConversationSettings(), exported_at=AT
        )
        for number, entry in enumerate(self.world.entries[address]):
            yield ExportedPush(
                row=number,
                delivery=ExportedDelivery(
                    id=delivery_id(INSTANCE, number),
                    part=0,
                    state="sent",
                    attempts=1,
                    text=entry.text,
                    remote_id=None,
                    why="",
                    at=AT,
                    taken_at=AT,
                    ended_at=AT,
                ),
            )

    async def scrub_if_wanted(self) -> bool:
        return True

    async def forget(self, pause: Callable[[], Awaitable[None]]) -> datetime | None:
        return None


@dataclass(slots=True)
class _Operations:
    world: World

    async def status(self) -> Status:
        return Status(
            version="0.1.0",
            protocol=PROTOCOL_VERSION,
            pid=self.world.pid,
            started_at=AT,
            uptime_s=90061.0,
            state="draining" if self.world.state == "draining" else "ready",
            journal_pause=self.world.journal_pause,
            rss_bytes=44 * 1024 * 1024,
            state_dir="/var/lib/clawd",
            config_path="/etc/clawd/config.yaml",
            config_error="",
            socket="/run/clawd/clawd.sock",
            gateway="http://127.0.0.1:7373",
            queue=await _Views(self.world).stats(),
            bridges=self.bridges(),
            models=self.models(),
            route=("demo",),
            switches=self.world.switches,
            today=total_of(self.world.used),
            budgets=self.world.budgets,
            alerts=firing(self.world.desk.alerts),
            untold=tuple(self.world.desk.trouble),
            totals=self.world.totals,
            lags=self.world.lags,
        )

    def stop(self) -> None:
        self.world.stopped.set()

    async def reload(self) -> ReloadReport:
        if self.world.reload_failure is not None:
            raise self.world.reload_failure
        return ReloadReport(changed=("agent",), restart_needed=("gateway.port",))

    def bridges(self) -> Sequence[BridgeStatus]:
        return [
            BridgeStatus(name="telegram", type="telegram", state="connected", since=AT),
            BridgeStatus(
                name="hook", type="webhook", state="bad_credentials", since=AT, error="401", remedy="new key"
            ),
        ]

    async def test_bridge(self, name: str) -> BridgeTest:
        if name == "hook":
            return self.world.bridge_test
        if name != "telegram":
            raise NotFound(f"there is no bridge {name!r}")
        return BridgeTest(detail="@clawd_bot (12345)")

    async def usage(self, *, days: int, by: UsageBy) -> UsageReport:
        self.world.calls.append(("usage", str(days), by))
        total = total_of(self.world.used)
        return UsageReport(
            days=days,
            last_day=f"{AT:%Y-%m-%d}",
            by=by,
            rows=self.world.used,
            total=total,
            today=total,
            budgets=self.world.budgets,
        )

    def models(self) -> Sequence[ModelInfo]:
        return self.world.models

    async def test_model(self, name: str) -> str:
        if name != "demo":
            raise NotFound(f"there is no model {name!r}")
        return "answered: hello"

    def pairings(self) -> Sequence[PairingStatus]:
        return [PairingStatus(code="ABCD2345", bridge="telegram", sender="7", name="Eve", expires_at=AT)]

    def principals(self) -> Sequence[PrincipalStatus]:
        return [
            PrincipalStatus(principal="telegram:1", right="owner", name="Ann", since=AT, source="config"),
        ]

    async def approve(self, code: str, *, owner: bool) -> PrincipalStatus:
        if code != "ABCD2345":
            raise NotFound(f"no pairing waits under the code {code}", remedy="clawd pair list")
        right = "owner" if owner else "chat"
        self.world.calls.append(("approve", code, right))
        return PrincipalStatus(
            principal="telegram:7",
            right="owner" if owner else "chat",
            name="Eve",
            since=AT,
            source="pairing",
        )

    async def revoke(self, principal: str) -> None:
        if principal == "telegram:1":
            raise NotPossible("this one is named by the configuration", where=principal)
        self.world.calls.append(("revoke", principal))

    def tokens(self) -> Sequence[TokenStatus]:
        return self.world.tokens

    async def create_token(self, wanted: TokenRequest) -> str:
        self.world.wanted_tokens.append(wanted)
        return "clawd_secret"

    async def revoke_token(self, name: str) -> None:
        if name != "phone":
            raise NotFound(f"there is no token {name!r}")
        self.world.calls.append(("revoke_token", name))


def socket_in(directory: Path) -> Path:
    """Return a socket path short enough for any temporary directory."""
    return directory / "c.sock"
