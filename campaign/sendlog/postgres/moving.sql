-- Copy a log to another place, or fill it with the rows of another: statements for each table, with {table}, its
-- {columns} and its {order} in their places.

-- name: has_movements
SELECT to_regclass('campaign.movement') IS NOT NULL;

-- name: make_movements
-- How the log came here, and where it went; see movement.py. Made by the first move. Every user of the log must be able
-- to read it.
CREATE TABLE IF NOT EXISTS movement (
    direction   text PRIMARY KEY CHECK (direction IN ('in', 'out')),
    id          text NOT NULL,                -- the same in both logs
    place       text NOT NULL,                -- the other log
    at          double precision NOT NULL,
    is_complete boolean NOT NULL,             -- in: the log is used here; out: it is used there
    earlier     text NOT NULL                 -- JSON: the ids of the moves before, by which its rows came
);
GRANT SELECT ON movement TO PUBLIC;

-- name: movements
SELECT direction, id, place, at, is_complete, earlier FROM movement;

-- name: note
INSERT INTO movement (direction, id, place, at, is_complete, earlier)
VALUES (:direction, :id, :place, :at, :is_complete::boolean, :earlier)
ON CONFLICT (direction) DO UPDATE
SET id = excluded.id, place = excluded.place, at = excluded.at, is_complete = excluded.is_complete,
    earlier = excluded.earlier;

-- name: empty
-- What the server's rates and workers were is forgotten: the history says what was spent.
ALTER TABLE history DISABLE TRIGGER history_append_only;
TRUNCATE {tables}, worker, permit_bucket, permit, permit_slice, pause;
ALTER TABLE history ENABLE TRIGGER history_append_only;

-- name: forget_movements
DROP TABLE IF EXISTS movement;

-- name: columns
-- Each with the expression that reads it as SQLite does, which has no boolean and no -0.0.
SELECT attname, CASE atttypid
    WHEN 'boolean'::regtype THEN quote_ident(attname) || '::integer'
    WHEN 'double precision'::regtype THEN quote_ident(attname) || ' + 0'
    ELSE quote_ident(attname) END
FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped;

-- name: rows
SELECT {values} FROM {table} ORDER BY {order};

-- name: row_at
SELECT {values} FROM {table} ORDER BY {order} LIMIT 1 OFFSET :before;

-- name: add
COPY {table} ({columns}) FROM STDIN;

-- name: has_rows
SELECT EXISTS (SELECT 1 FROM {table});

-- name: names
SELECT name FROM campaign ORDER BY id;

-- name: name_of
SELECT name FROM campaign WHERE id = :campaign;

-- name: whose
SELECT campaign.name, delivery.source, line FROM delivery JOIN campaign ON campaign.id = campaign_id
WHERE delivery.id = :id;

-- name: continue_ids
SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL) FROM {table};

-- name: analyze
ANALYZE {tables};

-- name: guard
CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT
EXECUTE FUNCTION refuse({text});

-- name: unguard
DROP TRIGGER IF EXISTS moved ON {table};
