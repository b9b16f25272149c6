-- One rate for all workers: the permits that they reserve, a handful at a time, with `reserve_permits`, and the pauses
-- that they tell each other.
-- A permit is worth no fsync, so the table of permits is UNLOGGED: after a crash of the server it is empty. The buckets
-- and what the budgets count are written to the WAL, without an fsync of their own. What is durable after a permit was
-- reserved, such as the intent of its message, makes them durable, too; of calls that leave no trace in the log, lookups
-- and revocations, a budget may forget those of the last second. A bucket without its permits shows the crash, and its
-- even windows then count as full. Numbers of permits begin with the time, so that those of an earlier life match none.
-- All instants are the database's: `clock_timestamp()` in seconds since the epoch.
SET LOCAL search_path TO campaign;

-- What is limited together: `messages`, `tokens`, a recipient domain, or a day of the ramps.
CREATE TABLE permit_bucket (
    name         text COLLATE "C" PRIMARY KEY,
    first_number bigint NOT NULL,           -- of the permits that are still known
    next_number  bigint NOT NULL,
    last_slot    double precision NOT NULL DEFAULT '-infinity', -- the last permit's place in the even spread
    last_at      double precision NOT NULL DEFAULT '-infinity', -- when it may be used
    last_free    double precision NOT NULL DEFAULT '-infinity', -- the latest permit that was given back
    kept_s       double precision NOT NULL DEFAULT 0,           -- how long permits are known: the longest even window
    budgets      double precision[] NOT NULL DEFAULT '{}'       -- the periods (seconds) of the longer windows
);

-- Each permit, in the order of their instants. The last one of a bucket is never deleted.
CREATE UNLOGGED TABLE permit (
    bucket text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    at     double precision NOT NULL,       -- from when it may be used; for a used one, when it was
    state  text COLLATE "C" NOT NULL CHECK (state IN ('held', 'used', 'free')),
    worker text COLLATE "C" NOT NULL,
    PRIMARY KEY (bucket, number)
) WITH (fillfactor = 70);

-- What the longer windows count, in slices of a thousandth of their period.
CREATE TABLE permit_slice (
    bucket text COLLATE "C" NOT NULL,
    period double precision NOT NULL,
    slice  bigint NOT NULL,
    last   double precision NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (bucket, period, slice)
) WITH (fillfactor = 70);

CREATE UNLOGGED TABLE pause (
    service    text COLLATE "C" PRIMARY KEY,
    ends_at    double precision NOT NULL,
    why        text NOT NULL
);

-- Seconds since the epoch, now. It goes on within a transaction.
CREATE FUNCTION instant_now() RETURNS double precision LANGUAGE sql VOLATILE AS
$$ SELECT extract(epoch FROM clock_timestamp())::double precision $$;

-- The instants at which the history says that a permit was used, at the latest: it was written up to `late_` seconds
-- before. The clock of its writer may have been ahead.
CREATE FUNCTION permits_in_history(
    state_ text, domain_ text, since_ double precision, until_ double precision, late_ double precision
) RETURNS TABLE (at double precision) LANGUAGE sql STABLE AS
$$
    SELECT least(history.at + late_, until_) FROM campaign.history
    LEFT JOIN campaign.delivery ON delivery.id = history.delivery_id AND domain_ IS NOT NULL
    WHERE history.new_state = state_ AND history.at > since_
      AND (domain_ IS NULL OR delivery.domain = domain_)
    -- Clerk counts the calls that create users as those for tokens
    UNION ALL SELECT least(asked_at + late_, until_) FROM campaign.user_creation
    WHERE state_ = 'issuing' AND domain_ IS NULL AND asked_at > since_
$$;

