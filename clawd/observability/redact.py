"""Removing secrets from text that leaves the process: log lines, traces, reports."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clawd.response import JsonValue

HIDDEN: Final = "***"

_MIN_SECRET = 6  # a shorter value would blank out ordinary words; the shapes below still apply to it

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


class Redactor:
    """Replaces known secrets, and whatever has the shape of one, by `***`.

    Args:
        secrets: Values that must never appear; those shorter than 6 characters are left to the shapes.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these values too. Earlier ones stay hidden: a rotated key may still be in flight."""
        self._secrets |= {form for secret in secrets for form in _forms(secret)}
        # Longest first, else a secret that contains another would be hidden only in part.
        ordered = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clean(self, text: str) -> str:
        """Return the text without secrets; text without any comes back unchanged."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        lowered = text.lower()
        for word, shape in _SHAPES:
            if word in lowered:
                text = shape.sub(rf"\1{HIDDEN}", text)
        return text

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


def _forms(secret: str) -> set[str]:
    """Return the secret as it may appear: plain, in a URL, inside JSON and in a `repr`."""
    secret = secret.strip()
    if len(secret) < _MIN_SECRET:
        return set()
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
