-- What models cost: by UTC day, model, conversation and sender. Money is in millionths of a US dollar.

CREATE TABLE spend (
    day INTEGER NOT NULL,                   -- days since 1970 UTC
    model TEXT NOT NULL,                    -- its configured name
    conv INTEGER NOT NULL,                  -- 0: a conversation that is deleted, or too old to be told apart
    sender TEXT NOT NULL,                   -- BRIDGE:SENDER; empty with conv 0
    calls INTEGER NOT NULL,                 -- requests that ended, one way or the other
    failed INTEGER NOT NULL,                -- of them: without an answer that was used
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,         -- of the input
    cache_write_tokens INTEGER NOT NULL,    -- of the input
    cost INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,              -- calls that were answered, and nobody knows their price
    possible_calls INTEGER NOT NULL,        -- requests that may have cost something, and nobody counted it
    possible INTEGER NOT NULL,              -- what those may have cost
    PRIMARY KEY (day, model, conv, sender)
) WITHOUT ROWID;
CREATE INDEX spend_conv ON spend (conv) WHERE conv > 0;

-- Requests under way, of the turns that are in work: what they may cost if nothing is heard of them any more.
CREATE TABLE spend_open (
    id INTEGER PRIMARY KEY,                 -- a conversation's latest has the highest
    conv INTEGER NOT NULL REFERENCES conv,
    step INTEGER NOT NULL,
    day INTEGER NOT NULL,
    model TEXT NOT NULL,                    -- the one that was asked first
    sender TEXT NOT NULL,
    reserve INTEGER NOT NULL                -- 0: no price
);
CREATE INDEX spend_open_conv ON spend_open (conv);
