"""The tokens that were created, as rows. Owns the table `token`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawd.gateway.token import Token
from clawd.gateway.token_use import delete_use
from clawd.ids import from_ms, to_ms

if TYPE_CHECKING:
    import sqlite3

    from clawd.store.sqlite import Store


async def load(store: Store) -> dict[str, Token]:
    """Return all of them, by name."""
    rows = await store.read(
        "SELECT name, digest, scopes, conversations, rate, day, created_ms, expires_ms FROM token"
    )
    return {
        name: Token(
            name=name,
            digest=digest,
            scopes=frozenset(scopes.split()),
            conversations=conversations,
            rate=rate,
            day=day,
            created_at=from_ms(created_ms),
            expires_at=None if expires_ms is None else from_ms(expires_ms),
            source="created",
        )
        for name, digest, scopes, conversations, rate, day, created_ms, expires_ms in rows
    }


def insert(db: sqlite3.Connection, token: Token) -> None:
    """Write a created token."""
    assert token.created_at is not None  # noqa: S101 - set where it is made
    db.execute(
        "INSERT INTO token (name, digest, scopes, conversations, rate, day, created_ms, expires_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            token.name,
            token.digest,
            " ".join(sorted(token.scopes)),
            token.conversations,
            token.rate,
            token.day,
            to_ms(token.created_at),
            None if token.expires_at is None else to_ms(token.expires_at),
        ),
    )


def delete(db: sqlite3.Connection, name: str) -> None:
    """Delete a token, and when it was used."""
    db.execute("DELETE FROM token WHERE name = ?", (name,))
    delete_use(db, name)
