"""How long a model may take and how much it may send: the arithmetic, without waiting. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """The limits of one request; all times in seconds."""

    connect_s: float
    first_token_s: float
    idle_s: float
    total_s: float
    min_bytes_per_s: float
    rate_window_s: float
    max_bytes: int


Kind = Literal["first token", "idle", "total", "rate", "size"]


class LimitExceeded(Exception):
    """A limit was passed; `kind` says which, `str()` says it in words."""

    def __init__(self, kind: Kind, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class StreamGuard:
    """Watches one response stream: tell it what arrives, ask it how long to wait.

    A drip that keeps the idle limit quiet is caught by the rate: less than `min_bytes_per_s` over a
    whole window is a broken stream. A complete keep-alive comment is a sign of life and starts the
    window anew; the total limit still ends it.

    Args:
        limits: What holds for this request.
        now: The time at which the request was sent, by a clock that never goes back.
    """

    def __init__(self, limits: StreamLimits, now: float) -> None:
        self._limits = limits
        self._start = now
        self._last = now
        self._first_token = False
        self._bytes = 0
        self._window_start = now
        self._window_bytes = 0

    def deadline(self) -> tuple[float, Kind]:
        """Return until when to wait for more bytes, and which limit that is."""
        limits = self._limits
        total = self._start + limits.total_s
        if not self._first_token:
            first = self._start + limits.first_token_s
            return (first, "first token") if first <= total else (total, "total")
        idle = self._last + limits.idle_s
        return (idle, "idle") if idle <= total else (total, "total")

    def expired(self, kind: Kind) -> LimitExceeded:
        """Return the error for a deadline that passed."""
        limits = self._limits
        words = {
            "first token": f"no first token within {limits.first_token_s:g} s (first_token_timeout_s)",
            "idle": f"nothing came for {limits.idle_s:g} s in the middle of the answer (idle_s)",
            "total": f"the answer took longer than {limits.total_s:g} s (total_s)",
        }
        return LimitExceeded(kind, words[kind])

    def took(self, size: int, now: float) -> None:
        """Note that bytes arrived; raises LimitExceeded for too many, or too few for too long."""
        limits = self._limits
        self._last = now
        self._bytes += size
        self._window_bytes += size
        if self._bytes > limits.max_bytes:
            raise LimitExceeded(
                "size", f"the answer is longer than {limits.max_bytes} bytes (max_response_bytes)"
            )
        if now > self._start + limits.total_s:
            # A server that never pauses never lets a wait time out.
            raise self.expired("total")
        elapsed = now - self._window_start
        if self._first_token and elapsed >= limits.rate_window_s:
            if self._window_bytes < limits.min_bytes_per_s * elapsed:
                raise LimitExceeded(
                    "rate",
                    f"fewer than {limits.min_bytes_per_s:g} bytes a second for {elapsed:.0f} s (min_bytes_per_s)",
                )
            self._restart_window(now)

    def token(self, now: float) -> None:
        """Note that the model gave a sign of life: text, reasoning, a call's fragment."""
        if not self._first_token:
            self._first_token = True
            self._restart_window(now)

    def keepalive(self, now: float) -> None:
        """Note a keep-alive comment."""
        self.token(now)
        self._restart_window(now)

    def _restart_window(self, now: float) -> None:
        self._window_start = now
        self._window_bytes = 0
