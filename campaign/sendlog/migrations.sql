-- Schema migrations: `to_2` migrates a log from schema version 1 to 2, and so on.

-- name: to_2
ALTER TABLE revocation ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
-- Schema 1 did not record which revocations had been tried, so assume that every pending one was.
UPDATE revocation SET unanswered = 1 WHERE settled_at IS NULL;

-- name: to_3
CREATE INDEX history_resent ON history (token_id) WHERE actor = 'resend';
DROP TRIGGER delivery_end_state;
CREATE TRIGGER delivery_end_state BEFORE UPDATE OF state ON delivery
WHEN (OLD.state = 'sent' AND NEW.state <> 'sent' AND NEW.actor <> 'resend')
  OR (OLD.state = 'failed' AND NEW.state <> 'failed' AND NEW.actor NOT IN ('retry', 'skip'))
  OR (OLD.state = 'uncertain' AND NEW.state <> 'uncertain' AND NEW.actor <> 'resolve')
  OR (OLD.state = 'skipped' AND NEW.state <> 'skipped' AND NEW.actor NOT IN ('retry', 'enlist'))
BEGIN
    SELECT RAISE(ABORT, 'an end state is left only by a command');
END;
