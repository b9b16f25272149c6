-- The send log's tables. The table delivery is the queue. A trigger writes the history, so that no change of state goes
-- unrecorded.

CREATE TABLE campaign (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    message_key    BLOB NOT NULL,           -- keys the hash in every Message-ID
    templates      TEXT NOT NULL DEFAULT '',-- fingerprint of the templates of the last run
    source         TEXT NOT NULL DEFAULT '',-- the CSV enlisted last
    source_digest  TEXT NOT NULL DEFAULT '',-- fingerprint of its bytes, the templates and the way it was read
    enlistment     INTEGER NOT NULL DEFAULT 0,
    steps          TEXT NOT NULL DEFAULT '[""]', -- JSON: the names of the steps at the last enlistment
    quota          TEXT NOT NULL DEFAULT '',-- the quota that the last run found spent
    quota_until    REAL NOT NULL DEFAULT 0,
    file           TEXT NOT NULL DEFAULT '',-- the campaign file of the last run
    holdout        REAL NOT NULL DEFAULT 0, -- the share that was last held out (percent)
    drawn          INTEGER NOT NULL DEFAULT 0,-- the enlistment for which the holdout was last drawn
    revoked_at     REAL NOT NULL DEFAULT 0, -- when an operator last revoked every token of the campaign
    reading_after  INTEGER,                 -- a CSV was not read to its end: its new rows have larger ids; otherwise NULL
    reading_step   TEXT NOT NULL DEFAULT '' -- the name of the first step in that reading
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
        ('queued', 'issuing', 'sending', 'sent', 'failed', 'uncertain', 'skipped', 'bounced')),
    reason           TEXT NOT NULL DEFAULT '',
    actor            TEXT NOT NULL,              -- who changed the state: enlist, run, breaker, recovery, or a command
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
    updated_at       REAL NOT NULL,              -- last change of state; the token's arrival is not one
    step             TEXT NOT NULL DEFAULT '',   -- one row for each step of the key
    step_number      INTEGER NOT NULL DEFAULT 0, -- from 0
    batch            INTEGER,                    -- the batch that took the row up; NULL: none yet
    position         REAL NOT NULL DEFAULT 0,    -- place by the column `order`
    due_at           REAL NOT NULL DEFAULT 0,    -- by the schedule; 0: at once, or not known yet
    waiting          TEXT NOT NULL DEFAULT '',   -- what a queued row waits for
    sent_at          REAL,                       -- when the last intent to send became durable
    replaced_token   TEXT                        -- the token to replace, as its reader asked; NULL: no request
) STRICT;

CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, step, slot);
-- The last three columns serve counts and batches, which then need not read the rows themselves.
CREATE INDEX delivery_queue ON delivery
    (campaign_id, state, enlistment, not_before, id, step_number, batch, waiting);

-- The rows that a CSV has changed whose reading has not ended, as they were.
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
    email       TEXT,                       -- this and what follows: NULL where the CSV changes none of it
    domain      TEXT,
    user_id     TEXT,
    variables   TEXT,
    digest      BLOB,
    PRIMARY KEY (campaign_id, id)
) STRICT, WITHOUT ROWID;

-- The recipients that one run takes up.
CREATE TABLE batch (
    campaign_id INTEGER NOT NULL,
    number      INTEGER NOT NULL,            -- from 1, in each campaign
    at          REAL NOT NULL,
    size        INTEGER NOT NULL,            -- recipients that had never been tried
    is_limited  INTEGER NOT NULL,            -- 0: whoever was in the CSV; a later run with a limit takes the rest back
    PRIMARY KEY (campaign_id, number)
) STRICT, WITHOUT ROWID;

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

-- The old tokens of messages that were sent again, for an operator or for a reader who asked.
CREATE INDEX history_resent ON history (token_id) WHERE actor IN ('resend', 'renew');

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

