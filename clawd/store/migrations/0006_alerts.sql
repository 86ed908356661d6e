-- Alerts that fired, and those that ended lately: one row for each rule and label, with its latest life.

CREATE TABLE alert (
    fingerprint TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    label TEXT NOT NULL,                    -- the model, bridge or budget; empty where the rule has none
    severity TEXT NOT NULL,
    value REAL NOT NULL,
    above REAL NOT NULL,
    detail TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    fired_at INTEGER NOT NULL,
    resolved_at INTEGER,                    -- null: it fires
    telling TEXT NOT NULL,                  -- held, begin, begun, end or over
    told_as TEXT NOT NULL,                  -- what is told together has the same; part of the deliveries' dedup keys
    quiet_until INTEGER                     -- before that its next beginning is not told
) WITHOUT ROWID;

CREATE TABLE alert_silence (
    id TEXT PRIMARY KEY,
    rule TEXT,                              -- null: every rule
    label TEXT,                             -- null: every label
    until INTEGER NOT NULL,
    why TEXT NOT NULL,
    by TEXT NOT NULL
) WITHOUT ROWID;
