-- Schema migrations: `to_2` migrates a log from schema version 1 to 2, and so on.

-- name: to_2
ALTER TABLE revocation ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
-- Schema 1 did not record which revocations had been tried, so assume that every pending one was.
UPDATE revocation SET unanswered = 1 WHERE settled_at IS NULL;

-- name: to_3
-- The state `bounced` needs another CHECK, so the table is written anew.
CREATE TABLE delivery_3 (
    id               INTEGER PRIMARY KEY,
    campaign_id      INTEGER NOT NULL REFERENCES campaign (id),
    key              TEXT NOT NULL,
    slot             TEXT NOT NULL DEFAULT '',
    source           TEXT NOT NULL,
    line             INTEGER NOT NULL,
    enlistment       INTEGER NOT NULL,
    email            TEXT NOT NULL,
    domain           TEXT NOT NULL,
    user_id          TEXT,
    variables        TEXT NOT NULL,
    digest           BLOB NOT NULL,
    state            TEXT NOT NULL CHECK (state IN
        ('queued', 'issuing', 'sending', 'sent', 'failed', 'uncertain', 'skipped', 'bounced')),
    reason           TEXT NOT NULL DEFAULT '',
    actor            TEXT NOT NULL,
    not_before       REAL NOT NULL DEFAULT 0,
    attempts         INTEGER NOT NULL DEFAULT 0,
    faults           INTEGER NOT NULL DEFAULT 0,
    generation       INTEGER NOT NULL DEFAULT 0,
    message_id       TEXT,
    token_id         TEXT,
    token_at         REAL,
    token_expires_at REAL,
    server           TEXT,
    code             INTEGER,
    enhanced         TEXT,
    reply            TEXT,
    updated_at       REAL NOT NULL
) STRICT;
INSERT INTO delivery_3
    (id, campaign_id, key, slot, source, line, enlistment, email, domain, user_id, variables, digest, state,
    reason, actor, not_before, attempts, faults, generation, message_id, token_id, token_at, token_expires_at,
    server, code, enhanced, reply, updated_at)
SELECT
    id, campaign_id, key, slot, source, line, enlistment, email, domain, user_id, variables, digest, state,
    reason, actor, not_before, attempts, faults, generation, message_id, token_id, token_at, token_expires_at,
    server, code, enhanced, reply, updated_at
FROM delivery;
DROP TABLE delivery;
ALTER TABLE delivery_3 RENAME TO delivery;
CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, slot);
CREATE INDEX delivery_queue ON delivery (campaign_id, state, enlistment, not_before, id);
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
CREATE INDEX history_resent ON history (token_id) WHERE actor = 'resend';
CREATE TRIGGER delivery_end_state BEFORE UPDATE OF state ON delivery
WHEN (OLD.state = 'sent' AND NEW.state <> 'sent' AND NEW.actor <> 'resend'
      AND (NEW.state <> 'bounced' OR NEW.actor <> 'bounces'))
  OR (OLD.state = 'failed' AND NEW.state <> 'failed' AND NEW.actor NOT IN ('retry', 'skip')
      AND (NEW.state <> 'queued' OR NEW.actor <> 'breaker'))
  OR (OLD.state = 'uncertain' AND NEW.state <> 'uncertain' AND NEW.actor NOT IN ('resolve', 'bounces'))
  OR (OLD.state = 'bounced' AND NEW.state <> 'bounced' AND NEW.actor <> 'retry')
  OR (OLD.state = 'skipped' AND NEW.state <> 'skipped' AND NEW.actor NOT IN ('retry', 'enlist'))
BEGIN
    SELECT RAISE(ABORT, 'an end state is left only by a command');
