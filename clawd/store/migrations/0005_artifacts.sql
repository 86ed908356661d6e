-- Files that messages name. The content is in STATE_DIR/artifacts, under its SHA-256.

CREATE TABLE artifact (
    ref TEXT PRIMARY KEY,                   -- artifact: and 32 hexadecimal digits
    digest TEXT NOT NULL,                   -- several rows may name one content
    size INTEGER NOT NULL,
    mime TEXT,
    name TEXT,
    owner TEXT NOT NULL,                    -- who put it here: api:TOKEN, bridge:NAME, or what clawd itself keeps
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX artifact_digest ON artifact (digest);
CREATE INDEX artifact_at ON artifact (at);
CREATE INDEX artifact_owner ON artifact (owner, at);

-- What names a file: a message of a conversation, or (without seq) a delivery that no turn made.
CREATE TABLE artifact_use (
    ref TEXT NOT NULL REFERENCES artifact,
    conv INTEGER NOT NULL,
    seq INTEGER,
    push INTEGER                            -- the outbox row
);
CREATE INDEX artifact_use_ref ON artifact_use (ref);
CREATE INDEX artifact_use_conv ON artifact_use (conv, seq);

-- Contents whose last row is gone, and whose file is still to be removed.
CREATE TABLE artifact_gone (
    digest TEXT PRIMARY KEY
) WITHOUT ROWID;
