"""Removing secrets from text that leaves the process: log lines, traces, reports."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from clawd.observability.secret_forms import MIN_SECRET, forms_of, without_escapes
from clawd.observability.unescaping import is_escaped, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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


# Where a secret may stand in part: masked by a provider (`sk-abc***wxyz`), or beside where a text was cut.
_MASKS: Final = re.compile(r"\*{3,}|[\u2022\u25cf]{3,}|x{4,}|X{4,}")
_ENDS: Final = re.compile(r"[^\s'\",;:=*]*")  # of what is masked
_CUTS: Final = re.compile(r"[\[(<]?(?:…|\.\.\.)[\])>]?")
_MIN_MASKED: Final = 3  # characters in front of a mask that give a secret away, and behind it
_MAX_MASKED: Final = 64  # characters that are looked at there
_LONG: Final = 200  # no shorter text was cut by anybody without a sign of it

_Span = tuple[int, int]


class _Needles:
    """What is looked for in a text, and where it stands in one."""

    def __init__(self, forms: Iterable[str]) -> None:
        # Longest first, else a secret that contains another would be hidden only in part.
        self._forms = sorted(forms, key=len, reverse=True)
        self._longest = len(self._forms[0]) if self._forms else 0
        self._shortest = len(self._forms[-1]) if self._forms else 0
        self._pattern = re.compile("|".join(map(re.escape, self._forms)))
        # The beginnings and ends of all, so that a text is searched for them once and not for each.
        self._heads = _any_of(form[:MIN_SECRET] for form in self._forms)
        self._tails = _any_of(form[-MIN_SECRET:] for form in self._forms)
        self._by_begin: dict[str, list[str]] = {}
        self._by_end: dict[str, list[str]] = {}
        for form in self._forms:
            self._by_begin.setdefault(form[:_MIN_MASKED], []).append(form)
            self._by_end.setdefault(form[-_MIN_MASKED:], []).append(form)

    def whole(self, text: str) -> Sequence[_Span]:
        """Return where secrets stand."""
        if len(text) < self._shortest:
            return ()
        # Looking for each is faster than the pattern, and hardly any text holds one.
        for form in self._forms:
            if form in text:
                return [found.span() for found in self._pattern.finditer(text)]
        return ()

    def parts(self, text: str) -> Iterator[_Span]:
        """Yield where something is left of secrets that somebody masked or cut."""
        if not self._forms:
            return
        for mask in _MASKS.finditer(text) if _is_masked(text) else ():
            before = text[max(0, mask.start() - _MAX_MASKED) : mask.start()]
            head = _matched(before[::-1])[::-1]
            tail = _matched(text[mask.end() : mask.end() + _MAX_MASKED])
            if self._shows(head, tail):
                yield mask.start() - len(head), mask.end() + len(tail)
        low, is_cut = 0, len(text) >= _LONG
        for cut, behind in [*(found.span() for found in _CUTS.finditer(text)), (len(text), len(text))]:
            if cut - low < MIN_SECRET:
                low, is_cut = behind, True
                continue
            if is_cut and (end := self._end_in(text, low, cut)):
                yield low, end
            yield from self._begin_in(text, low, cut)
            low, is_cut = behind, True

    def _shows(self, head: str, tail: str) -> bool:
        """Whether what stands around a mask is the beginning or the end of a secret."""
        return self._begins(head) or self._ends(tail)

    def _begins(self, text: str) -> bool:
        """Whether a secret begins with this; fewer characters than are looked for beside a mask count for none."""
        return any(form.startswith(text) for form in self._by_begin.get(text[:_MIN_MASKED], ()))

    def _ends(self, text: str) -> bool:
        return any(form.endswith(text) for form in self._by_end.get(text[-_MIN_MASKED:], ()))

    def _begin_in(self, text: str, low: int, cut: int) -> Iterator[_Span]:
        """Yield what is left of a secret in front of a cut, in the piece that begins at `low`."""
        begin = max(low, cut - self._longest)
        for head in self._heads.finditer(text, begin, cut):
            if self._begins(text[head.start() : cut]):
                yield head.start(), cut
                break

    def _end_in(self, text: str, begin: int, cut: int) -> int:
        """Return where a secret ends whose end the piece up to the next cut begins with; 0 where there is none."""
        for tail in self._tails.finditer(text, begin, min(cut, begin + self._longest)):
            end = tail.start() + MIN_SECRET
            if self._ends(text[begin:end]):
                return end
        return 0


class Redactor:
    """Replaces known secrets, and whatever has the shape of one, by `***`.

    A known secret is found in all of its forms, however a text escapes it, and in part where a text shows a
    beginning or an end of it: masked, or beside where the text was cut.

    Args:
        secrets: Values that must never appear; those shorter than 6 characters are left to the shapes.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: frozenset[str] = frozenset()
        self._plain = self._unescaped = _Needles(())
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Hide these values too. Earlier ones stay hidden: a rotated key may still be in flight."""
        forms = self._forms.union(*(forms_of(secret) for secret in secrets))
        if forms == self._forms:
            return
        self._forms = forms
        self._plain = _Needles(forms)
        self._unescaped = _Needles({form for form in map(without_escapes, forms) if form})

    def clean(self, text: str) -> str:
        """Return the text without secrets; text without any comes back unchanged."""
        if self._forms:
            spans = [*self._plain.whole(text)]
            if is_escaped(text):
                before = unescape(text)
                found = [*self._unescaped.whole(before.text)]
                if _may_be_in_part(before.text):
                    found += self._unescaped.parts(before.text)
                spans += [before.span(*each) for each in found]
            elif _may_be_in_part(text):
                spans += self._plain.parts(text)
            if spans:
                text = _hidden(text, spans)
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


def _matched(text: str) -> str:
    found = _ENDS.match(text)
    return found[0] if found is not None else ""


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that matches, empty, wherever one of these begins, also within another."""
    return re.compile(rf"(?={'|'.join(map(re.escape, sorted(set(words)))) or '(?!)'})")


def _may_be_in_part(text: str) -> bool:
    return len(text) >= _LONG or "..." in text or "…" in text or _is_masked(text)


def _is_masked(text: str) -> bool:
    """Whether the pattern of masks may match; quick."""
    return "***" in text or "xxxx" in text or "XXXX" in text or "\u2022" * 3 in text or "\u25cf" * 3 in text


def _hidden(text: str, spans: Sequence[_Span]) -> str:
    """Return the text with these pieces of it hidden."""
    kept, at = [], 0
    for begin, end in sorted(spans):
        if begin >= at:
            kept += [text[at:begin], HIDDEN]
        at = max(at, end)
    return "".join([*kept, text[at:]])
