"""The journal, its views and the door as a ControlServer sees them, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clawd.errors import HoldsMore, NotFound, NotPossible
from clawd.ids import (
    DeliveryId,
    QuestionId,
    TurnId,
    delivery_id,
)
from clawd.journal.base import ConversationSettings, OpenQuestion, TurnState
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
    Page,
    QueueStats,
    Trace,
    TraceLine,
    TurnView,
)
from clawd.messages import (
    Accepted,
    Address,
    Duplicate,
    InboundControl,
    InboundMessage,
    Refused,
    Replied,
)
from clawd.store.backup import Backup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from clawd.journal.items import Item, Stored
    from clawd.messages import AcceptResult, Cursor, Inbound
    from tests.fakes.control_services import World

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

INSTANCE = "fake"


@dataclass(slots=True)
class Inbox:
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
class Journal:
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
class Views:
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
class Admin:
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
class Keeping:
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
