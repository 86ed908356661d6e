"""Chats that move: their conversations go on at the new address. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from clawd.messages import Address


def move(db: sqlite3.Connection, old: Address, new: Address) -> None:
    """Let the conversation at `old` go on at `new`.

    Where that has a conversation of its own by now, each keeps its turns, and what waits at `old` is sent
    to `new`.
    """
    if db.execute("SELECT 1 FROM conv WHERE address = ?", (str(new),)).fetchone() is not None:
        db.execute("UPDATE conv SET moved_to = ? WHERE address = ?", (str(new), str(old)))
    else:
        db.execute(
            "UPDATE conv SET address = ?, bridge = ? WHERE address = ?", (str(new), new.bridge, str(old))
        )
    db.execute("UPDATE conv SET moved_to = ? WHERE moved_to = ?", (str(new), str(old)))


def move_chat(db: sqlite3.Connection, old: Address, new: Address) -> None:
    """Let the conversation at `old`, and those of its threads, go on at `new`; nothing if it was done before."""
    # Fields of an address are quoted, so those of threads lie between "OLD:" and what follows ":" in ASCII.
    rows = db.execute(
        "SELECT address FROM conv WHERE address = ?1 OR (address > ?1 || ':' AND address < ?1 || ';')",
        (str(old),),
    ).fetchall()
    for (address,) in rows:
        move(db, Address.parse(address), replace(new, thread=Address.parse(address).thread))
