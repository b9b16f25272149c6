-- What the workers ask of the functions in `rates.sql`.

-- name: begin_rates
-- A permit needs no fsync; see rates.sql.
SET synchronous_commit TO off;
SET default_transaction_isolation TO 'read committed';
SET jit TO off;
SET idle_session_timeout TO 0;
SET statement_timeout TO 0;
SET lock_timeout TO 0;

-- name: reserve_permits
SELECT now_at, numbers, slots, next_at, remaining, more_at, settled_at, sharers FROM campaign.reserve_permits(
    :bucket, :worker, :wanted::integer, :used_numbers::bigint[], :used_at::double precision[], :unused::bigint[],
    :counts::integer[], :periods::double precision[], :budget_counts::bigint[], :budget_periods::double precision[],
    :horizon::double precision, :late::double precision, :catch_up::double precision,
    :state::text, :domain::text, :since::double precision);

-- name: tell_workers
SELECT campaign.tell_workers(
    :kind::text, :service::text, :seconds::double precision, :why::text, :worker::text, :campaign::text);

-- name: pauses
SELECT service, ends_at, why, campaign.instant_now() FROM campaign.pause WHERE ends_at > campaign.instant_now();

-- name: listen
LISTEN campaign_pause;
