-- Times are milliseconds since 1970 UTC. Partial indexes hold what is open, so that finding work costs
-- the same after a million finished turns. AUTOINCREMENT: public ids and cursors are never used twice.

CREATE TABLE kv (
    key TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE conv (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    bridge TEXT NOT NULL,
    moved_to TEXT,                          -- the chat's new address, where another conversation has that
    last_seq INTEGER NOT NULL DEFAULT 0,    -- of the newest message
    done_seq INTEGER NOT NULL DEFAULT 0,    -- all turns up to here are over
    epoch INTEGER NOT NULL DEFAULT 0,       -- rises with each claim
    owner TEXT,                             -- who works on it; null: nobody
    ready_at INTEGER,                       -- waits for a worker since; null: nothing to do, or in work
    suspect INTEGER NOT NULL DEFAULT 0,     -- its next turn may be what kills the process
    stuck TEXT,                             -- why its rows can't be read; it is left alone
    send_at INTEGER,                        -- when its oldest delivery is due; null: none, or held
    settings TEXT NOT NULL
);
CREATE INDEX conv_ready ON conv (ready_at, id) WHERE ready_at IS NOT NULL AND suspect = 0;
CREATE INDEX conv_suspect ON conv (ready_at, id) WHERE ready_at IS NOT NULL AND suspect = 1;
CREATE INDEX conv_owned ON conv (suspect) WHERE owner IS NOT NULL;
CREATE INDEX conv_stuck ON conv (id) WHERE stuck IS NOT NULL;
CREATE INDEX conv_send ON conv (bridge, send_at, id) WHERE send_at IS NOT NULL;

CREATE TABLE inbox (
    conv INTEGER NOT NULL REFERENCES conv,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,                    -- the turn's
    attempts INTEGER NOT NULL DEFAULT 0,    -- claims since its last committed step
    claims INTEGER NOT NULL DEFAULT 0,      -- claims altogether
    "right" TEXT NOT NULL,
    at INTEGER NOT NULL,
    ended_at INTEGER,
    dropped INTEGER NOT NULL DEFAULT 0,     -- no longer among the dead letters
    v INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (conv, seq)
);
CREATE INDEX inbox_open ON inbox (at) WHERE state IN ('queued', 'running', 'waiting');
CREATE INDEX inbox_dead ON inbox (at) WHERE state = 'dead' AND dropped = 0;

CREATE TABLE control (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conv INTEGER NOT NULL REFERENCES conv,
    target_seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    applied_at INTEGER
);
CREATE INDEX control_open ON control (conv, target_seq) WHERE applied_at IS NULL;
CREATE INDEX control_conv ON control (conv);

CREATE TABLE unreadable (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bridge TEXT NOT NULL,
    raw TEXT NOT NULL,
    why TEXT NOT NULL,
    at INTEGER NOT NULL
);

CREATE TABLE dedup (
    key TEXT PRIMARY KEY,
    conv INTEGER,                           -- with seq: the turn that the first one made, if any
    seq INTEGER,
    body_sha256 TEXT,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX dedup_at ON dedup (at);

CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- the cursor of events; the side file keeps the highest
    conv INTEGER NOT NULL REFERENCES conv,
    seq INTEGER,                            -- null for a push
    step INTEGER NOT NULL,
    attempt INTEGER NOT NULL,               -- the turn's claims when it was written
    kind TEXT NOT NULL,                     -- a record's, or accepted, or pushed
    v INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX journal_turn ON journal (conv, seq, step, attempt, kind);
CREATE UNIQUE INDEX journal_result ON journal (conv, seq, step) WHERE kind IN ('llm.result', 'tool.result');
CREATE INDEX journal_entry ON journal (conv, id) WHERE kind IN ('accepted', 'turn.finished', 'pushed');

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conv INTEGER NOT NULL REFERENCES conv,
    seq INTEGER,                            -- null for a push
    part INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,     -- of sending
    owner TEXT,
    remote_id TEXT,
    repeated INTEGER NOT NULL DEFAULT 0,    -- an earlier attempt may have arrived
    next_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    taken_at INTEGER,
    ended_at INTEGER,
    why TEXT NOT NULL DEFAULT '',
    dropped INTEGER NOT NULL DEFAULT 0,
    v INTEGER NOT NULL,
    body TEXT                               -- null: a preview whose final text is still being made
);
CREATE UNIQUE INDEX outbox_part ON outbox (conv, seq, part) WHERE seq IS NOT NULL;
CREATE INDEX outbox_line ON outbox (conv, id) WHERE state IN ('pending', 'sending', 'parked');
CREATE INDEX outbox_sending ON outbox (conv) WHERE state = 'sending';
CREATE INDEX outbox_parked ON outbox (conv) WHERE state = 'parked';
CREATE INDEX outbox_dead ON outbox (at) WHERE state IN ('dead', 'unknown') AND dropped = 0 AND body IS NOT NULL;
CREATE INDEX outbox_conv ON outbox (conv);

CREATE TABLE principal (
    id TEXT PRIMARY KEY,                    -- BRIDGE:SENDER
    "right" TEXT NOT NULL,
    name TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    source TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE pairing (
    code TEXT PRIMARY KEY,
    bridge TEXT NOT NULL,
    sender TEXT NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    language TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