-- The Clerk users that were created for recipients who had none: the intent before the call, then its end.
CREATE TABLE user_creation (
    address     TEXT PRIMARY KEY,            -- in lower case: at most one user for each
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    asked_at    REAL NOT NULL,               -- the last call
    settled_at  REAL,
    outcome     TEXT CHECK (outcome IN ('created', 'found', 'refused')),
    user_id     TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX user_creation_pending ON user_creation (address) WHERE settled_at IS NULL;

CREATE TABLE orphan (
    id          INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    at          REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT;

-- The new links that readers asked for: their number and time are limited for each address, over all campaigns.
CREATE TABLE renewal (
    id          INTEGER PRIMARY KEY,
    address     TEXT NOT NULL,               -- in lower case
    at          REAL NOT NULL,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL             -- the row that is sent again
) STRICT;

CREATE INDEX renewal_address ON renewal (address);

-- The keys that sign the tags in links and return paths (campaign/tags.py).
CREATE TABLE tag_key (
    id       INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
    secret   BLOB NOT NULL,
    forged   INTEGER NOT NULL DEFAULT 0, -- unsubscribe links and requests for a new link with a false tag
    declined INTEGER NOT NULL DEFAULT 0  -- requests for a new link with a true tag that were not granted
) STRICT;

-- The lists that a campaign's mails belonged to: a link stays true after the campaign file names another list.
CREATE TABLE campaign_list (
    campaign_id INTEGER NOT NULL,
    list        TEXT NOT NULL,
    PRIMARY KEY (campaign_id, list)
) STRICT, WITHOUT ROWID;

-- Addresses that get no mail, of one list or of all.
CREATE TABLE suppression (
    address  TEXT NOT NULL,              -- in lower case, the domain in A-labels
    list     TEXT NOT NULL DEFAULT '',   -- empty: all lists
    reason   TEXT NOT NULL,
    at       REAL NOT NULL,
    campaign TEXT NOT NULL DEFAULT '',   -- the campaign and the key of the mail that was answered
    key      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (address, list)
) STRICT, WITHOUT ROWID;

-- The returned mails and complaints that were acted upon: each counts once.
CREATE TABLE report (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- The addresses whose mail of a campaign came back for now (mailbox full, server not reached).
CREATE TABLE soft_bounce (
    address     TEXT NOT NULL,
    campaign_id INTEGER NOT NULL,
    PRIMARY KEY (address, campaign_id)
) STRICT, WITHOUT ROWID;

-- The sign-ins that `campaign results` saw at Clerk, each of them a user's last one at that time. Rows are only added.
CREATE TABLE sign_in (
    campaign_id INTEGER NOT NULL,
    key         TEXT NOT NULL,
    at          REAL NOT NULL,
    PRIMARY KEY (campaign_id, key, at)
) STRICT, WITHOUT ROWID;

-- The recipients of whom Clerk had no user when it was asked last; of those held out, whose mail it would have stopped.
CREATE TABLE stranger (
    campaign_id INTEGER NOT NULL,
    key         TEXT NOT NULL,
    PRIMARY KEY (campaign_id, key)
) STRICT, WITHOUT ROWID;

-- When Clerk was asked about every recipient who was mailed or held out, and not seen to have signed in since.
CREATE TABLE inquiry (
    campaign_id INTEGER NOT NULL,
    began       REAL NOT NULL,
    ended       REAL NOT NULL,
    PRIMARY KEY (campaign_id, began)
) STRICT, WITHOUT ROWID;

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

-- Only an operator's command changes an end state, with four exceptions: a changed CSV row `skipped`, a returned
-- message `sent`, a reader who asks for a new link `sent`, too, and the circuit breaker a row that `failed` for a
-- refusal that was not its fault.
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

CREATE TRIGGER history_append_only_update BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'the history is append-only');
END;

CREATE TRIGGER history_append_only_delete BEFORE DELETE ON history
BEGIN
    SELECT RAISE(ABORT, 'the history is append-only');
END;
