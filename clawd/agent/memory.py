"""What a model is shown of a long conversation: never more than fits, and nothing left out in silence.

Used by one attempt at one turn. Summaries are journalled steps of the turn, committed before they are used.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from clawd.agent import compact
from clawd.agent.choosing import Choice
from clawd.agent.context import Block, Layout, Shown, lay_out, past_blocks
from clawd.agent.cutting import CUT, squeeze
from clawd.agent.fitting import SPARE, Fitting, Material
from clawd.errors import ContextTooLong, ModelError, ModelsExhausted, ModelUnavailable
from clawd.journal.base import Snapshot
from clawd.journal.records import SummaryIntent, SummaryResult, TurnsUndone
from clawd.models.base import ChatMessage, ModelRequest, RequestTags, with_attempts
from clawd.models.windows import DEFAULT_ROUTE, SUMMARY_ROUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clawd.agent.open_turn import OpenTurn
    from clawd.config.schema import AgentConfig
    from clawd.journal.base import Lease, Loaded, PastTurn
    from clawd.messages import InboundMessage
    from clawd.models.base import Reserve
    from clawd.models.tokens import TokenCounter
    from clawd.models.windows import Windows
    from clawd.response import ModelAttempt, ModelResponse
    from clawd.tools.base import ToolSpec

log = logging.getLogger(__name__)

SNAPSHOT_AFTER: Final = 200  # records read behind a snapshot, from which on another one pays

TIMES_TOO_LONG: Final = 3
"""How often a request is made shorter and asked again when a model finds it too long."""

Ask = Callable[[ModelRequest, SummaryIntent], Awaitable["ModelResponse"]]
Reserving = Callable[[ModelRequest], "Reserve | None"]


class Memory:
    """The context of one attempt at one turn.

    Args:
        turn: Whose context it is; summaries are committed as steps of it.
        agent: Instructions and limits.
        windows: Of the models in use.
        ask: Asks a model, its intent noted at once before; ends with the turn's own limits.
        reserve: Says whom a request will be asked of, and what that may cost.
        shown: Makes of a message what a model is shown of it.
    """

    def __init__(
        self,
        turn: OpenTurn,
        *,
        agent: AgentConfig,
        windows: Windows,
        ask: Ask,
        reserve: Reserving,
        shown: Shown,
    ) -> None:
        self._turn = turn
        self._agent = agent
        self._windows = windows
        self._ask = ask
        self._reserve = reserve
        self._shown = shown
        self._tags = tags_of(turn.lease)
        loaded, own = turn.loaded, turn.state.summary
        # A session that was begun anew meanwhile has no snapshot; the turn's own beginning is still needed.
        self._summary = loaded.summary or (own.text if own is not None else "")
        self._through_seq = loaded.summary_seq
        self._through_step = own.through_step if own is not None else 0
        self._step = own.step if own is not None else 0
        self._history: Sequence[PastTurn] = loaded.history
        self._past: tuple[tuple[TurnsUndone | None, int], tuple[Block, ...]] | None = None
        self._made = 0
        self._given_up = False
        self._untold: tuple[ModelAttempt, ...] = ()
        self._fitting = Fitting(agent.instructions)
        self._choice = Choice()
        self._estimate = 0
        self.question_cut: tuple[int, int] | None = None
        """How many characters of the person's own message the last request showed, and of how many; None: all."""

    # --- requests ---------------------------------------------------------------------------------------

    async def fit(
        self,
        tools: tuple[ToolSpec, ...],
        merged: Mapping[int, InboundMessage],
        choice: Choice,
        note: str = "",
        *,
        only_small: bool = False,
    ) -> ModelRequest:
        """Return the next request, within the window of every model that may answer it.

        Makes a summary first when that is due. What then still does not fit whole goes to the larger models of
        the route alone, as far as there are any; in the largest window the oldest messages are left out.

        Args:
            tools: What is offered to the model.
            merged: Further messages that became part of this turn, by their sequence number.
            choice: Whom to ask.
            note: Told to the model behind everything else.
            only_small: Leave out and cut what is too much for the smallest model: the larger ones failed.
        """
        self._choice = choice
        window, *larger = self._windows.levels(
            choice.route, choice.pin, unknown_tokens=self._agent.context_tokens, strict=choice.alone
        )
        material = self._material(merged, note)
        draft = self._fitting.draft(material, tools, window)
        if not draft.fits and not self._given_up:
            await self._make_room(material.layout, draft.budget, self._fitting.counter(window))
            material = self._material(merged, note)
            draft = self._fitting.draft(material, tools, window)
        least: int | None = None
        while larger and not only_small and not draft.whole:
            window = larger.pop(0)
            draft, least = self._fitting.draft(material, tools, window), window.tokens
        if not draft.fits:
            draft = self._fitting.shortened(draft, material, window)
        if tools and not draft.tools:
            log.warning("tools_do_not_fit", extra={"turn": self._turn.lease.turn, "tokens": window.input})
        self._estimate = draft.tokens
        self.question_cut = self._fitting.question_cut(draft, material, window)
        return ModelRequest(
            messages=draft.messages,
            tools=draft.tools,
            route=choice.route,
            pin=choice.pin,
            strict=choice.strict,
            tags=self._tags,
            input_tokens=draft.tokens,
            min_context_tokens=least,
        )

    def learn(self, response: ModelResponse) -> None:
        """Compare the last request's estimate with what its provider counted."""
        self._windows.learn(response.model, self._estimate, response.usage.input_tokens)
        for attempt in response.attempts:
            if attempt.outcome == ContextTooLong.code:
                self._too_long(attempt.model, attempt.detail, self._estimate)

    def take_untold(self) -> tuple[ModelAttempt, ...]:
        """Return the attempts at summaries that came to nothing since this was last asked: no record has them."""
        untold, self._untold = self._untold, ()
        return untold

    def too_long(self, error: ModelError) -> bool:
        """Note which models found the last request too long; False where that was not what went wrong."""
        return self._learn_from(error, self._estimate)

    def _learn_from(self, error: ModelError, estimated: int) -> bool:
        """Note which models found a request too long: the error names one, its attempts all of them.

        False where a shorter request would not help.
        """
        causes = error.causes if isinstance(error, ModelsExhausted) else (error,)
        found = {a.model: a.detail for a in error.attempts if a.outcome == ContextTooLong.code}
        found |= {c.model: f"{c.what} {c.why}" for c in causes if isinstance(c, ContextTooLong)}
        learnt = [self._too_long(model, words, estimated) for model, words in found.items()]
        return any(learnt)

    def _too_long(self, model: str, words: str, estimated: int) -> bool:
        return self._windows.too_long(model, words, estimated, unknown_tokens=self._agent.context_tokens)

    def _material(self, merged: Mapping[int, InboundMessage], note: str) -> Material:
        layout = self._layout(merged)
        return Material(layout=layout, summary=self._summary, omitted=self._turn.loaded.omitted, note=note)

    def _layout(self, merged: Mapping[int, InboundMessage]) -> Layout:
        turn = self._turn.state
        key = (turn.undone, self._through_seq)
        if self._past is None or self._past[0] != key:
            self._past = (key, past_blocks(self._history, turn, self._shown))
        return lay_out(
            self._turn.loaded.history,
            self._past[1],
            self._turn.lease.message,
            turn,
            merged,
            through_step=self._through_step,
            shown=self._shown,
        )

    # --- summaries --------------------------------------------------------------------------------------

    async def compact(self, choice: Choice) -> int | None:
        """Summarise the whole session before this turn; `/compact`.

        Args:
            choice: Whose window the summary is for.

        Returns:
            How many messages the summary stands for now; None when there was nothing to summarise.

        Raises:
            ModelError: no model made one.
        """
        self._choice = choice
        layout = self._layout({})
        window = self._windows.of(
            choice.route, choice.pin, unknown_tokens=self._agent.context_tokens, strict=choice.alone
        )
        counter = self._fitting.counter(window)
        if covered := compact.boundary(layout, len(layout.past)):
            try:
                await self._summarise(layout, covered, 0, compact.summary_cap(window.input), counter)
            except ModelError as error:
                error.attempts = self.take_untold()
                raise
        if not self._summary:
            return None
        return self._through_seq - self._turn.lease.settings.session_seq

    async def _make_room(self, layout: Layout, budget: int, counter: TokenCounter) -> None:
        """Summarise what is oldest; after a failure nothing more is tried in this attempt."""
        cap = compact.summary_cap(budget)
        size = cap + self._fitting.fixed(layout, budget, counter)
        past, steps = compact.cut_points(
            layout, budget, size, lambda block: self._fitting.cost(block, budget, counter)
        )
        if not past and not steps:
            return
        try:
            await self._summarise(layout, past, steps, cap, counter)
        except ModelError as error:
            self._given_up = True
            log.warning("summary_failed", extra={"turn": self._turn.lease.turn, "error": str(error)})

    async def _summarise(
        self, layout: Layout, past: int, steps: int, cap: int, counter: TokenCounter
    ) -> None:
        """Let the summary stand for these past turns and steps, in as many requests as that takes."""
        blocks = [*layout.past[:past], *layout.steps[:steps]]
        # Without a route of its own a summary is asked of the models that the conversation uses.
        choice = self._choice
        if self._windows.has_route(SUMMARY_ROUTE):
            choice = Choice(route=SUMMARY_ROUTE)
        elif choice.route == DEFAULT_ROUTE:  # an unknown route is the default one
            choice = replace(choice, route=SUMMARY_ROUTE)
        done = refused = 0
        while done < len(blocks):
            window = self._windows.of(
                choice.route, choice.pin, unknown_tokens=self._agent.context_tokens, strict=choice.alone
            )
            asked = window.counter()
            words = compact.words_for(cap)
            taken, messages = compact.chunk(blocks[done:], self._summary, window.input - SPARE, words, asked)
            messages = squeeze(messages, window.input - SPARE, asked)
            try:
                response = await self._ask_summary(messages, asked.messages(messages), choice)
            except ModelError as error:
                self._untold += tuple(error.attempts)
                refused += 1
                if refused > TIMES_TOO_LONG or not self._learn_from(error, asked.messages(messages)):
                    raise
                continue
            response = with_attempts(response, (*self.take_untold(), *response.attempts))
            if not response.text.strip():
                self._untold = response.attempts
                raise ModelUnavailable(response.model, "the summary is empty")
            done += taken
            await self._keep(layout, blocks[done - 1], min(done, past), response, cap, counter)

    async def _ask_summary(
        self, messages: tuple[ChatMessage, ...], tokens: int, choice: Choice
    ) -> ModelResponse:
        request = ModelRequest(
            messages=messages,
            route=choice.route,
            pin=choice.pin,
            strict=choice.strict,
            tags=self._tags,
            input_tokens=tokens,
        )
        reserve = self._reserve(request)
        intent = SummaryIntent(
            step=self._step - 1,
            route=request.route,
            model=reserve.model if reserve is not None else None,
            reserve_usd=reserve.usd if reserve is not None else None,
        )
        response = await self._ask(request, intent)
        self._windows.learn(response.model, tokens, response.usage.input_tokens)
        return response

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
        seq = compact.through_seq(layout, covered, self._turn.lease.seq, self._through_seq)
        step = max(self._through_step, last.step)
        text = counter.cut(response.text.strip(), cap, CUT)
        record = SummaryResult(
            step=self._step - 1, through_seq=seq, through_step=step, text=text, response=response
        )
        await self._turn.commit(record)
        self._step, self._through_seq, self._through_step, self._summary = record.step, seq, step, text
        self._history = [past for past in self._history if past.seq > seq]
        self._made += 1
        extra = {
            "turn": self._turn.lease.turn,
            "model": response.model,
            "through_seq": seq,
            "through_step": step,
        }
        log.info("summary_made", extra=extra)

    # --- snapshots --------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot | None:
        """Return the session before this turn as its next turn should load it; None when that is not due."""
        if self._turn.loaded.behind <= SNAPSHOT_AFTER or self._made:
            return None
        return snapshot_of(self._turn.lease, self._turn.loaded)


def snapshot_of(lease: Lease, loaded: Loaded) -> Snapshot:
    """Return the session before a turn, so that its next turns need not read it record by record."""
    return Snapshot(
        session=lease.settings.session,
        through_seq=lease.seq - 1,
        summary=loaded.summary,
        summary_seq=loaded.summary_seq,
        turns=loaded.history,
    )


def tags_of(lease: Lease) -> RequestTags:
    """Return on whose behalf a turn's requests are made."""
    return RequestTags(bridge=lease.address.bridge, conversation=str(lease.address), user=lease.message.user)
