-- Bearer tokens of the gateway that were made with `clawd tokens create`; the value itself is nowhere kept.

CREATE TABLE token (
    name TEXT PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,            -- SHA-256 of the token
    scopes TEXT NOT NULL,                   -- separated by blanks
    conversations TEXT NOT NULL,            -- what names of conversations begin with; empty: all of them
    rate TEXT,                              -- requests, such as 60/min
    day INTEGER,                            -- messages a day
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER
) WITHOUT ROWID;

-- When each token, also a configured one, was last used, and its messages of that day. Written now and then.
CREATE TABLE token_use (
    name TEXT PRIMARY KEY,
    used_ms INTEGER NOT NULL,
    day INTEGER NOT NULL,                   -- of `messages`: days since 1970 UTC
    messages INTEGER NOT NULL
) WITHOUT ROWID;
