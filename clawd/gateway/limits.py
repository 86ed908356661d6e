"""How much each token may ask for: requests in a span, messages a day; told in headers before it is too late.

Sources: draft-ietf-httpapi-ratelimit-headers-11 (May 2026) for `RateLimit-Policy` and `RateLimit`; the triple
`RateLimit-Limit`, `-Remaining`, `-Reset` is that of its versions up to 06, which many clients know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.gateway.problems import try_later

if TYPE_CHECKING:
    from clawd.gateway.token import Token
    from clawd.gateway.token_use import TokenUse
    from clawd.ids import Clock

_SPANS: Final = {"s": 1, "min": 60, "h": 3600}
_DAY_S: Final = 86400
_MAX_TOKENS: Final = 10_000  # the least recently seen one is forgotten, which only favours it


@dataclass(slots=True)
class _Window:
    """Requests of one token since `began`; a window begins with its first request."""

    began: float  # monotonic
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One limit of a token, and how much of it is left."""

    policy: str
    quota: int
    window_s: int
    left: int
    resets_in_s: int


class Limits:
    """Counts requests in memory, messages where the use of tokens is kept."""

    def __init__(self, clock: Clock, use: TokenUse) -> None:
        self._clock = clock
        self._use = use
        self._windows: dict[str, _Window] = {}

    def request(self, token: Token) -> None:
        """Count a request; raises RequestRefused (429) over the token's rate."""
        if token.rate is None:
            return
        quota, span_s = parse_rate(token.rate)
        now = self._clock.monotonic()
        window = self._windows.pop(token.name, None)
        if window is None or now - window.began >= span_s:
            window = _Window(began=now)
        self._windows[token.name] = window  # the last one seen stands last
        if len(self._windows) > _MAX_TOKENS:
            del self._windows[next(iter(self._windows))]
        if window.count >= quota:
            raise try_later(
                f"the token {token.name} may make {quota} requests in {span_s} s",
                span_s - (now - window.began),
                status=429,
            )
        window.count += 1

    def message(self, token: Token) -> None:
        """Count a message; raises RequestRefused (429) when those of the day are used up."""
        if token.day is not None and self._use.messages_today(token.name) >= token.day:
            raise try_later(
                f"the token {token.name} may send {token.day} messages a day",
                self._use.day_ends_in_s(),
                status=429,
                code="quota_exceeded",
            )
        self._use.note(token.name, messages=1)

    def give_back(self, token: Token) -> None:
        """Undo one `message`: it was refused, or was no new one."""
        self._use.note(token.name, messages=-1)

    def standings(self, token: Token) -> tuple[Standing, ...]:
        """Return the token's limits as they are now."""
        found = []
        if token.rate is not None:
            quota, span_s = parse_rate(token.rate)
            window = self._windows.get(token.name)
            age_s = self._clock.monotonic() - window.began if window is not None else 0.0
            count = window.count if window is not None and age_s < span_s else 0
            found.append(
                Standing(
                    policy="requests",
                    quota=quota,
                    window_s=span_s,
                    left=max(0, quota - count),
                    resets_in_s=math.ceil(span_s - age_s) if count else span_s,
                )
            )
        if token.day is not None:
            found.append(
                Standing(
                    policy="messages",
                    quota=token.day,
                    window_s=_DAY_S,
                    left=max(0, token.day - self._use.messages_today(token.name)),
                    resets_in_s=math.ceil(self._use.day_ends_in_s()),
                )
            )
        return tuple(found)


def parse_rate(rate: str) -> tuple[int, int]:
    """Return how many, and in how many seconds, of a rate such as `60/min`."""
    count, _, span = rate.partition("/")
    return int(count), _SPANS[span]


def headers_of(standings: tuple[Standing, ...]) -> dict[str, str]:
    """Return the headers that tell a client of its limits; none without limits."""
    if not standings:
        return {}
    # The old triple has room for one limit: the one that will be reached first.
    tightest = min(standings, key=lambda each: each.left)
    return {
        "RateLimit-Policy": ", ".join(f'"{s.policy}";q={s.quota};w={s.window_s}' for s in standings),
        "RateLimit": ", ".join(f'"{s.policy}";r={s.left};t={s.resets_in_s}' for s in standings),
        "RateLimit-Limit": str(tightest.quota),
        "RateLimit-Remaining": str(tightest.left),
        "RateLimit-Reset": str(tightest.resets_in_s),
    }
