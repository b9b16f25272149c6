-- Copy a log to another place, or fill it with the rows of another: statements for each table, with {table}, its
-- {columns} and its {order} in their places.

-- name: has_movements
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'movement';

-- name: make_movements
-- How the log came here, and where it went; see movement.py. Made by the first move.
CREATE TABLE IF NOT EXISTS movement (
    direction   TEXT PRIMARY KEY CHECK (direction IN ('in', 'out')),
    id          TEXT NOT NULL,                -- the same in both logs
    place       TEXT NOT NULL,                -- the other log
    at          REAL NOT NULL,
    is_complete INTEGER NOT NULL,             -- in: the log is used here; out: it is used there
    earlier     TEXT NOT NULL                 -- JSON: the ids of the moves before, by which its rows came
) STRICT, WITHOUT ROWID;

-- name: movements
SELECT direction, id, place, at, is_complete, earlier FROM movement;

-- name: note
INSERT INTO movement (direction, id, place, at, is_complete, earlier)
VALUES (:direction, :id, :place, :at, :is_complete, :earlier)
ON CONFLICT (direction) DO UPDATE
SET id = excluded.id, place = excluded.place, at = excluded.at, is_complete = excluded.is_complete,
    earlier = excluded.earlier;

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\';

-- name: drop
DROP TABLE {table};

-- name: set_cache
-- The keys come in no order: what the cache of their index has not is written to the disk again and again.
PRAGMA cache_size = -64000;

-- name: columns
SELECT name FROM pragma_table_info(:table);

-- name: rows
SELECT {values} FROM {table} ORDER BY {order};

-- name: row_at
SELECT {values} FROM {table} ORDER BY {order} LIMIT 1 OFFSET :before;

-- name: add
INSERT INTO {table} ({columns}) VALUES ({places});

-- name: has_rows
SELECT EXISTS (SELECT 1 FROM {table});

-- name: names
SELECT name FROM campaign ORDER BY id;

-- name: name_of
SELECT name FROM campaign WHERE id = :campaign;

-- name: whose
SELECT campaign.name, delivery.source, line FROM delivery JOIN campaign ON campaign.id = campaign_id
WHERE delivery.id = :id;

-- name: guard
CREATE TRIGGER moved_{table}_{change} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, {text}); END;

-- name: unguard
DROP TRIGGER IF EXISTS moved_{table}_{change};
