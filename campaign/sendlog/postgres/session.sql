-- What a session needs beside the statements of the log, by name.

-- name: find_log
-- The table with the version, or NULL if there is no log.
SELECT to_regclass('campaign.schema_version')::text;

-- name: may_write
-- Whether the database can be written (a standby cannot), and whether the tables, if there are any, can by this user.
SELECT current_setting('transaction_read_only') = 'off',
    coalesce(has_table_privilege(to_regclass('campaign.delivery'), 'UPDATE'), true);

-- name: version
SELECT version FROM schema_version;

-- name: process_id
SELECT pg_backend_pid();

-- name: server_time
SELECT extract(epoch FROM clock_timestamp())::double precision;

-- name: begin_session
-- A session that waits holds a run's lock, and to read a long list takes a while: the server's own limits would end it.
-- A commit that is not on the disk when it is answered would be none.
SET search_path TO campaign;
SET idle_session_timeout TO 0;
SET idle_in_transaction_session_timeout TO 0;
SET statement_timeout TO 0;
-- The session of a machine that is gone holds locks until the server notices: by itself after two hours, or, with an
-- answer under way, after a quarter of an hour.
SET tcp_keepalives_idle TO 30;
SET tcp_keepalives_interval TO 10;
SET tcp_keepalives_count TO 3;
SET tcp_user_timeout TO '60s';
-- What an administrator may have set otherwise: instants lose no digit, and NULL in an array is NULL.
SET extra_float_digits TO 1;
SET array_nulls TO on;
-- The steps of a hundred deliveries look a hundred rows up, which are in memory: the planner must not read the table.
SET random_page_cost TO 1.1;
SET jit TO off;
SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off';

-- name: set_wait
SELECT set_config('lock_timeout', :wait, false);

-- name: hold_log
-- The lock of a run; it is the session's.
SELECT pg_try_advisory_lock(:number::bigint);

-- name: analyze
CALL campaign.analyze_deliveries();

-- name: share_log
-- The same for one of several runs.
SELECT pg_try_advisory_lock_shared(:number::bigint);

-- name: begin
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;

-- name: lock_for_group
-- Of a transaction that changes the rows of its own run only: several at once, none while its campaign is prepared, and
-- none beside one of `lock_for_all`. The locks are taken from left to right; a pooler would give the transaction to
-- another process.
SELECT pg_backend_pid(), pg_advisory_xact_lock_shared(:kind::integer, :campaign::integer),
    pg_advisory_xact_lock_shared(:writing::bigint);

-- name: lock_for_group_alone
SELECT pg_backend_pid(), pg_advisory_xact_lock_shared(:kind::integer, :campaign::integer),
    pg_advisory_xact_lock(:writing::bigint);

-- name: lock_for_preparation
-- Of a transaction that prepares a campaign, such as one that enlists a million rows.
SELECT pg_backend_pid(), pg_advisory_xact_lock_shared(:preparing::bigint),
    pg_advisory_xact_lock(:kind::integer, :campaign::integer);

-- name: lock_for_short
SELECT pg_backend_pid(), pg_advisory_xact_lock(:writing::bigint);

-- name: lock_for_all
SELECT pg_backend_pid(), pg_advisory_xact_lock(:preparing::bigint), pg_advisory_xact_lock(:writing::bigint);
