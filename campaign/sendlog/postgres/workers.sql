-- The statements of several workers on one log. Unlike the others they read the time: that of this server, which all
-- workers share.

-- name: register
INSERT INTO worker (campaign_id, host, pid, version, lease_until)
VALUES (:campaign, :host, :pid, :version, clock_timestamp() + make_interval(secs => :lease))
RETURNING id;

-- name: others_version
-- A worker of another version may write the log in another way.
SELECT host, pid, version FROM worker WHERE version <> :version AND lease_until > clock_timestamp() LIMIT 1;

-- name: mark_alive
-- As long as the session holds the lock, its process is alive and reaches the server.
SELECT pg_try_advisory_lock(:kind::integer, mod(:worker::bigint, 2147483647)::integer);

-- name: try_lock
-- It is the session's, as the next two are.
SELECT pg_try_advisory_lock(:kind::integer, :campaign::integer);

-- name: share_lock
SELECT pg_advisory_lock_shared(:kind::integer, :campaign::integer);

-- name: unlock
SELECT pg_advisory_unlock(:kind::integer, :campaign::integer);

-- name: beat
UPDATE worker SET beat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => :lease),
    is_draining = :is_draining::boolean
WHERE id = :worker;

-- name: give_up_leases
-- Of workers of this process that could not remove themselves, because the server was away.
UPDATE worker SET lease_until = clock_timestamp() WHERE id = ANY (:ids::bigint[]);

-- name: unregister
DELETE FROM worker WHERE id = :worker;

-- name: lock_claims
-- Of the rows that a transaction is about to write, those that the worker still has. All workers lock in one order.
SELECT delivery.id FROM delivery JOIN unnest(:ids::bigint[], :fences::bigint[]) AS claim (id, fence)
    ON claim.id = delivery.id AND claim.fence = delivery.fence
WHERE delivery.worker_id = :worker AND delivery.state IN ('queued', 'issuing', 'sending')
ORDER BY delivery.id FOR UPDATE OF delivery;

-- name: lock_rows
SELECT id FROM delivery WHERE id = ANY (:ids::bigint[]) AND worker_id = :worker AND state = 'queued'
ORDER BY id FOR UPDATE;

-- name: claim
-- The statement `claim` of queries.sql for rows that no run has claimed, and that no other transaction is changing.
WITH due AS MATERIALIZED (
    SELECT id FROM delivery
    WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND worker_id IS NULL
      AND (not_before, id) > (:after::double precision, :after_id::bigint) AND not_before <= :now
      AND (:domain::text IS NULL OR domain = :domain::text)
      AND CASE WHEN domain = ANY (ARRAY(SELECT jsonb_array_elements_text(:domains::jsonb))) THEN false ELSE true END
    ORDER BY not_before, id LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE delivery SET worker_id = :worker, fence = fence + 1 WHERE id = ANY (ARRAY(SELECT id FROM due))
    RETURNING id, key, email, user_id, line, variables, attempts, faults, generation, step, step_number,
        coalesce(batch, 0) AS batch, due_at, replaced_token, fence, not_before
)
SELECT id, key, email, user_id, line, variables, attempts, faults, generation, step, step_number, batch, due_at,
    replaced_token, fence, not_before
FROM claimed ORDER BY not_before, id;

-- name: give_back
UPDATE delivery SET worker_id = NULL, fence = fence + 1
WHERE id = ANY (:ids::bigint[]) AND worker_id = :worker AND state = 'queued';

-- name: give_all_back
UPDATE delivery SET worker_id = NULL, fence = fence + 1 WHERE worker_id = :worker AND state = 'queued';

-- name: try_revocations
-- A revocation that another worker tries is left to it.
WITH tried AS (
    UPDATE revocation SET unanswered = unanswered + 1, worker_id = :worker
    WHERE token_id IN (
        SELECT token_id FROM revocation
        WHERE campaign_id = :campaign AND settled_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM worker WHERE worker.id = revocation.worker_id AND worker.id <> :worker)
        ORDER BY number LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING token_id, unanswered, number)
SELECT token_id, unanswered > 1 FROM tried ORDER BY number;

