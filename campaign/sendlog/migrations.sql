-- What brings an older log up to date: `to_2` makes a log of schema 1 one of schema 2, and so on.

-- name: to_2
ALTER TABLE revocation ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
-- It is not known which of them had been tried.
UPDATE revocation SET unanswered = 1 WHERE settled_at IS NULL;
