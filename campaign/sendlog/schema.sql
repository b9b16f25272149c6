-- The send log's tables. The table delivery is the queue. A trigger writes the history, so that no change of state goes
-- unrecorded.

CREATE TABLE campaign (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    message_key    BLOB NOT NULL,           -- keys the hash in every Message-ID
    templates      TEXT NOT NULL DEFAULT '',-- fingerprint of the templates of the last run
    source         TEXT NOT NULL DEFAULT '',-- the CSV enlisted last
    source_digest  TEXT NOT NULL DEFAULT '',-- fingerprint of its bytes, the templates and the way it was read
    enlistment     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE delivery (
    id               INTEGER PRIMARY KEY,
    campaign_id      INTEGER NOT NULL REFERENCES campaign (id),
    key              TEXT NOT NULL,
    slot             TEXT NOT NULL DEFAULT '',   -- for an invalid row, its line and file; otherwise empty
    source           TEXT NOT NULL,
    line             INTEGER NOT NULL,
    enlistment       INTEGER NOT NULL,           -- number of the last enlisted CSV that contains the row
    email            TEXT NOT NULL,
    domain           TEXT NOT NULL,
    user_id          TEXT,
    variables        TEXT NOT NULL,              -- JSON
    digest           BLOB NOT NULL,              -- of address, user and variables, to detect a change
    state            TEXT NOT NULL CHECK (state IN
        ('queued', 'issuing', 'sending', 'sent', 'failed', 'uncertain', 'skipped')),
    reason           TEXT NOT NULL DEFAULT '',
    actor            TEXT NOT NULL,              -- enlist, run, breaker, recovery, retry, resolve, revoke
    not_before       REAL NOT NULL DEFAULT 0,    -- seconds since the epoch
    attempts         INTEGER NOT NULL DEFAULT 0,
    faults           INTEGER NOT NULL DEFAULT 0, -- temporary faults with scope `recipient`
    generation       INTEGER NOT NULL DEFAULT 0, -- goes up with each token or resend; in the Message-ID
    message_id       TEXT,
    token_id         TEXT,                       -- the id only, never the token itself
    token_at         REAL,                       -- when the token's id arrived
    token_expires_at REAL,
    server           TEXT,
    code             INTEGER,
    enhanced         TEXT,
    reply            TEXT,
    updated_at       REAL NOT NULL               -- last change of state; the token's arrival is not one
) STRICT;

CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, slot);
CREATE INDEX delivery_queue ON delivery (campaign_id, state, enlistment, not_before, id);

CREATE TABLE history (
    id          INTEGER PRIMARY KEY,
    delivery_id INTEGER NOT NULL,
    since       REAL NOT NULL,              -- when the old state began
    token_at    REAL,                       -- when the token requested in it arrived
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
    unanswered  INTEGER NOT NULL DEFAULT 0 -- tries without a usable answer, which may have revoked the token
) STRICT;

CREATE INDEX revocation_pending ON revocation (campaign_id) WHERE settled_at IS NULL;

CREATE TABLE orphan (
    id          INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    at          REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT;

-- A row that is deferred while it is `queued` gets an entry too: it may have a server's reply.
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

-- Only an operator's command changes an end state, with two exceptions: a changed CSV row `skipped`, and the circuit
-- breaker a row that `failed` for a refusal that was not its fault. `sent` never changes.
CREATE TRIGGER delivery_end_state BEFORE UPDATE OF state ON delivery
WHEN (OLD.state = 'sent' AND NEW.state <> 'sent')
  OR (OLD.state IN ('failed', 'uncertain') AND NEW.state <> OLD.state AND NEW.actor NOT IN ('retry', 'resolve', 'revoke')
    AND NOT (OLD.state = 'failed' AND NEW.state = 'queued' AND NEW.actor = 'breaker'))
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
