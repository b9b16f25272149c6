-- What the sandbox remembers. Instants are milliseconds since the epoch, as Clerk's are.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    number          INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    banned          INTEGER NOT NULL DEFAULT 0,
    locked          INTEGER NOT NULL DEFAULT 0,
    -- What `POST /v1/users` was given: names, external id, metadata.
    profile         TEXT    NOT NULL DEFAULT '{}',
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    last_sign_in_at INTEGER
);

CREATE TABLE email_addresses (
    number     INTEGER PRIMARY KEY,
    user_id    TEXT    NOT NULL REFERENCES users (id),
    address    TEXT    NOT NULL,
    -- The address without regard to case.
    folded     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (folded, user_id)
);
CREATE INDEX email_addresses_of_user ON email_addresses (user_id);

CREATE TABLE sign_in_tokens (
    number     INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    user_id    TEXT    NOT NULL REFERENCES users (id),
    -- The organization that is open in the session that the token starts.
    org_id     TEXT,
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'accepted', 'revoked')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX sign_in_tokens_of_user ON sign_in_tokens (user_id);

-- A browser as Clerk's development instances tell them apart: `__clerk_db_jwt` holds the id.
CREATE TABLE browsers (
    id         TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
    number         INTEGER PRIMARY KEY,
    id             TEXT    NOT NULL UNIQUE,
    browser_id     TEXT    NOT NULL REFERENCES browsers (id),
    user_id        TEXT    NOT NULL REFERENCES users (id),
    org_id         TEXT,
    status         TEXT    NOT NULL CHECK (status IN ('active', 'ended', 'removed')),
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
);
CREATE INDEX sessions_of_browser ON sessions (browser_id);
CREATE INDEX sessions_of_user ON sessions (user_id);

CREATE TABLE waitlist_entries (
    number     INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    address    TEXT    NOT NULL,
    folded     TEXT    NOT NULL UNIQUE,
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'invited', 'completed', 'rejected')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE mails (
    number      INTEGER PRIMARY KEY,
    -- The name of the message's file in the Maildir.
    name        TEXT    NOT NULL UNIQUE,
    sender      TEXT    NOT NULL,
    -- The envelope's recipients, a JSON array.
    recipients  TEXT    NOT NULL,
    -- Two headers that the inbox lists by, decoded.
    subject     TEXT    NOT NULL,
    list_id     TEXT    NOT NULL,
    size        INTEGER NOT NULL,
    received_at INTEGER NOT NULL
);
CREATE INDEX mails_of_list ON mails (list_id);

-- How often the mail server has put off each `+deferN@` address since it last took a message for it.
CREATE TABLE deferrals (
    folded TEXT PRIMARY KEY,
    times  INTEGER NOT NULL
) WITHOUT ROWID;
