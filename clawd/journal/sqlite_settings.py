"""What a conversation remembers beside its messages. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from clawd.errors import JournalCorrupt
from clawd.journal.base import ConversationSettings, Lease
from clawd.journal.codec import decode_settings, encode_settings
from clawd.journal.records import PatternAllowed, Record, SessionStarted, SettingsChanged

SettingsRecord = SessionStarted | SettingsChanged | PatternAllowed


def change(db: sqlite3.Connection, lease: Lease, records: Sequence[Record]) -> None:
    """Take in those of the records that change settings."""
    changes = [item for item in records if isinstance(item, SettingsRecord)]
    if not changes:
        return
    (stored,) = db.execute("SELECT settings FROM conv WHERE id = ?", (lease.conv,)).fetchone()
    settings = decode_settings(stored)
    for item in changes:
        settings = _applied(settings, item, lease.seq)
    db.execute("UPDATE conv SET settings = ? WHERE id = ?", (encode_settings(settings), lease.conv))


def _applied(settings: ConversationSettings, change: SettingsRecord, seq: int) -> ConversationSettings:
    """Return the settings after a record of the turn `seq`."""
    match change:
        case SessionStarted(session=session):
            return replace(settings, session=session, session_seq=seq)
        case SettingsChanged(model=model, language=language, strict=strict):
            return replace(settings, model=model, language=language, strict=strict)
        case PatternAllowed(pattern=pattern):
            return replace(settings, allowed=tuple(dict.fromkeys((*settings.allowed, pattern))))


def begin_session(db: sqlite3.Connection, conv: int, seq: int) -> None:
    """Begin a new session after the message `seq`; unreadable settings become the default ones."""
    (stored,) = db.execute("SELECT settings FROM conv WHERE id = ?", (conv,)).fetchone()
    try:
        settings = decode_settings(stored)
    except JournalCorrupt:
        settings = ConversationSettings()
    fresh = replace(settings, session=settings.session + 1, session_seq=seq)
    db.execute("UPDATE conv SET settings = ? WHERE id = ?", (encode_settings(fresh), conv))
