"""How many calls a chat, and the bot as a whole, may take: kept by us, so that Telegram need not say no.

Every call counts, whatever its method: messages, edits, drafts, "typing". What is only nice to have leaves
room for what must go out. In a group, where Telegram counts strictly, a reply waits as well; elsewhere it goes
out at once, as bursts are taken more often than not, and a 429 tells where they are not. After a 429 the chat
is frozen for as long as Telegram said.

Source: Bot FAQ, "My bot is hitting limits": about one message a second in a chat with short bursts, 20 a
minute in a group, some 30 a second in all; none of it is guaranteed, `retry_after` is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from clawd.ids import Clock

Urgency = Literal["answer", "preview", "aside"]
"""A reply that must go out; text shown while it is made; typing, reactions and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """At most `calls` in any `seconds`; of these `kept` are for answers, and `kept_from_asides` for more than asides.

    Unless it is `strict`, answers only count and never wait.
    """

    calls: int
    seconds: float
    kept: int
    kept_from_asides: int
    strict: bool = False

    def of(self, urgency: Urgency) -> int:
        """Return how many calls of this urgency may stand in the window."""
        match urgency:
            case "answer":
                return self.calls
            case "preview":
                return self.calls - self.kept
            case "aside":
                return self.calls - self.kept - self.kept_from_asides


GROUP: Final = Allowance(calls=20, seconds=60, kept=6, kept_from_asides=4, strict=True)
PRIVATE: Final = Allowance(calls=30, seconds=30, kept=8, kept_from_asides=4)
BOT: Final = Allowance(calls=28, seconds=1, kept=10, kept_from_asides=4)
_MAX_CHATS: Final = 2000  # with a memory of their last calls; more than are busy within a minute


@dataclass(slots=True)
class _Window:
    """The times of the last calls."""

    allowance: Allowance
    calls: deque[float] = field(default_factory=deque)
    frozen_until: float = 0.0

    def wait_s(self, urgency: Urgency, now: float) -> float:
        """Return the seconds until one more call fits, 0 for at once."""
        while self.calls and self.calls[0] <= now - self.allowance.seconds:
            self.calls.popleft()
        wait_s = max(0.0, self.frozen_until - now)
        if urgency == "answer" and not self.allowance.strict:
            return wait_s
        most = self.allowance.of(urgency)
        if len(self.calls) < most:
            return wait_s
        # So many have to leave the window first.
        last = self.calls[len(self.calls) - most]
        return max(wait_s, last + self.allowance.seconds - now)


class CallBudget:
    """The calls of one bot; kept in memory, as a restart takes longer than most windows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bot = _Window(BOT)
        self._chats: OrderedDict[int | str, _Window] = OrderedDict()

    def admit(self, chat: int | str, urgency: Urgency) -> float:
        """Count a call and return 0, or count nothing and return the seconds until it may be made."""
        now = self._clock.monotonic()
        window = self._window(chat)
        wait_s = max(window.wait_s(urgency, now), self._bot.wait_s(urgency, now))
        if wait_s > 0:
            return wait_s
        window.calls.append(now)
        self._bot.calls.append(now)
        return 0.0

    def freeze(self, chat: int | str, seconds: float) -> None:
        """Let no call to this chat pass for so long: Telegram asked for it."""
        window = self._window(chat)
        window.frozen_until = max(window.frozen_until, self._clock.monotonic() + seconds)

    def _window(self, chat: int | str) -> _Window:
        window = self._chats.get(chat)
        if window is None:
            # Groups and channels have negative ids or an @name.
            private = isinstance(chat, int) and chat > 0
            window = self._chats[chat] = _Window(PRIVATE if private else GROUP)
            if len(self._chats) > _MAX_CHATS:
                self._chats.popitem(last=False)
        self._chats.move_to_end(chat)
        return window
