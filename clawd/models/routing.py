"""Which route a message takes: by its own words, and by who sent it where. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from clawd.commands import behind_prefix
from clawd.messages import File, Image, Text
from clawd.models.windows import DEFAULT_ROUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clawd.config.schema import RouteConfig, RouteRule
    from clawd.messages import InboundMessage

# Scripts that set no spaces between words: what stands beside such a character says nothing.
_UNSPACED: Final = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_IN_WORD: Final = rf"[^\W_{_UNSPACED}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """What rules look at. `conversation` is an address as `str` writes it, `user` is BRIDGE:SENDER."""

    text: str
    bridge: str
    conversation: str
    user: str
    has_image: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChoice:
    """A route, and the text without the prefix that led there."""

    route: str
    text: str


def facts_of(messages: Sequence[InboundMessage]) -> RouteFacts:
    """Return what rules look at of messages that are answered together, the first one's sender counting."""
    first = messages[0]
    return RouteFacts(
        text="\n".join(message.text for message in messages if message.text),
        bridge=first.address.bridge,
        conversation=str(first.address),
        user=first.user,
        has_image=any(_is_image(part) for message in messages for part in message.parts),
    )


def choose_route(routes: Mapping[str, RouteConfig], facts: RouteFacts) -> RouteChoice:
    """Return the first route, in the order of the configuration, one of whose rules holds; else `default`."""
    for name, route in routes.items():
        for rule in route.rules:
            rest = facts.text if rule.prefix is None else behind_prefix(facts.text, rule.prefix)
            if rest is not None and _holds(rule, facts):
                return RouteChoice(route=name, text=rest)
    return RouteChoice(route=DEFAULT_ROUTE, text=facts.text)


def prefixes_of(routes: Mapping[str, RouteConfig]) -> dict[str, str]:
    """Return the prefixes that rules ask for, each with its first route."""
    found: dict[str, str] = {}
    for name, route in routes.items():
        for rule in route.rules:
            if rule.prefix is not None:
                found.setdefault(rule.prefix, name)
    return found


def prefix_remover(routes: Mapping[str, RouteConfig]) -> Callable[[InboundMessage], InboundMessage]:
    """Return the function that makes of a message what a model is shown of it: without its prefix.

    One that looks like a command goes in any case; any other only where its rule holds. A message that is
    nothing but its prefix stays as it is.
    """
    commands = [prefix for prefix in prefixes_of(routes) if prefix.startswith("/")]
    if not prefixes_of(routes):
        return lambda message: message

    def remove(message: InboundMessage) -> InboundMessage:
        text = message.text
        rest = choose_route(routes, facts_of([message])).text
        if rest == text:
            rest = next((r for p in commands if (r := behind_prefix(text, p)) is not None), text)
        if rest == text or not (rest or any(not isinstance(part, Text) for part in message.parts)):
            return message
        others = tuple(part for part in message.parts if not isinstance(part, Text))
        return replace(message, parts=(*((Text(rest),) if rest else ()), *others))

    return remove


def _holds(rule: RouteRule, facts: RouteFacts) -> bool:
    """Whether all but the prefix of a rule holds."""
    return (
        (not rule.keyword or any(_occurs(word, facts.text) for word in rule.keyword))
        and rule.has_image in (None, facts.has_image)
        and (rule.length is None or len(facts.text) >= rule.length)
        and (not rule.bridge or facts.bridge in rule.bridge)
        and (not rule.conversation or facts.conversation in rule.conversation)
        and (not rule.user or facts.user in rule.user)
    )


def _occurs(keyword: str, text: str) -> bool:
    return _pattern(keyword).search(text) is not None


@lru_cache(maxsize=500)
def _pattern(keyword: str) -> re.Pattern[str]:
    """Return what finds a keyword: as a whole word, or anywhere in a script that sets no spaces."""
    before = rf"(?<!{_IN_WORD})" if re.match(_IN_WORD, keyword) else ""
    after = rf"(?!{_IN_WORD})" if re.search(rf"{_IN_WORD}\Z", keyword) else ""
    return re.compile(before + re.escape(keyword) + after, re.IGNORECASE)


def _is_image(part: object) -> bool:
    return isinstance(part, Image) or (isinstance(part, File) and (part.mime or "").startswith("image/"))
