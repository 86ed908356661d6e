"""Who may talk to clawd: principals, their rights, and pairing. Owns the tables `principal` and `pairing`.

Decisions are made from memory; every change is committed before it counts.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from clawd.errors import NotFound, NotPossible
from clawd.ids import from_ms, to_ms
from clawd.messages import Address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from clawd.bridge import BridgeConfig
    from clawd.config.schema import AccessConfig
    from clawd.ids import Clock
    from clawd.journal.items import Right
    from clawd.messages import Sender
    from clawd.store.sqlite import Store

CODE_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I, O, 0, 1: codes are read aloud
CODE_LENGTH: Final = 8
CODE_TTL_S: Final = 3600
MAX_PENDING: Final = 3  # per bridge
DENIED_S: Final = 86400  # for how long a stranger who was denied gets no other code
_DENIED: Final = "denied:"  # begins what stands in place of the code then; no code has small letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody who was let in; `id` is BRIDGE:SENDER."""

    id: str
    right: Right
    name: str
    since: datetime
    source: Literal["pairing", "config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A stranger who waits for an owner's word."""

    code: str
    bridge: str
    sender: str
    name: str
    address: Address
    language: str | None = None
    expires_at: datetime

    @property
    def denied(self) -> bool:
        """Whether an owner said no, so that the stranger hears nothing for a while."""
        return self.code.startswith(_DENIED)


class Access:
    """Rights of senders, and the pairing of strangers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._principals: dict[str, Principal] = {}
        self._pairings: dict[str, Pairing] = {}
        self._config: AccessConfig | None = None
        self._bridges: Mapping[str, BridgeConfig] = {}
        self._pairing = asyncio.Lock()  # two messages of one stranger must not get two codes

    def configure(self, config: AccessConfig, bridges: Mapping[str, BridgeConfig]) -> None:
        """Use this configuration from now on."""
        self._config = config
        self._bridges = bridges

    async def load(self) -> None:
        """Read principals and pairings; call once before the first question."""
        rows = await self._store.read("SELECT id, right, name, since_ms, source FROM principal")
        for id_, right, name, since_ms, source in rows:
            self._principals[id_] = Principal(
                id=id_, right=right, name=name, since=from_ms(since_ms), source=source
            )
        rows = await self._store.read(
            "SELECT code, bridge, sender, name, address, language, expires_ms FROM pairing"
        )
        for code, bridge, sender, name, address, language, expires_ms in rows:
            self._pairings[code] = Pairing(
                code=code,
                bridge=bridge,
                sender=sender,
                name=name,
                address=Address.parse(address),
                language=language,
                expires_at=from_ms(expires_ms),
            )

    def right_of(self, bridge: str, sender: Sender) -> Right | None:
        """Return what this sender may do, None for a stranger."""
        config = self._settings
        if bridge == "terminal":
            return "owner"  # let in were our own user, root, the group clawd and tokens with the scope admin
        if f"{bridge}:{sender.id}" in config.owners:
            return "owner"
        if principal := self._principals.get(f"{bridge}:{sender.id}"):
            return principal.right
        section = self._bridges.get(bridge)
        allowed = section.allow if section is not None else ()
        if bridge == "api" or config.default == "allow" or "*" in allowed or sender.id in allowed:
            return config.grant
        return None

    async def pair(self, address: Address, sender: Sender) -> str | None:
        """Return the code that an owner may approve for this stranger, None when none is to be given.

        A stranger keeps the same code while it is valid; a bridge has at most `MAX_PENDING` of them.
        """
        if self._settings.default != "pair":
            return None
        async with self._pairing:
            return await self._pair(address, sender)

    async def _pair(self, address: Address, sender: Sender) -> str | None:
        await self._forget_expired()
        mine = [p for p in self._pairings.values() if p.bridge == address.bridge]
        for pairing in mine:
            if pairing.sender == sender.id:
                return None if pairing.denied else pairing.code
        if sum(not pairing.denied for pairing in mine) >= MAX_PENDING:
            return None
        now_ms = to_ms(self._clock.now())
        pairing = Pairing(
            code="".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH)),
            bridge=address.bridge,
            sender=sender.id,
            name=(sender.name or "")[:200],
            address=address,
            language=sender.language,
            expires_at=from_ms(now_ms + CODE_TTL_S * 1000),
        )

        def insert(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO pairing (code, bridge, sender, name, address, language, created_ms, expires_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    pairing.code,
                    pairing.bridge,
                    pairing.sender,
                    pairing.name,
                    str(address),
                    pairing.language,
                    now_ms,
                    to_ms(pairing.expires_at),
                ),
            )

        def remember(_: None) -> None:
            self._pairings[pairing.code] = pairing

        # Memory follows the commit also when nobody waits for it any more.
        await self._store.write(insert, after=remember)
        return pairing.code

    async def approve(self, code: str, *, owner: bool) -> tuple[Principal, Pairing]:
        """Let the stranger behind a code in; returns the new principal and where it waits.

        Raises:
            NotFound: no such code, or it is too old.
        """
        pairing = await self._waiting(code)
        principal = Principal(
            id=f"{pairing.bridge}:{pairing.sender}",
            right="owner" if owner else self._settings.grant,
            name=pairing.name,
            since=self._clock.now(),
            source="pairing",
        )

        def admit(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO principal (id, right, name, since_ms, source)"
                " VALUES (?, ?, ?, ?, 'pairing')",
                (principal.id, principal.right, principal.name, to_ms(principal.since)),
            )
            db.execute("DELETE FROM pairing WHERE code = ?", (pairing.code,))

        def remember(_: None) -> None:
            self._pairings.pop(pairing.code, None)
            self._principals[principal.id] = principal

        await self._store.write(admit, after=remember)
        return principal, pairing

    async def deny(self, code: str) -> Pairing:
        """Let nobody in by this code, and give the stranger no other for a day; returns who it was.

        Raises:
            NotFound: no such code, or it is too old.
        """
        pairing = await self._waiting(code)
        denied = replace(
            pairing,
            code=f"{_DENIED}{pairing.bridge}:{pairing.sender}",
            expires_at=from_ms(to_ms(self._clock.now()) + DENIED_S * 1000),
        )

        def refuse(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE pairing SET code = ?, expires_ms = ? WHERE code = ?",
                (denied.code, to_ms(denied.expires_at), pairing.code),
            )

        def remember(_: None) -> None:
            self._pairings.pop(pairing.code, None)
            self._pairings[denied.code] = denied

        await self._store.write(refuse, after=remember)
        return pairing

    async def _waiting(self, code: str) -> Pairing:
        """Return the pairing that waits under a code; raises NotFound."""
        await self._forget_expired()
        pairing = self._pairings.get(code.strip().upper())
        if pairing is None:
            raise NotFound(
                "no pairing waits under this code",
                why="codes are valid for one hour",
                remedy="clawd pair list; the person may write again for a new code",
            )
        return pairing

    def owners_to_ask(self, bridge: str) -> Sequence[str]:
        """Return the sender ids of the owners on a bridge whose platform can ask them by buttons."""
        section = self._bridges.get(bridge)
        if section is None or not section.asks_owners:
            return ()
        paired = {p.id for p in self._principals.values() if p.right == "owner"}
        mine = {owner for owner in paired | set(self._settings.owners) if owner.startswith(f"{bridge}:")}
        return sorted(owner.removeprefix(f"{bridge}:") for owner in mine)

    async def revoke(self, principal: str) -> None:
        """Turn a principal into a stranger again.

        Raises:
            NotFound: nobody of that id was paired.
            NotPossible: the configuration names it.
        """
        if principal not in self._principals:
            if any(p.id == principal for p in self.principals()):
                raise NotPossible(
                    f"{principal} is let in by the configuration",
                    remedy="remove it from access.owners or from the bridge's allow list",
                )
            raise NotFound(f"nobody called {principal} was let in", remedy="clawd pair list")

        def remove(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM principal WHERE id = ?", (principal,))

        def forget(_: None) -> None:
            self._principals.pop(principal, None)

        await self._store.write(remove, after=forget)

    def principals(self) -> Sequence[Principal]:
        """Return everybody who was let in, by pairing or by the configuration."""
        named: dict[str, Right] = {
            f"{bridge}:{sender}": self._settings.grant
            for bridge, section in self._bridges.items()
            for sender in section.allow
            if sender != "*"
        }
        named |= dict.fromkeys(self._settings.owners, "owner")
        since = self._clock.now()
        configured = [
            Principal(id=id_, right=right, name="", since=since, source="config")
            for id_, right in named.items()
            if id_ not in self._principals or right == "owner"
        ]
        taken = {p.id for p in configured}
        return [*configured, *(p for p in self._principals.values() if p.id not in taken)]

    def pairings(self) -> Sequence[Pairing]:
        """Return the strangers who wait, oldest first."""
        now = self._clock.now()
        waiting = (p for p in self._pairings.values() if p.expires_at > now and not p.denied)
        return sorted(waiting, key=lambda p: p.expires_at)

    @property
    def _settings(self) -> AccessConfig:
        if self._config is None:
            raise RuntimeError("access was asked before it was configured")
        return self._config

    async def _forget_expired(self) -> None:
        now = self._clock.now()
        expired = [code for code, p in self._pairings.items() if p.expires_at <= now]
        if not expired:
            return

        def delete(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM pairing WHERE code = ?", [(code,) for code in expired])

        def forget(_: None) -> None:
            for code in expired:
                self._pairings.pop(code, None)

        await self._store.write(delete, after=forget)
