"""Who may be written to: the newest context token of each user, and how much of its quota is used.

The tokens are kept in the cursor of the account, so that one commit holds the messages, how far was read,
and what an answer needs. What was used of a quota is known to the running process alone: after a restart
the server's own word ends a context.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clawd.errors import DeliveryParked
from clawd.ids import to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_USERS: Final = 100
SENDS_AT_MOST: Final = 10
"""The platform's own limit for one message of a user; failures and questions may use what a budget keeps back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What one message of a user allows to answer with."""

    token: str
    at_ms: int  # when it was written, by the platform's clock
    seq: int = 0

    def __repr__(self) -> str:
        """Without the token."""
        return f"Context(at_ms={self.at_ms}, seq={self.seq})"


@dataclass(slots=True)
class _Use:
    token: str
    sent: int = 0
    over: bool = False  # the server takes no more


class Contexts:
    """The contexts of one account."""

    def __init__(self, known: Mapping[str, Context] | None = None) -> None:
        self._known = dict(known or {})
        self._use: dict[str, _Use] = {}

    def known(self) -> Mapping[str, Context]:
        """Return the newest context of each user, oldest first."""
        return dict(sorted(self._known.items(), key=lambda item: (item[1].at_ms, item[1].seq)))

    def token(self, user: str) -> str | None:
        """Return what a message to this user has to carry, None when they never wrote."""
        context = self._known.get(user)
        return context.token if context is not None else None

    def offer(self, user: str, context: Context) -> None:
        """Take a context unless a newer one is known: messages may come out of order."""
        old = self._known.get(user)
        if old is not None and (context.at_ms, context.seq) < (old.at_ms, old.seq):
            return
        self._known[user] = context
        while len(self._known) > MAX_USERS:
            oldest = next(iter(self.known()))
            del self._known[oldest]
            self._use.pop(oldest, None)

    def renew(self, user: str, token: str) -> bool:
        """Use the token that the server named instead; return whether it is another one."""
        old = self._known.get(user)
        if old is None or not token or token == old.token:
            return False
        self._known[user] = Context(token=token, at_ms=old.at_ms, seq=old.seq)
        self._use[user] = _Use(token)
        return True

    def permit(
        self, bridge: str, user: str, now: datetime, *, sends: int, budget: int, window_s: float
    ) -> None:
        """Return if so many messages may go to this user now.

        Raises:
            DeliveryParked: the user has to write first.
        """
        context = self._known.get(user)
        if context is None:
            raise DeliveryParked(
                bridge, "this user has to write first", why="no context token of theirs is known"
            )
        if to_ms(now) - context.at_ms > timedelta(seconds=window_s) / timedelta(milliseconds=1):
            raise DeliveryParked(
                bridge, "this user has to write first", why=f"the last message is older than {window_s:g} s"
            )
        use = self._used(user, context.token)
        if use.over:
            raise DeliveryParked(
                bridge, "this user has to write first", why="WeChat takes no more for their last message"
            )
        # What is longer than a whole budget has to begin somewhere.
        if use.sent and use.sent + sends > budget:
            raise DeliveryParked(
                bridge,
                "this user has to write first",
                why=f"{use.sent} of {budget} messages are used since their last one",
            )

    def count(self, user: str, token: str) -> None:
        """One message went out under this token."""
        self._used(user, token).sent += 1

    def end(self, user: str, token: str) -> None:
        """The server takes no more under this token."""
        self._used(user, token).over = True

    def _used(self, user: str, token: str) -> _Use:
        use = self._use.get(user)
        if use is None or use.token != token:
            use = _Use(token)
            if user in self._known:  # a send may end after its user was forgotten
                self._use[user] = use
        return use


def write_state(cursor: str, contexts: Contexts) -> str:
    """Return the value of the account's cursor in the journal."""
    known = {user: [c.token, c.at_ms, c.seq] for user, c in contexts.known().items()}
    return json.dumps({"v": 1, "buf": cursor, "contexts": known}, separators=(",", ":"))


def read_state(value: str | None) -> tuple[str, Contexts]:
    """Return what `write_state` wrote; an empty start where there is nothing, or nothing that is known."""
    try:
        state = json.loads(value or "{}")
        if state.get("v") != 1:
            return "", Contexts()
        known = {
            str(user): Context(token=str(token), at_ms=int(at_ms), seq=int(seq))
            for user, (token, at_ms, seq) in state["contexts"].items()
        }
        return str(state["buf"]), Contexts(known)
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", Contexts()