-- name: mark_transaction
-- The first statement of a transaction. Its number tells whether it was committed, if the connection is lost meanwhile.
-- It returns whether the lease holds; until the transaction ends no other worker removes this one and recovers its rows.
UPDATE worker SET committed = :number WHERE id = :worker RETURNING lease_until > clock_timestamp();

-- name: last_transaction
-- It waits for a transaction of the worker whose end is not known, and so for its outcome.
SELECT committed FROM worker WHERE id = :worker FOR UPDATE;

-- name: known_transaction
-- The last transaction that this server has of a worker, which others may have removed.
SELECT committed FROM worker WHERE id = :worker
UNION ALL SELECT committed FROM removed_worker WHERE id = :worker;

-- name: end_session
-- A server process of ours that has not noticed the loss of its connection may hold locks.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :backend_start::timestamptz;

-- name: session
SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid();

-- name: begin_worker_session
-- A run that is suspended within a transaction keeps locks for which others wait. It makes the transaction again later.
SET idle_in_transaction_session_timeout TO '10s';
SET lock_timeout TO '5s';

-- name: end_worker_session
SET idle_in_transaction_session_timeout TO 0;
SET lock_timeout TO '30s';

-- name: rest_worker_session
-- A run that reads a long list waits for another one that does.
SET idle_in_transaction_session_timeout TO 0;
SET lock_timeout TO '600s';

-- name: late
-- The workers whose lease has run out, and those of a host whose session has ended: that host knows whether they live.
SELECT id, host, pid, lease_until <= clock_timestamp(), EXISTS (
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND classid = :kind::integer AND objid = mod(worker.id, 2147483647)::integer AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
FROM worker ORDER BY id;

-- name: bury
-- A worker with an open transaction is left for the next time.
WITH buried AS (
    DELETE FROM worker WHERE id IN (
        SELECT id FROM worker
        WHERE lease_until <= clock_timestamp() OR id = ANY (:gone::bigint[]) FOR UPDATE SKIP LOCKED)
    RETURNING id, host, pid, beat_at, committed
), noted AS (
    INSERT INTO removed_worker (id, committed) SELECT id, committed FROM buried
)
SELECT id, host, pid, extract(epoch FROM clock_timestamp() - beat_at)::double precision FROM buried;

-- name: lock_lost
-- What is to be recovered, without a wait: a transaction that has some of it may wait for some of ours.
SELECT id FROM delivery
WHERE (worker_id IS NOT NULL OR state IN ('issuing', 'sending'))
  AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = delivery.worker_id)
FOR UPDATE NOWAIT;

-- name: begin_recovery
SAVEPOINT recovery;

-- name: undo_recovery
ROLLBACK TO SAVEPOINT recovery;

-- name: release_claims
-- The rows that a buried worker had claimed and not begun.
UPDATE delivery SET worker_id = NULL, fence = fence + 1
WHERE (worker_id IS NOT NULL OR state IN ('issuing', 'sending')) AND worker_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = delivery.worker_id);

-- name: held_by_others
SELECT count(*) FROM delivery
WHERE (worker_id IS NOT NULL OR state IN ('issuing', 'sending')) AND worker_id <> :worker
  AND campaign_id = :campaign AND enlistment = :enlistment;

-- name: campaign_has_workers
SELECT 1 FROM worker WHERE campaign_id = :campaign AND lease_until > clock_timestamp() LIMIT 1;

-- name: workers
SELECT worker.id, campaign.name, host, pid, version, extract(epoch FROM started_at)::double precision,
    extract(epoch FROM clock_timestamp() - beat_at)::double precision,
    extract(epoch FROM lease_until - clock_timestamp())::double precision, is_draining,
    coalesce(has.queued, 0), coalesce(has.issuing, 0), coalesce(has.sending, 0)
FROM worker JOIN campaign ON campaign.id = worker.campaign_id
LEFT JOIN (
    SELECT worker_id, count(*) FILTER (WHERE state = 'queued') AS queued,
        count(*) FILTER (WHERE state = 'issuing') AS issuing, count(*) FILTER (WHERE state = 'sending') AS sending
    FROM delivery WHERE worker_id IS NOT NULL GROUP BY worker_id) AS has ON has.worker_id = worker.id
ORDER BY worker.id;
