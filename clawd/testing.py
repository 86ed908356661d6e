"""Doubles for people who write bridges, models and tools: a clock, a model, a bridge, all by hand."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from clawd.errors import DeliveryRejected, FileTooLarge, ModelError, ModelUnavailable, NotFound
from clawd.media import ARTIFACT, StoredFile
from clawd.messages import BridgeCapabilities, Receipt
from clawd.models.base import Completed, ModelResponse, TextDelta, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence

    from clawd.bridge import Inbox
    from clawd.messages import Address, Draft, Mark, Media, OutboundMessage, Preview
    from clawd.models.base import ModelEvent, ModelRequest

__all__ = [
    "ArrivedBut",
    "ManualClock",
    "MemoryArtifacts",
    "Outcome",
    "RecordingBridge",
    "ScriptedModel",
    "Shown",
    "Step",
]

_SETTLE_ROUNDS = 20  # loop iterations that a woken task gets before the clock moves on


class ManualClock:
    """A `Clock` that stands still until a test moves it; wall and monotonic time move together."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def boot(self) -> str:
        return f"manual-{id(self)}"

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), wake))
        self._changed.set()
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks sleep on this clock now."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    async def sleeping(self, count: int = 1) -> None:
        """Return as soon as at least `count` tasks sleep on this clock."""
        while self.sleepers < count:
            self._changed.clear()
            await self._changed.wait()

    async def advance(self, seconds: float) -> None:
        """Move both times on and wake, in order, who sleeps until then; each runs before the next wakes."""
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            at, _, wake = heapq.heappop(self._sleepers)
            if wake.done():  # cancelled
                continue
            self._move_to(at)
            wake.set_result(None)
            await self._settle()
        self._move_to(target)
        await self._settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back, as an administrator does: durations stay untouched."""
        self._now += timedelta(seconds=seconds)

    def _move_to(self, monotonic: float) -> None:
        self._now += timedelta(seconds=monotonic - self._monotonic)
        self._monotonic = monotonic

    async def _settle(self) -> None:
        for _ in range(_SETTLE_ROUNDS):
            await asyncio.sleep(0)


class MemoryArtifacts:
    """Artifacts that are gone with the process; `files` has each with its content."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[StoredFile, bytes]] = {}

    async def put(
        self,
        content: AsyncIterable[bytes],
        *,
        max_bytes: int,
        mime: str | None = None,
        name: str | None = None,
    ) -> StoredFile:
        found = bytearray()
        async for piece in content:
            found += piece
            if len(found) > max_bytes:
                raise FileTooLarge(max_bytes)
        file = StoredFile(
            ref=f"{ARTIFACT}{len(self.files):032x}",
            digest=hashlib.sha256(found).hexdigest(),
            size=len(found),
            mime=mime,
            name=name,
        )
        self.files[file.ref] = (file, bytes(found))
        return file

    async def stat(self, ref: str) -> StoredFile:
        return self._found(ref)[0]

    async def read(self, ref: str) -> AsyncIterator[bytes]:
        yield self._found(ref)[1]

    def _found(self, ref: str) -> tuple[StoredFile, bytes]:
        if ref not in self.files:
            raise NotFound(f"there is no file {ref}")
        return self.files[ref]


Step = str | ToolCall | ModelError | asyncio.Event
"""One piece of an answer: text, a call, a failure, or something to wait for first."""


class ScriptedModel:
    """A model provider that answers by a script and keeps what it was asked.

    Args:
        script: One entry per request: a step, or a list of them. A text step is one delta. Requests
            beyond the script get "ok" again and again.
        name: Its configured name.
        offers_tools: As in `ManagedProvider`.
    """

    def __init__(
        self, *script: Step | Sequence[Step], name: str = "scripted", offers_tools: bool = True
    ) -> None:
        self.name = name
        self.model = "script"
        self.place = "in this process"
        self.offers_tools = offers_tools
        self.requests: list[ModelRequest] = []
        self.closed = False
        self._script = deque(script)
        self._asked = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        self._asked.set()
        entry = self._script.popleft() if self._script else "ok"
        text, calls = "", []
        await asyncio.sleep(0)  # no real model answers without letting others run
        for step in [entry] if isinstance(entry, Step) else entry:
            match step:
                case str():
                    text += step
                    yield TextDelta(step)
                case ToolCall():
                    calls.append(step)
                case ModelError():
                    raise step
                case asyncio.Event():
                    await step.wait()
        if not text and not calls:
            raise ModelUnavailable(self.name, "the model's answer is empty")
        yield Completed(
            ModelResponse(
                model=self.name,
                text=text,
                tool_calls=tuple(calls),
                finish="tool_calls" if calls else "stop",
                usage=Usage(input_tokens=len(request.messages), output_tokens=len(text.split())),
            )
        )

    async def asked(self, count: int = 1) -> ModelRequest:
        """Return request number `count` as soon as it has come."""
        while len(self.requests) < count:
            self._asked.clear()
            await self._asked.wait()
        return self.requests[count - 1]

    async def probe(self) -> str:
        return f"{self.name} answers by a script"

    async def close(self) -> None:
        self.closed = True


@dataclass(frozen=True, slots=True)
class ArrivedBut:
    """The platform takes the message, and the caller is told this error all the same."""

    error: Exception


Outcome = Exception | ArrivedBut | asyncio.Event
"""What becomes of one call: it fails before, or after, it had its effect, or it waits and then works."""