-- Add what the history knows of permits: for the even windows in the last `kept` seconds, for each budget in its period.
CREATE FUNCTION recall_permits(
    bucket_ text, kept double precision, periods double precision[],
    state_ text, domain_ text, since double precision, now_ double precision, late double precision
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    b        campaign.permit_bucket;
    added    bigint;
    oldest   double precision;
    period_  double precision;
BEGIN
    SELECT * INTO b FROM campaign.permit_bucket WHERE name = bucket_;
    IF kept > b.kept_s THEN
        SELECT min(at) INTO oldest FROM campaign.permit WHERE bucket = bucket_;
        INSERT INTO campaign.permit (bucket, number, at, state, worker)
        SELECT bucket_, b.first_number - row_number() OVER (ORDER BY found.at DESC), found.at, 'used', ''
        FROM campaign.permits_in_history(state_, domain_, now_ - kept - late, now_, late) AS found
        WHERE found.at < coalesce(oldest, 'infinity');
        GET DIAGNOSTICS added = ROW_COUNT;
        UPDATE campaign.permit_bucket SET first_number = b.first_number - added, kept_s = kept WHERE name = bucket_;
    END IF;
    FOREACH period_ IN ARRAY periods LOOP
        CONTINUE WHEN period_ = ANY (b.budgets);
        INSERT INTO campaign.permit_slice (bucket, period, slice, last, number)
        SELECT bucket_, period_, floor(found.at * 1000 / period_), max(found.at), count(*)
        FROM campaign.permits_in_history(state_, domain_, coalesce(since, now_ - period_), now_, late) AS found
        GROUP BY 3;
        UPDATE campaign.permit_bucket SET budgets = budgets || period_ WHERE name = bucket_;
    END LOOP;
END;
$$;

-- Count permits with these instants in every budget of a bucket; a negative `sign` takes them back.
CREATE FUNCTION count_permits(
    bucket_ text, budgets double precision[], instants double precision[], sign integer, late double precision
) RETURNS void LANGUAGE sql AS
$$
    INSERT INTO campaign.permit_slice AS known (bucket, period, slice, last, number)
    SELECT bucket_, period, floor(at * 1000 / period), max(at) + late, sign * count(*)
    FROM unnest(budgets) AS period, unnest(instants) AS at GROUP BY 2, 3 ORDER BY 2, 3
    ON CONFLICT (bucket, period, slice) DO UPDATE
    SET number = known.number + excluded.number, last = greatest(known.last, excluded.last)
$$;

-- Report how a worker used permits, and reserve at most `wanted` more of a bucket; its row's lock orders the workers.
--
-- A worker may use a permit at its instant or up to `late` seconds later, and reports when it did. Of a worker that was
-- killed no report comes: its permits count as used as late as they may have been. So they are lost and never doubled.
--
--   unused: what is given back; NULL: everything, since the worker ends, or lost an answer
--   counts, periods: the windows that are spread evenly: at most counts[i] in any periods[i] seconds
--   budget_counts, budget_periods: the longer ones, spent as fast as the others allow
--   horizon: no permit is reserved for later than this many seconds from now
--   catch_up: how far the even spread may catch up after it was late
--   state_, domain_, since: how the history knows a permit that was used; `since`: the begin of a day
--
-- The result: the time now; the permits' numbers and instants; when the next one could be used; how many the budgets
-- have left (NULL: there is none), when they get more, and until when some may come back that were reserved; how many
-- workers took the last permits.
CREATE FUNCTION reserve_permits(
    bucket_ text, worker_ text, wanted integer,
    used_numbers bigint[], used_at double precision[], unused bigint[],
    counts integer[], periods double precision[], budget_counts bigint[], budget_periods double precision[],
    horizon double precision, late double precision, catch_up double precision,
    state_ text, domain_ text, since double precision,
    OUT now_at double precision, OUT numbers bigint[], OUT slots double precision[], OUT next_at double precision,
    OUT remaining bigint, OUT more_at double precision, OUT settled_at double precision, OUT sharers integer
) LANGUAGE plpgsql AS $$
DECLARE
    b        campaign.permit_bucket;
    kept     double precision := coalesce((SELECT max(each) FROM unnest(periods) AS each), 0);
    spacing  double precision := coalesce((SELECT max(p / c) FROM unnest(counts, periods) AS even (c, p)), 0);
    -- By how many places the order of the uses may differ from that of the permits: one is used late, others meanwhile.
    disorder bigint := coalesce(ceil((late + catch_up) / nullif(spacing, 0)) + 1, 0);
    given_back double precision[];
    total    bigint;
    slot     double precision;
    until    double precision[];
    before   bigint;
    place    bigint;
    bounds   double precision[] := '{}';
    made     integer := 0;
BEGIN
    SELECT * INTO b FROM campaign.permit_bucket WHERE name = bucket_ FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- a crash must find the bucket
        INSERT INTO campaign.permit_bucket (name, first_number, next_number)
        SELECT bucket_, first, first FROM floor(campaign.instant_now() * 1e6) AS first
        ON CONFLICT (name) DO NOTHING;  -- it waits for another worker that adds the same
        SELECT * INTO b FROM campaign.permit_bucket WHERE name = bucket_ FOR UPDATE;
    END IF;
    now_at := campaign.instant_now();
    IF b.next_number > b.first_number
        AND NOT EXISTS (SELECT FROM campaign.permit WHERE bucket = bucket_ AND number = b.next_number - 1)
    THEN
        -- When the permits from before the crash were used is not known. A worker that has not heard of it may use one yet.
        b.first_number := greatest(b.next_number, floor(now_at * 1e6));
        b.next_number := b.first_number;
        b.last_at := now_at + horizon + late + greatest(kept, b.kept_s);
        b.last_free := '-infinity';
    END IF;
    IF kept > b.kept_s OR NOT budget_periods <@ b.budgets THEN
        -- a permit is given to a call before its instant, at most by the horizon, and used up to `late` seconds after it
        PERFORM campaign.recall_permits(
            bucket_, kept, budget_periods, state_, domain_, since, now_at, horizon + late);
        SELECT * INTO b FROM campaign.permit_bucket WHERE name = bucket_;
    END IF;

    UPDATE campaign.permit SET at = greatest(permit.at, report.at), state = 'used'
    FROM unnest(used_numbers, used_at) AS report (number, at)
    WHERE bucket = bucket_ AND permit.number = report.number AND worker = worker_ AND state = 'held';
    IF unused IS NULL OR cardinality(unused) > 0 THEN
        WITH freed AS (
            UPDATE campaign.permit SET state = 'free'
            WHERE bucket = bucket_ AND worker = worker_ AND state = 'held'
              AND CASE WHEN unused IS NULL THEN number >= b.next_number - 1000 ELSE number = ANY (unused) END RETURNING at)
        SELECT array_agg(at) INTO given_back FROM freed;
        IF given_back IS NOT NULL THEN
            PERFORM campaign.count_permits(bucket_, b.budgets, given_back, -1, 0);
            b.last_free := greatest(b.last_free, (SELECT max(each) FROM unnest(given_back) AS each));
        END IF;
    END IF;

    -- the budgets
    FOR i IN 1 .. cardinality(budget_counts) LOOP
        DELETE FROM campaign.permit_slice
        WHERE bucket = bucket_ AND period = budget_periods[i] AND last + period <= now_at;
        SELECT coalesce(sum(number), 0) INTO total FROM campaign.permit_slice
        WHERE bucket = bucket_ AND period = budget_periods[i];
        IF remaining IS NULL OR budget_counts[i] - total < remaining THEN
            remaining := greatest(0, budget_counts[i] - total);
            -- the instant at which a permit is free again after those that remain
            SELECT min(last) + budget_periods[i] INTO more_at
            FROM (SELECT last, sum(number) OVER (ORDER BY slice) AS gone FROM campaign.permit_slice
                  WHERE bucket = bucket_ AND period = budget_periods[i]) AS slices
            WHERE gone > greatest(0, total - budget_counts[i]);
        END IF;
    END LOOP;
    wanted := least(wanted, remaining);

    -- permits that another worker gave back
    numbers := '{}';
    slots := '{}';
    IF wanted > 0 AND b.last_free > now_at - catch_up THEN
        WITH free AS (
            SELECT number FROM campaign.permit
            WHERE bucket = bucket_ AND number >= b.next_number - 1000 AND state = 'free' AND at > now_at - catch_up
            ORDER BY number LIMIT wanted
        ), taken AS (
            UPDATE campaign.permit SET state = 'held', worker = worker_
            WHERE bucket = bucket_ AND number IN (SELECT number FROM free) RETURNING number, at)
        SELECT coalesce(array_agg(number ORDER BY number), '{}'), coalesce(array_agg(at ORDER BY number), '{}')
        INTO numbers, slots FROM taken;
    END IF;

    -- New ones. Each comes a period after the use that is `counts[i]` places before it, in the order of the uses: so one
    -- that was late, or of which no report came, delays the others by one place and not by its lateness.
    FOR i IN 1 .. cardinality(counts) LOOP
        place := b.next_number - counts[i];
        SELECT array_agg(permit.until ORDER BY permit.until),
            count(*) FILTER (WHERE number < place) - greatest(0, min(number) - place)
        INTO until, before
        FROM (SELECT number, CASE state WHEN 'held' THEN at + late ELSE at END AS until FROM campaign.permit
              WHERE bucket = bucket_ AND number BETWEEN place - disorder AND place + wanted + disorder) AS permit;
        FOR each IN 1 .. wanted + 1 LOOP  -- the horizon is much shorter than a window: none comes after a new one
            bounds[each] := greatest(bounds[each], until[before + each] + periods[i]);
        END LOOP;
    END LOOP;
    LOOP
        slot := greatest(b.last_slot + spacing, now_at - catch_up);
        next_at := greatest(slot, b.last_at, now_at, bounds[made + 1]);
        EXIT WHEN cardinality(numbers) >= wanted OR next_at > now_at + horizon;
        INSERT INTO campaign.permit (bucket, number, at, state, worker)
        VALUES (bucket_, b.next_number, next_at, 'held', worker_);
        numbers := numbers || b.next_number;
        slots := slots || next_at;
        made := made + 1;
        b.next_number := b.next_number + 1;
        b.last_slot := greatest(slot, next_at - catch_up);
        b.last_at := next_at;
    END LOOP;
    IF cardinality(slots) > 0 THEN
        PERFORM campaign.count_permits(bucket_, b.budgets, slots, 1, late);
        remaining := remaining - cardinality(slots);
        IF mod(b.next_number, 64) < cardinality(slots) THEN
            WITH gone AS (
                DELETE FROM campaign.permit
                WHERE bucket = bucket_ AND number < least(b.first_number + 1000, b.next_number - 1000)
                  AND at + late < now_at - b.kept_s RETURNING number)
            SELECT greatest(b.first_number, max(number) + 1) INTO b.first_number FROM gone;
        END IF;
    END IF;
    IF remaining = 0 THEN
        next_at := greatest(next_at, more_at);
        SELECT max(at) + late INTO settled_at FROM campaign.permit
        WHERE bucket = bucket_ AND number >= b.next_number - 1000 AND state = 'held' AND at + late > now_at;
    END IF;
    SELECT count(DISTINCT worker) INTO sharers FROM campaign.permit
    WHERE bucket = bucket_ AND number >= b.next_number - 32 AND at > now_at - 5 AND worker <> '';

    UPDATE campaign.permit_bucket SET first_number = b.first_number, next_number = b.next_number,
        last_slot = b.last_slot, last_at = b.last_at, last_free = b.last_free WHERE name = bucket_;
END;
$$;

-- Tell all workers that a service or a domain is paused, refuses us, or found calls too fast.
--
--   kind: `pause`, which is remembered for workers that start during it; `slow down`, `block` or `abort`
CREATE FUNCTION tell_workers(
    kind text, service_ text, seconds double precision, why_ text, worker_ text, campaign_ text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF kind = 'pause' THEN
        INSERT INTO campaign.pause AS known (service, ends_at, why)
        VALUES (service_, campaign.instant_now() + seconds, why_)
        ON CONFLICT (service) DO UPDATE SET ends_at = excluded.ends_at, why = excluded.why
        WHERE excluded.ends_at > known.ends_at;
    END IF;
    PERFORM pg_notify('campaign_pause', json_build_object('kind', kind, 'service', service_, 'seconds', seconds,
        'why', why_, 'worker', worker_, 'campaign', campaign_)::text);
END;
$$;
