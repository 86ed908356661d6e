"""The rows that remember which URLs asked not to be called any more, over restarts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clawd.ids import from_ms, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from sqlite3 import Connection

    from clawd.store.sqlite import Store

MAX_ROWS: Final = 1000  # clients choose the URLs
_PREFIX: Final = "endpoint_off:"  # in kv


@dataclass(frozen=True, slots=True, kw_only=True)
class DisabledEndpoint:
    """A URL that answered 410. `settings` stands for the configuration under which it did."""

    url: str
    settings: str
    since: datetime


class EndpointRows:
    """One row for each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self) -> Sequence[DisabledEndpoint]:
        """Return all of them."""
        rows = await self._store.read(
            "SELECT value FROM kv WHERE key >= ? AND key < ?", (_PREFIX, f"{_PREFIX}~")
        )
        found = (json.loads(str(text)) for (text,) in rows)
        return [
            DisabledEndpoint(url=url, settings=settings, since=from_ms(at)) for url, settings, at in found
        ]

    async def put(self, endpoint: DisabledEndpoint) -> None:
        """Remember one; the oldest of too many is forgotten."""
        text = json.dumps([endpoint.url, endpoint.settings, to_ms(endpoint.since)])

        def write(db: Connection) -> None:
            db.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", (_key(endpoint.url), text))
            db.execute(
                "DELETE FROM kv WHERE key IN (SELECT key FROM kv WHERE key >= ?1 AND key < ?2"
                " ORDER BY json_extract(value, '$[2]') DESC LIMIT -1 OFFSET ?3)",
                (_PREFIX, f"{_PREFIX}~", MAX_ROWS),
            )

        await self._store.write(write)

    async def delete(self, url: str) -> None:
        """Forget one; none is fine."""
        await self._store.write(lambda db: _delete(db, url))


def _delete(db: Connection, url: str) -> None:
    db.execute("DELETE FROM kv WHERE key = ?", (_key(url),))


def _key(url: str) -> str:
    return _PREFIX + hashlib.sha256(url.encode()).hexdigest()[:32]
