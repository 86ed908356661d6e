"""Hands alerts to the outbox: who is told, where, and in which words."""

from __future__ import annotations

import logging
import secrets
import socket
import sqlite3
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol

from clawd.alerts.base import TargetTrouble
from clawd.alerts.calls import GONE, TEST, address_of
from clawd.alerts.payload import body_of
from clawd.alerts.wording import advice, line_of, message_of, title_of
from clawd.bridge import ChatBridge
from clawd.errors import JournalError
from clawd.journal.items import Push, Pushed
from clawd.messages import MessageId
from clawd.texts import say
from clawd.webhooks.sending import place_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from clawd.access import Access
    from clawd.alerts.base import Alert
    from clawd.alerts.cases import Telling
    from clawd.bridge import Bridge, BridgeStatus
    from clawd.config.alerts import AlertsConfig
    from clawd.ids import Clock, DeliveryId
    from clawd.journal.arrivals import Failing
    from clawd.journal.base import Journal
    from clawd.messages import Address

log = logging.getLogger(__name__)

_TEST: Final = "ClawdTest"  # alertname of the test
_NO_WAY: Final = "the way to this chat is not known before somebody has written from it"


class WhatFails(Protocol):
    """Tells what is wrong with a place, see `clawd.journal.arrivals`."""

    def __call__(self, address: Address, *, tests: str) -> Awaitable[Failing | None]:
        """Return it; None where nothing is known to be wrong."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Alerts that are told together. `key` is the same for the same telling, also after a restart."""

    key: str
    telling: Telling  # begin or end
    alerts: Sequence[Alert]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    shown: str
    bridge: str = ""
    chat: str = ""
    url: str = ""
    owner: bool = field(default=False, compare=False)  # may silence alerts from there