END;
CREATE TABLE tag_key (
    id     INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
    secret BLOB NOT NULL,
    forged INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE campaign_list (
    campaign_id INTEGER NOT NULL,
    list        TEXT NOT NULL,
    PRIMARY KEY (campaign_id, list)
) STRICT, WITHOUT ROWID;

CREATE TABLE suppression (
    address  TEXT NOT NULL,
    list     TEXT NOT NULL DEFAULT '',
    reason   TEXT NOT NULL,
    at       REAL NOT NULL,
    campaign TEXT NOT NULL DEFAULT '',
    key      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (address, list)
) STRICT, WITHOUT ROWID;

CREATE TABLE report (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE soft_bounce (
    address     TEXT NOT NULL,
    campaign_id INTEGER NOT NULL,
    PRIMARY KEY (address, campaign_id)
) STRICT, WITHOUT ROWID;

-- name: to_4
ALTER TABLE campaign ADD COLUMN steps TEXT NOT NULL DEFAULT '[""]';
ALTER TABLE campaign ADD COLUMN quota TEXT NOT NULL DEFAULT '';
ALTER TABLE campaign ADD COLUMN quota_until REAL NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN file TEXT NOT NULL DEFAULT '';
ALTER TABLE campaign ADD COLUMN holdout REAL NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN drawn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN revoked_at REAL NOT NULL DEFAULT 0;
ALTER TABLE campaign ADD COLUMN reading_after INTEGER;
ALTER TABLE campaign ADD COLUMN reading_step TEXT NOT NULL DEFAULT '';
CREATE TABLE former_delivery (
    campaign_id INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    enlistment  INTEGER NOT NULL,
    source      TEXT NOT NULL,
    line        INTEGER NOT NULL,
    step        TEXT NOT NULL,
    step_number INTEGER NOT NULL,
    position    REAL NOT NULL,
    due_at      REAL NOT NULL,
    not_before  REAL NOT NULL,
    waiting     TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    updated_at  REAL NOT NULL,
    email       TEXT,
    domain      TEXT,
    user_id     TEXT,
    variables   TEXT,
    digest      BLOB,
    PRIMARY KEY (campaign_id, id)
) STRICT, WITHOUT ROWID;
ALTER TABLE delivery ADD COLUMN step TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN step_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN batch INTEGER;
ALTER TABLE delivery ADD COLUMN position REAL NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN due_at REAL NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN waiting TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN sent_at REAL;
ALTER TABLE delivery ADD COLUMN replaced_token TEXT;
DROP INDEX delivery_identity;
DROP INDEX delivery_queue;
CREATE TABLE batch (
    campaign_id INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    at          REAL NOT NULL,
    size        INTEGER NOT NULL,
    is_limited  INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE user_creation (
    address     TEXT PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    asked_at    REAL NOT NULL,
    settled_at  REAL,
    outcome     TEXT CHECK (outcome IN ('created', 'found', 'refused')),
    user_id     TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX user_creation_pending ON user_creation (address) WHERE settled_at IS NULL;
UPDATE delivery SET sent_at = intent.at
FROM (SELECT delivery_id, max(at) AS at FROM history WHERE new_state = 'sending' GROUP BY delivery_id) AS intent
WHERE delivery.id = intent.delivery_id;
UPDATE delivery SET waiting = 'retry' WHERE state = 'queued' AND not_before > 0;
-- The rows that were tried are the first batch; the others are in none yet, so that `--limit` counts them.
UPDATE delivery SET batch = 1
WHERE slot = '' AND (attempts > 0 OR faults > 0 OR state IN ('issuing', 'sending', 'sent', 'failed', 'uncertain', 'bounced'));
INSERT INTO batch (campaign_id, number, at, size, is_limited)
SELECT campaign_id, 1, coalesce(min(sent_at), min(updated_at)), count(*), 1 FROM delivery WHERE batch = 1
GROUP BY campaign_id;
CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, step, slot);
CREATE INDEX delivery_queue ON delivery
    (campaign_id, state, enlistment, not_before, id, step_number, batch, waiting);
CREATE TABLE sign_in (
    campaign_id INTEGER NOT NULL,
    key         TEXT NOT NULL,
    at          REAL NOT NULL,
    PRIMARY KEY (campaign_id, key, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE stranger (
    campaign_id INTEGER NOT NULL,
    key         TEXT NOT NULL,
    PRIMARY KEY (campaign_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE inquiry (
    campaign_id INTEGER NOT NULL,
    began       REAL NOT NULL,
    ended       REAL NOT NULL,
    PRIMARY KEY (campaign_id, began)
) STRICT, WITHOUT ROWID;
CREATE TABLE renewal (
    id          INTEGER PRIMARY KEY,
    address     TEXT NOT NULL,
    at          REAL NOT NULL,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL
) STRICT;
CREATE INDEX renewal_address ON renewal (address);
ALTER TABLE tag_key ADD COLUMN declined INTEGER NOT NULL DEFAULT 0;
DROP INDEX history_resent;
CREATE INDEX history_resent ON history (token_id) WHERE actor IN ('resend', 'renew');
DROP TRIGGER delivery_end_state;
CREATE TRIGGER delivery_end_state BEFORE UPDATE OF state ON delivery
WHEN (OLD.state = 'sent' AND NEW.state <> 'sent' AND NEW.actor NOT IN ('resend', 'renew')
      AND (NEW.state <> 'bounced' OR NEW.actor <> 'bounces'))
  OR (OLD.state = 'failed' AND NEW.state <> 'failed' AND NEW.actor NOT IN ('retry', 'skip')
      AND (NEW.state <> 'queued' OR NEW.actor <> 'breaker'))
  OR (OLD.state = 'uncertain' AND NEW.state <> 'uncertain' AND NEW.actor NOT IN ('resolve', 'bounces'))
  OR (OLD.state = 'bounced' AND NEW.state <> 'bounced' AND NEW.actor <> 'retry')
  OR (OLD.state = 'skipped' AND NEW.state <> 'skipped' AND NEW.actor NOT IN ('retry', 'enlist'))
BEGIN
    SELECT RAISE(ABORT, 'an end state is left only by a command');
END;

-- name: seen_as_4
-- A reader changes nothing in an older log: it sees the tables through these views.
CREATE TEMP VIEW campaign AS
SELECT *, '[""]' AS steps, '' AS quota, 0.0 AS quota_until, '' AS file, 0.0 AS holdout, 0 AS drawn,
    0.0 AS revoked_at, NULL AS reading_after, '' AS reading_step FROM main.campaign;
CREATE TEMP VIEW delivery AS
SELECT *, '' AS step, 0 AS step_number, NULL AS batch, 0.0 AS position, 0.0 AS due_at,
    iif(state = 'queued' AND not_before > 0, 'retry', '') AS waiting, NULL AS sent_at, NULL AS replaced_token
FROM main.delivery;
CREATE TEMP TABLE batch (campaign_id INTEGER, number INTEGER, at REAL, size INTEGER, is_limited INTEGER);
CREATE TEMP TABLE sign_in (campaign_id INTEGER, key TEXT, at REAL);
CREATE TEMP TABLE stranger (campaign_id INTEGER, key TEXT);
CREATE TEMP TABLE inquiry (campaign_id INTEGER, began REAL, ended REAL);
CREATE TEMP TABLE user_creation (address TEXT, campaign_id INTEGER, delivery_id INTEGER, asked_at REAL, settled_at REAL,
    outcome TEXT, user_id TEXT);
