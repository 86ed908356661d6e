"""Removing secrets from text that leaves the process: log lines, traces, reports."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from clawd.observability.secret_forms import MIN_SECRET, forms_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clawd.response import JsonValue

HIDDEN: Final = "***"

# What secrets look like: text in lower case without the word in front can't hold that shape, which spares most
# text the search. The first group stays.
_SHAPES: Final = tuple(
    (word, re.compile(pattern, flags))
    for word, pattern, flags in (
        # Telegram: https://core.telegram.org/bots/api#authorizing-your-bot; the id before the colon is public.
        (":", r"\b(bot\d+:|\d{8,10}:(?=[A-Za-z0-9_-]{30}))[A-Za-z0-9_-]{20,}", 0),
        ("%3a", r"\b(bot\d+%3a)[A-Za-z0-9_-]{20,}", re.IGNORECASE),
        # Standard Webhooks: secrets and signatures.
        ("whs", r"\b(whsec_|whsk_)[A-Za-z0-9+/=_-]+", 0),
        ("v1", r"\b(v1a?,)[A-Za-z0-9+/=_-]{20,}", 0),
        # HTTP: headers, passwords in URLs, keys in queries.
        (
            "authorization",
            r"(authorization['\"]?\s*[:=,]\s*(?:b(?=['\"]))?['\"]?)(?:[a-z]+\s+)?[^\s'\",)]+",
            re.IGNORECASE,
        ),
        ("bearer", r"\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
        ("://", r"(://[^\s/:@'\"]{1,100}:)[^\s/@'\"]{1,200}(?=@)", 0),
        (
            "=",
            r"([?&](?:[a-z_]*token|[a-z_-]*key|[a-z_]*secret|sign?|signature|password)=)[^&\s'\"#]+",
            re.IGNORECASE,
        ),
        ("sk-", r"(?<![A-Za-z0-9])(sk-)[A-Za-z0-9_-]{8,}", 0),  # keys of model providers
    )
)


# Where a secret may stand in part: masked by a provider (`sk-abc***wxyz`), or in front of where a text was cut.
_STARS: Final = re.compile(r"\*{3,}")
_ENDS: Final = re.compile(r"[^\s'\",;:=*]*")  # of what is masked
_CUTS: Final = re.compile(r"…|\.\.\.|\Z")
_MIN_MASKED: Final = 3  # characters in front of the stars that give a secret away, and behind them
_MAX_MASKED: Final = 64  # characters that are looked at there
_LONG: Final = 200  # no shorter text was cut by anybody


class Redactor:
    """Replaces known secrets, and whatever has the shape of one, by `***`.

    A known secret is found in all of its forms, and in part where a text shows a beginning of it: masked with
    stars, or at the end of a text that was cut.

    Args:
        secrets: Values that must never appear; those shorter than 6 characters are left to the shapes.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._ordered: list[str] = []
        self._longest = 0
        self._shortest = 0
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these values too. Earlier ones stay hidden: a rotated key may still be in flight."""
        forms = {form for secret in secrets for form in forms_of(secret)}
        if forms <= self._forms:
            return
        self._forms |= forms
        # Longest first, else a secret that contains another would be hidden only in part.
        self._ordered = sorted(self._forms, key=len, reverse=True)
        self._longest, self._shortest = len(self._ordered[0]), len(self._ordered[-1])
        self._pattern = re.compile("|".join(map(re.escape, self._ordered)))

    def clean(self, text: str) -> str:
        """Return the text without secrets; text without any comes back unchanged."""
        # Looking for each is faster than the pattern, and hardly any text holds one.
        if self._pattern is not None and len(text) >= self._shortest:
            for form in self._ordered:
                if form in text:
                    text = self._pattern.sub(HIDDEN, text)
                    break
        if self._pattern is not None and (
            "***" in text or "..." in text or "…" in text or len(text) >= _LONG
        ):
            text = self._without_parts(text)
        lowered = text.lower()
        for word, shape in _SHAPES:
            if word in lowered:
                text = shape.sub(rf"\1{HIDDEN}", text)
        return text

    def _without_parts(self, text: str) -> str:
        """Hide what is left of secrets that somebody masked or cut."""
        if "***" in text:
            text = self._unmasked(text)
        kept, end = [], 0
        for cut in _CUTS.finditer(text):
            begin = self._begins_in(text, max(end, cut.start() - self._longest), cut.start())
            kept += [text[end:begin], HIDDEN if begin < cut.start() else "", cut[0]]
            end = cut.end()
        return "".join(kept)

    def _unmasked(self, text: str) -> str:
        kept, end = [], 0
        for stars in _STARS.finditer(text):
            before = text[max(end, stars.start() - _MAX_MASKED) : stars.start()]
            behind = text[stars.end() : stars.end() + _MAX_MASKED]
            head = before[len(before) - len(_matched(before[::-1])) :]
            tail = _matched(behind)
            if self._shows(head, tail):
                kept += [text[end : stars.start() - len(head)], HIDDEN]
                end = stars.end() + len(tail)
        return "".join([*kept, text[end:]])

    def _shows(self, head: str, tail: str) -> bool:
        """Whether what stands around stars is the beginning or the end of a secret."""
        return (len(head) >= _MIN_MASKED and any(form.startswith(head) for form in self._ordered)) or (
            len(tail) >= _MIN_MASKED and any(form.endswith(tail) for form in self._ordered)
        )

    def _begins_in(self, text: str, low: int, high: int) -> int:
        """Return where, at the end of this piece, a secret begins; `high` where none does."""
        piece = text[low:high]
        for form in self._ordered:
            head = form[:MIN_SECRET]
            at = piece.find(head)
            while at >= 0:
                if form.startswith(piece[at:]):
                    return low + at
                at = piece.find(head, at + 1)
        return high

    def clean_value(self, value: object, depth: int = 6) -> JsonValue:
        """Return the value as JSON without secrets; what JSON does not know becomes its `str`.

        Containers deeper than `depth` shrink to their type and length: nothing is too deep to log.
        """
        match value:
            case float() if not math.isfinite(value):
                return str(value)
            case None | bool() | int() | float():
                return value
            case str():
                return self.clean(value)
            case dict() if depth:
                return self._clean_mapping(value, depth - 1)
            case list() | tuple() | set() | frozenset() if depth:
                return [self.clean_value(item, depth - 1) for item in value]
            case dict() | list() | tuple() | set() | frozenset():
                return f"<{type(value).__name__} of {len(value)}>"
            case _:
                return self.clean(str(value))

    def _clean_mapping(self, value: Mapping[object, object], depth: int) -> dict[str, JsonValue]:
        return {self.clean(str(key)): self.clean_value(item, depth) for key, item in value.items()}


def _matched(text: str) -> str:
    found = _ENDS.match(text)
    return found[0] if found is not None else ""