class Teller:
    """Knows the targets in force.

    Args:
        journal: Takes the pushes, and knows the languages of chats.
        access: Knows the owners.
        bridges: All bridges by name.
        find: Returns the address of a bridge's chat that it has a conversation in; for bridges that don't know.
        failing: Tells what is wrong with a place, also by the tests of URLs, whose accounts begin so.
        statuses: Tell what is wrong with bridges.
        clock: For since when a place is not known.
    """

    def __init__(
        self,
        journal: Journal,
        access: Access,
        *,
        bridges: Callable[[], Mapping[str, Bridge]],
        find: Callable[[str, str], Awaitable[Address | None]],
        failing: WhatFails,
        clock: Clock,
        statuses: Callable[[], Sequence[BridgeStatus]] = tuple,
    ) -> None:
        self._journal = journal
        self._access = access
        self._bridges = bridges
        self._find = find
        self._failing = failing
        self._clock = clock
        self._configured_at = clock.now()
        self._statuses = statuses
        self._config: AlertsConfig | None = None
        self._names: tuple[str, ...] = ()
        self._instance = socket.gethostname()

    def configure(self, config: AlertsConfig, bridges: Sequence[str]) -> None:
        """Tell these from now on; `bridges` are the names of the configured ones."""
        self._config = config
        self._configured_at = self._clock.now()
        self._names = tuple(bridges)

    def shown(self) -> Sequence[str]:
        """Return who is told, as people write them."""
        return tuple(target.shown for target in self._targets())

    async def trouble(self) -> Sequence[TargetTrouble]:
        """Return who can't be told now: one for each of `shown` of which that is known."""
        down = {each.name: each for each in self._statuses() if each.state != "connected"}
        found = []
        for target in self._targets():
            bridge = down.get(target.bridge)
            trouble = _of_bridge(target, bridge) if bridge is not None else await self._of_place(target)
            if trouble is not None:
                found.append(trouble)
        return found

    async def _of_place(self, target: _Target) -> TargetTrouble | None:
        try:
            place = await self._place(target)
            if place is None:
                why = _NO_WAY if target.bridge in self._names else f"no bridge {target.bridge} is configured"
                return TargetTrouble(target=target.shown, since=self._configured_at, why=why)
            failing = await self._failing(place, tests=TEST if target.url else "")
        except (JournalError, sqlite3.Error):
            return None  # what can't be read says nothing; the journal has an alert of its own
        if failing is None or GONE in failing.why:
            return None
        return TargetTrouble(
            target=target.shown, since=failing.since, why=failing.why, attempts=failing.attempts
        )

    def _targets(self) -> Sequence[_Target]:
        config = self._config
        if config is None:
            return ()
        found = [
            _Target(shown=place_of(target.url.reveal()), url=target.url.reveal())
            if target.url is not None
            else _chat(target.bridge or "", target.chat or "")
            for target in config.targets
        ]
        if config.owners:
            owners = [_chat(n, chat) for n in self._names for chat in self._access.owners_to_ask(n)]
            found = [replace(each, owner=each in owners) for each in found]
            found += [replace(each, owner=True) for each in owners]
        return tuple(dict.fromkeys(found))

    async def tell(self, several: Sequence[Told]) -> None:
        """Return once all of it is in the outbox, for every target once; raises JournalError."""
        pushes = [push for target in self._targets() for push in await self._pushes(target, several)]
        if pushes:
            await self._journal.accept(pushes)

    async def test(self, alert: Alert) -> Sequence[DeliveryId]:
        """Send a test to every target: to a URL its beginning and its end, so that nothing stays open there."""
        test, pushes = secrets.token_hex(8), []
        name = f"alert:test:{test}"
        for target in self._targets():
            place = address_of(target.url, test) if target.url else await self._place(target)
            if place is None:
                continue
            if not target.url:
                text = say("alert_test", await self._language(place), instance=self._instance)
                pushes.append(_push(f"{name}:{place}", place, text))
                continue
            summary = say("alert_test", instance=self._instance)
            for status in ("firing", "resolved"):
                body = body_of(
                    [alert],
                    status,
                    instance=self._instance,
                    annotate=lambda _: (summary, summary),  # noqa: B023 - the same each time
                    name=_TEST,
                )
                pushes.append(_push(f"{name}:{status}:{place}", place, body))
        results = await self._journal.accept(pushes) if pushes else ()
        return [result.delivery for result in results if isinstance(result, Pushed)]

    # --- one target ---------------------------------------------------------------------------------------

    async def _pushes(self, target: _Target, several: Sequence[Told]) -> Sequence[Push]:
        place = await self._place(target)
        if place is None:
            log.warning("alert_target_unknown", extra={"target": target.shown})
            return ()
        if target.url:
            return [push for told in several for push in self._calls(told, place)]
        language = await self._language(place)
        return [
            _push(
                f"alert:{told.key}:{_status(told)}:{place}",
                place,
                message_of(told.alerts, told.telling, language, owner=target.owner),
            )
            for told in several
        ]

    def _calls(self, told: Told, place: Address) -> Iterator[Push]:
        """Yield one for each rule: Alertmanager's receivers take a body for one group."""
        for rule in dict.fromkeys(alert.rule for alert in told.alerts):
            body = body_of(
                [alert for alert in told.alerts if alert.rule == rule],
                _status(told),
                instance=self._instance,
                annotate=lambda alert: (title_of(alert.rule, None), _described(alert, told.telling)),
            )
            yield _push(f"alert:{told.key}:{rule}:{_status(told)}:{place}", place, body)

    async def _place(self, target: _Target) -> Address | None:
        """Return where a target is told; None of a chat that nobody knows the way to yet."""
        if target.url:
            return address_of(target.url)
        bridge = self._bridges().get(target.bridge)
        if bridge is not None and isinstance(bridge, ChatBridge):
            return bridge.chat_address(target.chat)
        return await self._find(target.bridge, target.chat)

    async def _language(self, place: Address) -> str | None:
        return (await self._journal.settings(place)).language


def _of_bridge(target: _Target, bridge: BridgeStatus) -> TargetTrouble:
    why = f"the bridge {bridge.name} is not connected" + (bridge.error and f": {bridge.error}")
    return TargetTrouble(target=target.shown, since=bridge.since, why=why)


def _chat(bridge: str, chat: str) -> _Target:
    return _Target(shown=f"{bridge} {chat}", bridge=bridge, chat=chat)


def _status(told: Told) -> Literal["firing", "resolved"]:
    return "firing" if told.telling == "begin" else "resolved"


def _described(alert: Alert, telling: Telling) -> str:
    line = line_of(alert, telling, None)
    return f"{line}. {advice([alert], None)}" if telling == "begin" else f"{line}."


def _push(name: str, place: Address, text: str) -> Push:
    return Push(id=MessageId(name), address=place, text=text, kind="alert")
