-- Schema migrations: `to_2` migrates a log from schema version 1 to 2, and so on.

-- name: to_2
ALTER TABLE revocation ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
-- Schema 1 did not record which revocations had been tried, so assume that every pending one was.
UPDATE revocation SET unanswered = 1 WHERE settled_at IS NULL;

-- name: to_3
DROP TRIGGER delivery_end_state;

CREATE TRIGGER delivery_end_state BEFORE UPDATE OF state ON delivery
WHEN (OLD.state = 'sent' AND NEW.state <> 'sent')
  OR (OLD.state IN ('failed', 'uncertain') AND NEW.state <> OLD.state AND NEW.actor NOT IN ('retry', 'resolve', 'revoke')
    AND NOT (OLD.state = 'failed' AND NEW.state = 'queued' AND NEW.actor = 'breaker'))
  OR (OLD.state = 'skipped' AND NEW.state <> 'skipped' AND NEW.actor NOT IN ('retry', 'enlist'))
BEGIN
    SELECT RAISE(ABORT, 'an end state is left only by a command');
END;
