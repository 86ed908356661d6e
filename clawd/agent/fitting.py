"""What of a conversation fits into a request, and what is told in place of the rest. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from clawd.agent import compact
from clawd.agent.cutting import shorten, squeeze
from clawd.journal.search import TOOL_NAME
from clawd.messages import Text, text_of
from clawd.models.base import ChatMessage, SystemMessage, UserMessage

if TYPE_CHECKING:
    from clawd.agent.context import Block, Layout
    from clawd.models.tokens import TokenCounter
    from clawd.models.windows import Window
    from clawd.tools.base import ToolSpec

SPARE: Final = 8  # tokens for what no estimate knows of


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that there is to show."""

    layout: Layout
    summary: str  # stands for what is not in the layout; empty for none
    omitted: int  # messages that are neither shown nor in the summary
    note: str = ""  # told to the model behind everything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a request could hold. Sizes are estimates in tokens."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...]
    budget: int  # of the messages
    size: int  # of the messages
    taken: int  # by the tools
    cut: bool  # single messages lost their middle, or the tools are missing

    @property
    def fits(self) -> bool:
        """Whether it may be sent."""
        return self.size <= self.budget

    @property
    def whole(self) -> bool:
        """Whether it may be sent, and nothing is missing of what the summary does not stand for."""
        return self.fits and not self.cut

    @property
    def tokens(self) -> int:
        """The whole request."""
        return self.size + self.taken


class Fitting:
    """Makes drafts; estimates each message once for each window.

    Args:
        instructions: The first message of every request begins with them.
    """

    def __init__(self, instructions: str) -> None:
        self._instructions = instructions
        self._window: Window | None = None
        self._counter: TokenCounter | None = None
        self._short: dict[tuple[ChatMessage, int], ChatMessage] = {}

    def _first(self, layout: Layout) -> SystemMessage:
        return SystemMessage("\n\n".join((self._instructions, *layout.instructions)))

    def counter(self, window: Window) -> TokenCounter:
        """Return the counter for this window."""
        if self._counter is None or self._window != window:
            self._window, self._counter = window, window.counter()
            self._short.clear()
        return self._counter

    def draft(self, material: Material, tools: tuple[ToolSpec, ...], window: Window) -> Draft:
        """Return everything, single messages cut to a third of what the window holds.

        Without tools where those alone would take more than half of it.
        """
        counter, layout = self.counter(window), material.layout
        taken, offered = counter.tools(tools), tools
        if taken > window.input // 2:
            offered, taken = (), 0
        budget = window.input - taken - SPARE
        messages = (
            self._first(layout),
            *compact.summary_message(material.summary, material.omitted, searchable=_searchable(offered)),
            *(message for block in (*layout.past, *layout.context) for message in block.messages),
            *layout.question,
            *(message for block in layout.steps for message in block.messages),
            *_noted(material),
        )
        short = tuple(self.cut(message, budget, counter) for message in messages)
        return Draft(
            messages=short,
            tools=offered,
            budget=budget,
            size=counter.messages(short),
            taken=taken,
            cut=short != messages or offered != tools,
        )

    def question_cut(self, draft: Draft, material: Material, window: Window) -> tuple[int, int] | None:
        """Return how many characters of the person's own message are left, and of how many; None: all of them."""
        if not draft.cut:
            return None
        counter, question = self.counter(window), material.layout.question
        short = [self.cut(message, draft.budget, counter) for message in question]
        if all(after is before for after, before in zip(short, question, strict=True)):
            return None
        left = sum(len(text_of(m.parts)) for m in short if isinstance(m, UserMessage))
        return left, sum(len(text_of(m.parts)) for m in question)

    def shortened(self, draft: Draft, material: Material, window: Window) -> Draft:
        """Return what fits of the newest messages, and a note of how many are not shown."""
        counter, layout, budget = self.counter(window), material.layout, draft.budget
        searchable = _searchable(draft.tools)
        blocks = [*layout.past, *layout.context, *layout.steps]
        fixed: list[ChatMessage] = [self._first(layout), *layout.question, *_noted(material)]
        note = compact.summary_message(material.summary, 1_000_000, searchable=searchable)
        left = budget - sum(counter.message(self.cut(m, budget, counter)) for m in (*fixed, *note))
        first = len(blocks)
        while first and (left := left - self.cost(blocks[first - 1], budget, counter)) >= 0:
            first -= 1
        if layout.steps:
            first = min(first, len(blocks) - 1)  # what the model has to go on from
        omitted = material.omitted + sum(len(block.messages) for block in blocks[:first])
        kept = blocks[first:]
        messages = (
            self._first(layout),
            *compact.summary_message(material.summary, omitted, searchable=searchable),
            *(m for block in kept if not block.step for m in block.messages),
            *layout.question,
            *(m for block in kept if block.step for m in block.messages),
            *_noted(material),
        )
        short = squeeze([self.cut(m, budget, counter) for m in messages], budget, counter)
        return replace(draft, messages=short, size=counter.messages(short), cut=True)

    def fixed(self, layout: Layout, budget: int, counter: TokenCounter) -> int:
        """Return the size of what is shown in any case."""
        fixed: list[ChatMessage] = [self._first(layout), *layout.question]
        return sum(counter.message(self.cut(message, budget, counter)) for message in fixed)

    def cost(self, block: Block, budget: int, counter: TokenCounter) -> int:
        """Return the size of a block as it would be shown."""
        return sum(counter.message(self.cut(message, budget, counter)) for message in block.messages)

    def cut(self, message: ChatMessage, budget: int, counter: TokenCounter) -> ChatMessage:
        """Return the message, without its middle where that takes more than a third of the budget."""
        most = budget // 3
        if counter.message(message) <= most:
            return message
        key = (message, most)
        if key not in self._short:
            self._short[key] = shorten(message, most, counter)
        return self._short[key]


def _searchable(tools: tuple[ToolSpec, ...]) -> bool:
    return any(tool.name == TOOL_NAME for tool in tools)


def _noted(material: Material) -> tuple[UserMessage, ...]:
    return (UserMessage((Text(material.note),)),) if material.note else ()
