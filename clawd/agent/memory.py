"""What a model is shown of a long conversation: never more than fits, and nothing left out in silence.

Used by one attempt at one turn. Summaries are journalled steps of the turn, committed before they are used.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from clawd.agent import compact
from clawd.agent.context import Block, Layout, lay_out, past_blocks
from clawd.agent.cutting import CUT, shorten, squeeze
from clawd.agent.turn import Turn, fold
from clawd.errors import ModelError, ModelUnavailable
from clawd.journal.base import Snapshot
from clawd.journal.records import Record, SummaryIntent, SummaryResult, TurnsUndone
from clawd.journal.search import TOOL_NAME
from clawd.models.base import ChatMessage, ModelRequest, SystemMessage
from clawd.models.windows import SUMMARY_ROUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.config.schema import AgentConfig
    from clawd.journal.base import Lease, Loaded, PastTurn
    from clawd.messages import InboundMessage
    from clawd.models.tokens import TokenCounter
    from clawd.models.windows import Window, Windows
    from clawd.response import ModelResponse
    from clawd.tools.base import ToolSpec

log = logging.getLogger(__name__)

SNAPSHOT_AFTER: Final = 200  # records read behind a snapshot, from which on another one pays

_SPARE: Final = 8  # tokens for what no estimate knows of

Ask = Callable[[ModelRequest], Awaitable["ModelResponse"]]
Commit = Callable[[Record], Awaitable[None]]
Note = Callable[[Record], None]


class Memory:
    """The context of one attempt at one turn.

    Args:
        lease: Of the turn.
        loaded: What the journal had of it.
        agent: Instructions and limits.
        windows: Of the models in use.
        ask: Asks a model; ends with the turn's own limits.
        commit: Commits a record and applies it to the turn.
        note: Queues a record.
    """

    def __init__(
        self,
        lease: Lease,
        loaded: Loaded,
        *,
        agent: AgentConfig,
        windows: Windows,
        ask: Ask,
        commit: Commit,
        note: Note,
    ) -> None:
        self._lease = lease
        self._loaded = loaded
        self._agent = agent
        self._windows = windows
        self._ask = ask
        self._commit = commit
        self._note = note
        own = fold(loaded.records).summary
        # A session that was begun anew meanwhile has no snapshot; the turn's own beginning is still needed.
        self._summary = loaded.summary or (own.text if own is not None else "")
        self._through_seq = loaded.summary_seq
        self._through_step = own.through_step if own is not None else 0
        self._step = own.step if own is not None else 0
        self._history: Sequence[PastTurn] = loaded.history
        self._past: tuple[tuple[TurnsUndone | None, int], tuple[Block, ...]] | None = None
        self._made = 0
        self._given_up = False
        self._window: Window | None = None
        self._counter: TokenCounter | None = None
        self._short: dict[tuple[ChatMessage, int], ChatMessage] = {}
        self._estimate = 0

    # --- requests ---------------------------------------------------------------------------------------

    async def fit(
        self, turn: Turn, tools: tuple[ToolSpec, ...], merged: Mapping[int, InboundMessage]
    ) -> ModelRequest:
        """Return the next request, within the window of every model that may answer it.

        Makes a summary first when that is due; where that fails, the oldest messages are left out.

        Args:
            turn: What has happened in this turn.
            tools: What is offered to the model.
            merged: Further messages that became part of this turn, by their sequence number.
        """
        pin = self._lease.settings.model
        window = self._windows.of("default", pin, unknown_tokens=self._agent.context_tokens)
        counter = self._counter_of(window)
        taken = counter.tools(tools)
        if taken > window.input // 2:
            log.warning("tools_do_not_fit", extra={"turn": self._lease.turn, "tokens": taken})
            tools, taken = (), 0
        budget = window.input - taken - _SPARE
        searchable = any(tool.name == TOOL_NAME for tool in tools)
        messages, size = self._all(self._layout(turn, merged), budget, counter, searchable=searchable)
        if size > budget and not self._given_up:
            await self._make_room(self._layout(turn, merged), budget, counter)
            messages, size = self._all(self._layout(turn, merged), budget, counter, searchable=searchable)
        if size > budget:
            layout = self._layout(turn, merged)
            messages = self._newest(layout, budget, counter, searchable=searchable)
            size = counter.messages(messages)
        self._estimate = size + taken
        return ModelRequest(messages=messages, tools=tools, pin=pin)

    def learn(self, response: ModelResponse) -> None:
        """Compare the last request's estimate with what its provider counted."""
        self._windows.learn(response.model, self._estimate, response.usage.input_tokens)

    def _counter_of(self, window: Window) -> TokenCounter:
        if self._counter is None or self._window != window:
            self._window, self._counter = window, window.counter()
            self._short.clear()
        return self._counter

    def _layout(self, turn: Turn, merged: Mapping[int, InboundMessage]) -> Layout:
        key = (turn.undone, self._through_seq)
        if self._past is None or self._past[0] != key:
            self._past = (key, past_blocks(self._history, turn))
        return lay_out(
            self._loaded.history,
            self._past[1],
            self._lease.message,
            turn,
            merged,
            through_step=self._through_step,
        )

    def _all(
        self, layout: Layout, budget: int, counter: TokenCounter, *, searchable: bool
    ) -> tuple[tuple[ChatMessage, ...], int]:
        """Return everything, single messages cut to a third of the budget, and its size."""
        messages = (
            SystemMessage(self._agent.instructions),
            *compact.summary_message(self._summary, self._loaded.omitted, searchable=searchable),
            *(message for block in layout.past for message in block.messages),
            *layout.question,
            *(message for block in layout.steps for message in block.messages),
        )
        short = tuple(self._cut(message, budget, counter) for message in messages)
        return short, counter.messages(short)

    def _cut(self, message: ChatMessage, budget: int, counter: TokenCounter) -> ChatMessage:
        most = budget // 3
        if counter.message(message) <= most:
            return message
        key = (message, most)
        if key not in self._short:
            self._short[key] = shorten(message, most, counter)
        return self._short[key]

    def _newest(
        self, layout: Layout, budget: int, counter: TokenCounter, *, searchable: bool
    ) -> tuple[ChatMessage, ...]:
        """Return what fits of the newest messages, and a note of how many are not shown."""
        blocks = [*layout.past, *layout.steps]
        fixed: list[ChatMessage] = [SystemMessage(self._agent.instructions), *layout.question]
        note = compact.summary_message(self._summary, 1_000_000, searchable=searchable)
        left = budget - sum(counter.message(self._cut(m, budget, counter)) for m in (*fixed, *note))
        first = len(blocks)
        while first and (left := left - self._cost(blocks[first - 1], budget, counter)) >= 0:
            first -= 1
        if layout.steps:
            first = min(first, len(blocks) - 1)  # what the model has to go on from
        omitted = self._loaded.omitted + sum(len(block.messages) for block in blocks[:first])
        kept = blocks[first:]
        messages = (
            fixed[0],
            *compact.summary_message(self._summary, omitted, searchable=searchable),
            *(m for block in kept if not block.step for m in block.messages),
            *layout.question,
            *(m for block in kept if block.step for m in block.messages),
        )
        return squeeze([self._cut(m, budget, counter) for m in messages], budget, counter)

    def _cost(self, block: Block, budget: int, counter: TokenCounter) -> int:
        return sum(counter.message(self._cut(message, budget, counter)) for message in block.messages)

    # --- summaries --------------------------------------------------------------------------------------

    async def compact(self, turn: Turn) -> int | None:
        """Summarise the whole session before this turn; `/compact`.

        Returns:
            How many messages the summary stands for now; None when there was nothing to summarise.

        Raises:
            ModelError: no model made one.
        """
        layout = self._layout(turn, {})
        window = self._windows.of(
            "default", self._lease.settings.model, unknown_tokens=self._agent.context_tokens
        )
        counter = self._counter_of(window)
        if covered := compact.boundary(layout, len(layout.past)):
            await self._summarise(layout, covered, 0, compact.summary_cap(window.input), counter)
        if not self._summary:
            return None
        return self._through_seq - self._lease.settings.session_seq

    async def _make_room(self, layout: Layout, budget: int, counter: TokenCounter) -> None:
        """Summarise what is oldest; after a failure nothing more is tried in this attempt."""
        cap = compact.summary_cap(budget)
        fixed: list[ChatMessage] = [SystemMessage(self._agent.instructions), *layout.question]
        size = cap + sum(counter.message(self._cut(message, budget, counter)) for message in fixed)
        past, steps = compact.cut_points(
            layout, budget, size, lambda block: self._cost(block, budget, counter)
        )
        if not past and not steps:
            return
        try:
            await self._summarise(layout, past, steps, cap, counter)
        except ModelError as error:
            self._given_up = True
            log.warning("summary_failed", extra={"turn": self._lease.turn, "error": str(error)})

    async def _summarise(
        self, layout: Layout, past: int, steps: int, cap: int, counter: TokenCounter
    ) -> None:
        """Let the summary stand for these past turns and steps, in as many requests as that takes."""
        blocks = [*layout.past[:past], *layout.steps[:steps]]
        # Without a route of its own a summary is asked of the models that the conversation uses.
        own_route = self._windows.has_route(SUMMARY_ROUTE)
        pin = None if own_route else self._lease.settings.model
        done = 0
        while done < len(blocks):
            window = self._windows.of(SUMMARY_ROUTE, pin, unknown_tokens=self._agent.context_tokens)
            asked = window.counter()
            words = compact.words_for(cap)
            taken, messages = compact.chunk(blocks[done:], self._summary, window.input - _SPARE, words, asked)
            messages = squeeze(messages, window.input - _SPARE, asked)
            self._note(SummaryIntent(step=self._step - 1, route=SUMMARY_ROUTE))
            request = ModelRequest(messages=messages, route=SUMMARY_ROUTE, pin=pin)
            response = await self._ask(request)
            self._windows.learn(response.model, asked.messages(messages), response.usage.input_tokens)
            if not response.text.strip():
                raise ModelUnavailable(response.model, "the summary is empty")
            done += taken
            await self._keep(layout, blocks[done - 1], min(done, past), response, cap, counter)

    async def _keep(
        self,
        layout: Layout,
        last: Block,
        covered: int,
        response: ModelResponse,
        cap: int,
        counter: TokenCounter,
    ) -> None:
        """Commit a summary, then use it."""
        covered = compact.boundary(layout, covered)
        seq = compact.through_seq(layout, covered, self._lease.seq, self._through_seq)
        step = max(self._through_step, last.step)
        text = counter.cut(response.text.strip(), cap, CUT)
        record = SummaryResult(
            step=self._step - 1, through_seq=seq, through_step=step, text=text, response=response
        )
        await self._commit(record)
        self._step, self._through_seq, self._through_step, self._summary = record.step, seq, step, text
        self._history = [past for past in self._history if past.seq > seq]
        self._made += 1
        extra = {"turn": self._lease.turn, "model": response.model, "through_seq": seq, "through_step": step}
        log.info("summary_made", extra=extra)

    # --- snapshots --------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot | None:
        """Return the session before this turn as its next turn should load it; None when that is not due."""
        if self._loaded.behind <= SNAPSHOT_AFTER or self._made:
            return None
        return snapshot_of(self._lease, self._loaded)


def snapshot_of(lease: Lease, loaded: Loaded) -> Snapshot:
    """Return the session before a turn, so that its next turns need not read it record by record."""
    return Snapshot(
        session=lease.settings.session,
        through_seq=lease.seq - 1,
        summary=loaded.summary,
        summary_seq=loaded.summary_seq,
        turns=loaded.history,
    )
