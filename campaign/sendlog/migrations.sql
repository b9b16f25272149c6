-- Schema migrations: `to_2` migrates a log from schema version 1 to 2, and so on.

-- name: to_2
ALTER TABLE revocation ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
-- Schema 1 did not record which revocations had been tried, so assume that every pending one was.
UPDATE revocation SET unanswered = 1 WHERE settled_at IS NULL;
