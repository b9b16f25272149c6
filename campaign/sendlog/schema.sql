-- The send log's tables. The delivery table is the queue; the history is written by a trigger, so that no
-- transition can be made without it.

CREATE TABLE campaign (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    message_key    BLOB NOT NULL,           -- keys the hash in every Message-ID
    templates      TEXT NOT NULL DEFAULT '',-- fingerprint of the templates of the last run
    source         TEXT NOT NULL DEFAULT '',-- the CSV enlisted last
    source_digest  TEXT NOT NULL DEFAULT '',-- its fingerprint, and that of the way it was read
    enlistment     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE delivery (
    id               INTEGER PRIMARY KEY,
    campaign_id      INTEGER NOT NULL REFERENCES campaign (id),
    key              TEXT NOT NULL,
    slot             TEXT NOT NULL DEFAULT '',   -- empty, or which row it is that cannot be mailed under this key
    source           TEXT NOT NULL,
    line             INTEGER NOT NULL,
    enlistment       INTEGER NOT NULL,           -- the last reading of a CSV that held this row
    email            TEXT NOT NULL,
    domain           TEXT NOT NULL,
    user_id          TEXT,
    variables        TEXT NOT NULL,              -- JSON
    digest           BLOB NOT NULL,              -- of address, user and variables: has the row changed?
    state            TEXT NOT NULL CHECK (state IN
        ('queued', 'issuing', 'sending', 'sent', 'failed', 'uncertain', 'skipped')),
    reason           TEXT NOT NULL DEFAULT '',
    actor            TEXT NOT NULL,              -- enlist, run, recovery, retry, resolve, revoke
    not_before       REAL NOT NULL DEFAULT 0,    -- seconds since the epoch
    attempts         INTEGER NOT NULL DEFAULT 0,
    faults           INTEGER NOT NULL DEFAULT 0, -- temporary ones of the row's own
    generation       INTEGER NOT NULL DEFAULT 0, -- of the token, and so of the message
    message_id       TEXT,
    token_id         TEXT,                       -- never the token
    token_at         REAL,                       -- when the token's id arrived
    token_expires_at REAL,
    server           TEXT,
    code             INTEGER,
    enhanced         TEXT,
    reply            TEXT,
    updated_at       REAL NOT NULL               -- since when the row is as it is; the token's arrival does not count
) STRICT;

CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, slot);
CREATE INDEX delivery_queue ON delivery (campaign_id, state, enlistment, not_before, id);

CREATE TABLE history (
    id          INTEGER PRIMARY KEY,
    delivery_id INTEGER NOT NULL,
    since       REAL NOT NULL,              -- when the old state began
    token_at    REAL,                       -- when the token arrived that was asked for in it
    at          REAL NOT NULL,
    old_state   TEXT NOT NULL,
    new_state   TEXT NOT NULL,
    actor       TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    message_id  TEXT,
    token_id    TEXT,
    server      TEXT,
    code        INTEGER,
    enhanced    TEXT,
    reply       TEXT,
    reason      TEXT NOT NULL
) STRICT;

CREATE TABLE revocation (
    token_id    TEXT PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    asked_at    REAL NOT NULL,
    settled_at  REAL,
    outcome     TEXT CHECK (outcome IN ('revoked', 'unknown', 'used')),
    unanswered  INTEGER NOT NULL DEFAULT 0 -- tries that may have revoked it, though no answer tells
) STRICT;

CREATE INDEX revocation_pending ON revocation (campaign_id) WHERE settled_at IS NULL;

CREATE TABLE orphan (
    id          INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    at          REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT;

-- A row that is put off without having left the queue leaves its mark too: a server may have said why.
CREATE TRIGGER delivery_transition AFTER UPDATE OF state ON delivery
WHEN OLD.state <> NEW.state OR NEW.state = 'queued'
BEGIN
    INSERT INTO history
        (delivery_id, since, token_at, at, old_state, new_state, actor, attempt, message_id, token_id, server, code,
         enhanced, reply, reason)
    VALUES
        (NEW.id, OLD.updated_at, iif(OLD.state = 'issuing', OLD.token_at, NULL), NEW.updated_at, OLD.state, NEW.state,
         NEW.actor, NEW.attempts, NEW.message_id, coalesce(NEW.token_id, OLD.token_id), NEW.server, NEW.code,
         NEW.enhanced, NEW.reply, NEW.reason);
END;

-- An end state is left by an operator's command or not at all.
CREATE TRIGGER delivery_end_state BEFORE UPDATE OF state ON delivery
WHEN (OLD.state = 'sent' AND NEW.state <> 'sent')
  OR (OLD.state IN ('failed', 'uncertain') AND NEW.state <> OLD.state AND NEW.actor NOT IN ('retry', 'resolve', 'revoke'))
  OR (OLD.state = 'skipped' AND NEW.state <> 'skipped' AND NEW.actor NOT IN ('retry', 'enlist'))
BEGIN
    SELECT RAISE(ABORT, 'an end state is left only by a command');
END;

CREATE TRIGGER history_append_only_update BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'the history is append-only');
END;

CREATE TRIGGER history_append_only_delete BEFORE DELETE ON history
BEGIN
    SELECT RAISE(ABORT, 'the history is append-only');
END;
