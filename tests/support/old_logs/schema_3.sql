PRAGMA application_id = 1128353104;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE campaign (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    message_key    BLOB NOT NULL,           -- keys the hash in every Message-ID
    templates      TEXT NOT NULL DEFAULT '',-- fingerprint of the templates of the last run
    source         TEXT NOT NULL DEFAULT '',-- the CSV enlisted last
    source_digest  TEXT NOT NULL DEFAULT '',-- fingerprint of its bytes, the templates and the way it was read
    enlistment     INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "campaign" VALUES(1,'trial',X'0101010101010101010101010101010101010101010101010101010101010101','abc','people.csv','[Recipient(key=''user_1'', email=''u1@example.com'', user_id=''user_1'', variables={''first_name'': ''Name 1''}, line=2), Recipient(key=''user_2'', email=''u2@example.com'', user_id=''user_2'', variables={''first_name'': ''Name 2''}, line=3), Recipient(key=''user_3'', email=''u3@example.com'', user_id=''user_3'', variables={''first_name'': ''Name 3''}, line=4), Recipient(key=''user_4'', email=''u4@example.com'', user_id=''user_4'', variables={''first_name'': ''Name 4''}, line=5), Recipient(key=''user_5'', email=''u5@example.com'', user_id=''user_5'', variables={''first_name'': ''Name 5''}, line=6), Recipient(key=''user_6'', email=''u6@example.com'', user_id=''user_6'', variables={''first_name'': ''Name 6''}, line=7), Recipient(key=''user_7'', email=''u7@example.com'', user_id=''user_7'', variables={''first_name'': ''Name 7''}, line=8), InvalidRow(key=''user_8'', email=''no address'', user_id=None, reason=''the address has no @'', line=9)]',1);
CREATE TABLE campaign_list (
    campaign_id INTEGER NOT NULL,
    list        TEXT NOT NULL,
    PRIMARY KEY (campaign_id, list)
) STRICT, WITHOUT ROWID;
INSERT INTO "campaign_list" VALUES(1,'news');
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
    updated_at       REAL NOT NULL               -- last change of state; the token's arrival is not one
) STRICT;
INSERT INTO "delivery" VALUES(1,1,'user_1','','people.csv',2,1,'u1@example.com','example.com','user_1','{"first_name":"Name 1"}',X'E0978D1DECCEE6F7C4B0C04A','sent','as brought','run',0.0,1,0,1,'<1.1@acme.example>','sit_1_1',1772528410.0,1772701210.0,'mail.example:587',NULL,NULL,NULL,1772528410.0);
INSERT INTO "delivery" VALUES(2,1,'user_2','','people.csv',3,1,'u2@example.com','example.com','user_2','{"first_name":"Name 2"}',X'13B0521A1B96FDC5E41C641B','failed','as brought','run',0.0,1,0,1,'<2.1@acme.example>','sit_2_1',1772528420.0,1772701220.0,'mail.example:587',550,'5.1.1','No such user',1772528420.0);
INSERT INTO "delivery" VALUES(3,1,'user_3','','people.csv',4,1,'u3@example.com','example.com','user_3','{"first_name":"Name 3"}',X'C2D1F8C134DDC551D568B44B','uncertain','as brought','run',0.0,1,0,1,'<3.1@acme.example>','sit_3_1',1772528430.0,1772701230.0,'mail.example:587',NULL,NULL,NULL,1772528430.0);
INSERT INTO "delivery" VALUES(4,1,'user_4','','people.csv',5,1,'u4@example.com','example.com','user_4','{"first_name":"Name 4"}',X'D6957D90877F7AC3F07CF60E','skipped','banned','run',0.0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1772528440.0);
INSERT INTO "delivery" VALUES(5,1,'user_5','','people.csv',6,1,'u5@example.com','example.com','user_5','{"first_name":"Name 5"}',X'2478C25C2DA68E023A02B488','sending','','run',0.0,1,0,1,'<5.1@acme.example>','sit_5_1',1772528450.0,1772701250.0,'mail.example:587',NULL,NULL,NULL,1772528450.0);
INSERT INTO "delivery" VALUES(6,1,'user_6','','people.csv',7,1,'u6@example.com','example.com','user_6','{"first_name":"Name 6"}',X'E816C3B4604DA15C6531A77D','queued','greylisted','run',1772529300.0,1,1,1,'<6.1@acme.example>',NULL,1772528460.0,1772701260.0,'mail.example:587',NULL,NULL,NULL,1772528460.0);
INSERT INTO "delivery" VALUES(7,1,'user_7','','people.csv',8,1,'u7@example.com','example.com','user_7','{"first_name":"Name 7"}',X'69B3CCF207D156C485830E4B','queued','','enlist',0.0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1772528400.0);
INSERT INTO "delivery" VALUES(8,1,'user_8','line 9 of people.csv','people.csv',9,1,'no address','',NULL,'{}',X'','skipped','line 9: the address has no @','enlist',0.0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1772528400.0);
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
INSERT INTO "history" VALUES(1,1,1772528400.0,NULL,1772528410.0,'queued','issuing','run',1,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(2,1,1772528410.0,1772528410.0,1772528410.0,'issuing','sending','run',1,'<1.1@acme.example>','sit_1_1','mail.example:587',NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(3,1,1772528410.0,NULL,1772528410.0,'sending','sent','run',1,'<1.1@acme.example>','sit_1_1','mail.example:587',NULL,NULL,NULL,'as brought');
INSERT INTO "history" VALUES(4,2,1772528400.0,NULL,1772528420.0,'queued','issuing','run',1,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(5,2,1772528420.0,1772528420.0,1772528420.0,'issuing','sending','run',1,'<2.1@acme.example>','sit_2_1','mail.example:587',NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(6,2,1772528420.0,NULL,1772528420.0,'sending','failed','run',1,'<2.1@acme.example>','sit_2_1','mail.example:587',550,'5.1.1','No such user','as brought');
INSERT INTO "history" VALUES(7,3,1772528400.0,NULL,1772528430.0,'queued','issuing','run',1,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(8,3,1772528430.0,1772528430.0,1772528430.0,'issuing','sending','run',1,'<3.1@acme.example>','sit_3_1','mail.example:587',NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(9,3,1772528430.0,NULL,1772528430.0,'sending','uncertain','run',1,'<3.1@acme.example>','sit_3_1','mail.example:587',NULL,NULL,NULL,'as brought');
INSERT INTO "history" VALUES(10,4,1772528400.0,NULL,1772528440.0,'queued','skipped','run',0,NULL,NULL,NULL,NULL,NULL,NULL,'banned');
INSERT INTO "history" VALUES(11,5,1772528400.0,NULL,1772528450.0,'queued','issuing','run',1,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(12,5,1772528450.0,1772528450.0,1772528450.0,'issuing','sending','run',1,'<5.1@acme.example>','sit_5_1','mail.example:587',NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(13,6,1772528400.0,NULL,1772528460.0,'queued','issuing','run',1,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(14,6,1772528460.0,1772528460.0,1772528460.0,'issuing','sending','run',1,'<6.1@acme.example>','sit_6_1','mail.example:587',NULL,NULL,NULL,'');
INSERT INTO "history" VALUES(15,6,1772528460.0,NULL,1772528460.0,'sending','queued','run',1,'<6.1@acme.example>','sit_6_1','mail.example:587',NULL,NULL,NULL,'greylisted');
CREATE TABLE orphan (
    id          INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    at          REAL NOT NULL,
    expires_at  REAL NOT NULL
) STRICT;
CREATE TABLE report (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revocation (
    token_id    TEXT PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    delivery_id INTEGER NOT NULL,
    asked_at    REAL NOT NULL,
    settled_at  REAL,
    outcome     TEXT CHECK (outcome IN ('revoked', 'unknown', 'used')),
    unanswered  INTEGER NOT NULL DEFAULT 0 -- tries without a usable answer, which may have revoked the token
) STRICT;
INSERT INTO "revocation" VALUES('sit_2_1',1,2,1772528420.0,1772528460.0,'revoked',0);
CREATE TABLE soft_bounce (
    address     TEXT NOT NULL,
    campaign_id INTEGER NOT NULL,
    PRIMARY KEY (address, campaign_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE suppression (
    address  TEXT NOT NULL,              -- in lower case, the domain in A-labels
    list     TEXT NOT NULL DEFAULT '',   -- empty: all lists
    reason   TEXT NOT NULL,
    at       REAL NOT NULL,
    campaign TEXT NOT NULL DEFAULT '',   -- the campaign and the key of the mail that was answered
    key      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (address, list)
) STRICT, WITHOUT ROWID;
CREATE TABLE tag_key (
    id     INTEGER PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
    secret BLOB NOT NULL,
    forged INTEGER NOT NULL DEFAULT 0  -- unsubscribe links with a false token
) STRICT;
INSERT INTO "tag_key" VALUES(1,X'0202020202020202020202020202020202020202020202020202020202020202',0);
CREATE UNIQUE INDEX delivery_identity ON delivery (campaign_id, key, slot);
CREATE INDEX delivery_queue ON delivery (campaign_id, state, enlistment, not_before, id);
CREATE INDEX history_resent ON history (token_id) WHERE actor = 'resend';
CREATE INDEX revocation_pending ON revocation (campaign_id) WHERE settled_at IS NULL;
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
CREATE TRIGGER history_append_only_update BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'the history is append-only');
END;
CREATE TRIGGER history_append_only_delete BEFORE DELETE ON history
BEGIN
    SELECT RAISE(ABORT, 'the history is append-only');
END;
COMMIT;