@dataclass(slots=True, kw_only=True)
class Shown:
    """One message as people in the chat see it; `history` has every text it ever showed."""

    remote_id: str
    address: Address
    text: str
    history: list[str] = field(default_factory=list)
    files: tuple[Media, ...] = ()


class RecordingBridge:
    """A bridge to nowhere: keeps every call, and what people would see; calls fail by a script.

    Args:
        name: Its configured name.
        capabilities: Without `edits` an edit is refused; without `typing` none is shown.
        previews: Whether previews are wanted.
        drafts: Whether drafts are wanted, which then come before previews.
        marks: Whether signs beside messages are wanted.
    """

    draft_life_s = 30.0

    def __init__(
        self,
        name: str = "recording",
        *,
        capabilities: BridgeCapabilities | None = None,
        previews: bool = False,
        drafts: bool = False,
        marks: bool = False,
    ) -> None:
        self.name = name
        self.capabilities = capabilities or BridgeCapabilities(text_limit=4096, edits=True, typing=True)
        self.sends: list[OutboundMessage] = []  # every call, also those that failed
        self.preview_calls: list[Preview] = []
        self.draft_calls: list[Draft] = []
        self.mark_calls: list[tuple[str, Mark]] = []  # what was marked, and how
        self.typing: list[Address] = []
        self.shown: list[Shown] = []  # in the order in which they came into being
        self.runs = 0
        self.closed = False
        self._previews = previews
        self._drafts = drafts
        self._marks = marks
        self._on_send: defaultdict[str | None, deque[Outcome]] = defaultdict(deque)
        self._on_preview: deque[Outcome] = deque()
        self._on_draft: deque[Outcome] = deque()
        self._on_run: deque[Exception] = deque()
        self._changed = asyncio.Event()

    # --- what a test does -------------------------------------------------------------------------------

    def next_sends(self, *outcomes: Outcome, chat: str | None = None) -> None:
        """Let the next calls of `send` end so, one each; with `chat`, those to that chat alone."""
        self._on_send[chat].extend(outcomes)

    def next_previews(self, *outcomes: Outcome) -> None:
        """Let the next calls of `preview` end so, one each."""
        self._on_preview.extend(outcomes)

    def next_drafts(self, *outcomes: Outcome) -> None:
        """Let the next calls of `draft` end so, one each."""
        self._on_draft.extend(outcomes)

    def next_runs(self, *errors: Exception) -> None:
        """Let the next calls of `run` raise these, one each."""
        self._on_run.extend(errors)

    def texts(self, chat: str | None = None) -> list[str]:
        """Return what stands in a chat now, oldest first; without `chat`, in all of them."""
        return [shown.text for shown in self.shown if chat in (None, shown.address.chat)]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10) -> None:
        """Return once the condition holds; it is asked after every call. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    # --- the contract -----------------------------------------------------------------------------------

    async def run(self, inbox: Inbox, ready: Callable[[], None]) -> None:
        self.runs += 1
        self._changed.set()
        if self._on_run:
            raise self._on_run.popleft()
        ready()
        await asyncio.Event().wait()

    async def send(self, message: OutboundMessage) -> Receipt:
        self.sends.append(message)
        self._changed.set()
        chat = message.address.chat
        script = self._on_send[chat if self._on_send[chat] else None]
        receipt = await self._do(script, message.address, message.text, message.edit_of)
        found = next(shown for shown in self.shown if shown.remote_id == receipt.remote_id)
        found.files = message.files
        return receipt

    def previews(self, address: Address) -> bool:
        return self._previews

    async def preview(self, preview: Preview) -> Receipt:
        self.preview_calls.append(preview)
        self._changed.set()
        return await self._do(self._on_preview, preview.address, preview.text, preview.remote_id)

    def drafts(self, address: Address) -> bool:
        return self._drafts

    async def draft(self, draft: Draft) -> None:
        self.draft_calls.append(draft)
        self._changed.set()
        outcome = self._on_draft.popleft() if self._on_draft else None
        await asyncio.sleep(0)
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        elif outcome is not None:
            raise outcome.error if isinstance(outcome, ArrivedBut) else outcome

    def marks(self, address: Address) -> bool:
        return self._marks

    async def mark(self, address: Address, reference: str, mark: Mark) -> None:
        self.mark_calls.append((reference, mark))
        self._changed.set()

    async def working(self, address: Address) -> None:
        self.typing.append(address)
        self._changed.set()

    async def close(self) -> None:
        self.closed = True

    async def _do(
        self, script: deque[Outcome], address: Address, text: str, remote_id: str | None
    ) -> Receipt:
        outcome = script.popleft() if script else None
        await asyncio.sleep(0)  # no platform answers without letting others run
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        if isinstance(outcome, Exception):
            raise outcome
        shown = self._show(address, text, remote_id)
        self._changed.set()
        if isinstance(outcome, ArrivedBut):
            raise outcome.error
        return Receipt(remote_id=shown.remote_id)

    def _show(self, address: Address, text: str, remote_id: str | None) -> Shown:
        if remote_id is None:
            self.shown.append(Shown(remote_id=f"r{len(self.shown) + 1}", address=address, text=text))
        found = [s for s in self.shown if s.remote_id == (remote_id or self.shown[-1].remote_id)]
        if not found or (remote_id is not None and not self.capabilities.edits):
            raise DeliveryRejected(self.name, "no such message to edit")
        found[0].text = text
        found[0].history.append(text)
        return found[0]
