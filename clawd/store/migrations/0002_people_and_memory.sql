-- Turns that wait for a person, messages that become one turn, snapshots of long sessions, search.

ALTER TABLE inbox ADD COLUMN deadline INTEGER;                   -- of the question it waits with
ALTER TABLE inbox ADD COLUMN asked_seq INTEGER;                  -- the newest message when it was asked
ALTER TABLE inbox ADD COLUMN not_before INTEGER;                 -- more pieces of it may follow until then
ALTER TABLE inbox ADD COLUMN merged_into INTEGER;                -- the seq of the turn that answers it
ALTER TABLE inbox ADD COLUMN told INTEGER NOT NULL DEFAULT 0;    -- characters of the text that went out before a question
ALTER TABLE inbox ADD COLUMN parts INTEGER NOT NULL DEFAULT 0;   -- deliveries written so far
CREATE INDEX inbox_waiting ON inbox (deadline) WHERE state = 'waiting';

ALTER TABLE control ADD COLUMN body TEXT NOT NULL DEFAULT '';    -- of an answer: what it says beside its kind

DROP INDEX journal_result;
CREATE UNIQUE INDEX journal_result ON journal (conv, seq, step)
    WHERE kind IN ('llm.result', 'tool.result', 'summary.result');

CREATE TABLE snapshot (
    conv INTEGER PRIMARY KEY REFERENCES conv,
    session INTEGER NOT NULL,
    summary_seq INTEGER NOT NULL,           -- its summary stands for the turns up to here
    through_seq INTEGER NOT NULL,           -- it holds the session up to here
    at INTEGER NOT NULL,
    v INTEGER NOT NULL,
    body TEXT NOT NULL
);

-- What was said, by journal id; filled behind the commits, up to kv's search_done.
CREATE VIRTUAL TABLE search USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
