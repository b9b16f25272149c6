-- The aggregates of a campaign, for its report: the same names, parameters and columns as those for SQLite. Each
-- statement reads the log once and returns few rows, or rows that the caller adds up one by one. Instants are parameters.

-- name: minutes
SELECT min(history.at), max(history.at)
FROM history JOIN delivery ON delivery.id = history.delivery_id AND delivery.campaign_id = :campaign
WHERE history.actor = 'run' GROUP BY trunc(history.at / 60) ORDER BY 1;

-- name: calls
-- The calls of Clerk (state issuing) and of the mail server (state sending): when they began, their outcome, and their
-- duration to three digits.
SELECT slot, old_state, new_state,
    CASE WHEN seconds < 0.01 THEN round(greatest(seconds, 0)::numeric, 5)
        WHEN seconds < 0.1 THEN round(seconds::numeric, 4)
        WHEN seconds < 1 THEN round(seconds::numeric, 3)
        WHEN seconds < 10 THEN round(seconds::numeric, 2)
        WHEN seconds < 100 THEN round(seconds::numeric, 1)
        ELSE round(seconds::numeric) END::double precision AS rounded,
    count(*)
FROM (
    SELECT trunc((history.since - :origin) / :width)::bigint AS slot, history.old_state, history.new_state,
        CASE WHEN history.old_state = 'issuing' THEN history.token_at - history.since
            WHEN history.actor = 'run' THEN history.at - history.since END AS seconds
    FROM history JOIN delivery ON delivery.id = history.delivery_id AND delivery.campaign_id = :campaign
    WHERE history.old_state IN ('issuing', 'sending') AND history.actor IN ('run', 'recovery')) AS call
GROUP BY slot, old_state, new_state, rounded;

-- name: fullest
-- The most permits used in any window of :period seconds. A rate limit is for all campaigns of a log together.
SELECT coalesce(max(number), 0) FROM (
    SELECT count(*) OVER (ORDER BY at RANGE BETWEEN :period::double precision PRECEDING AND CURRENT ROW) AS number
    FROM history WHERE new_state = :state) AS permit;

-- name: fullest_domains
SELECT domain, max(number) FROM (
    SELECT domain, count(*) OVER (
        PARTITION BY domain ORDER BY at RANGE BETWEEN :period::double precision PRECEDING AND CURRENT ROW) AS number
    FROM history JOIN delivery ON delivery.id = history.delivery_id
    WHERE new_state = :state AND domain = ANY (ARRAY(SELECT jsonb_array_elements_text(:domains::jsonb)))) AS permit
GROUP BY domain;

-- name: acceptances
-- reply, email, key and user_id are those of the first message with the code.
SELECT found.first, coalesce(found.code, 0), coalesce(found.enhanced, ''), history.reply, email, key, user_id, found.number
FROM (
    SELECT min(history.id) AS first, history.code, history.enhanced, count(*) AS number
    FROM history JOIN delivery ON delivery.id = history.delivery_id AND delivery.campaign_id = :campaign
    WHERE history.new_state = 'sent' AND history.actor = 'run'
    GROUP BY history.code, history.enhanced
    ORDER BY count(*) DESC, history.code NULLS FIRST, history.enhanced NULLS FIRST LIMIT :limit) AS found
JOIN history ON history.id = found.first JOIN delivery ON delivery.id = history.delivery_id
ORDER BY found.number DESC, found.code NULLS FIRST, found.enhanced NULLS FIRST;

-- name: refusals
SELECT history.old_state, history.new_state, history.token_at, coalesce(history.code, 0),
    coalesce(history.enhanced, ''), coalesce(history.reply, history.reason), email, key, user_id
FROM history JOIN delivery ON delivery.id = history.delivery_id AND delivery.campaign_id = :campaign
WHERE history.new_state IN ('queued', 'failed', 'uncertain', 'skipped') AND history.actor = 'run'
    AND (history.new_state <> 'skipped' OR history.code IS NOT NULL);

-- name: domains
-- The largest domains, and those with the most failures; the last column is the number of all domains.
SELECT domain, sent, bounced, failed, uncertain, skipped, waiting, again, number FROM (
    SELECT *, count(*) OVER () AS number, row_number() OVER (ORDER BY recipients DESC, domain) AS place,
        row_number() OVER (ORDER BY failed + uncertain + bounced DESC, recipients DESC, domain) AS trouble
    FROM (
        SELECT domain, count(*) AS recipients, count(*) FILTER (WHERE state = 'sent') AS sent,
            count(*) FILTER (WHERE state = 'bounced') AS bounced, count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE state = 'uncertain') AS uncertain,
            count(*) FILTER (WHERE state = 'skipped') AS skipped,
            count(*) FILTER (WHERE state IN ('queued', 'issuing', 'sending')) AS waiting,
            sum(greatest(attempts - 1, 0)) AS again
        FROM delivery WHERE campaign_id = :campaign AND domain <> '' GROUP BY domain) AS each_domain) AS placed
WHERE place <= :largest OR (failed + uncertain + bounced > 0 AND trouble <= :troubled) ORDER BY place;

-- name: answers
-- The recipients' answers by domain, most answers first: mails that the server had accepted, returned for good, returned
-- for now, marked as spam, and unsubscribed from. Each recipient counts once for each kind. The last columns are the
-- totals of all domains, and the number of domains with an answer.
SELECT domain, mailed, bounced, soft, complaints, unsubscribed, all_mailed, (sum(bounced) OVER ())::bigint,
    (sum(soft) OVER ())::bigint, (sum(complaints) OVER ())::bigint, (sum(unsubscribed) OVER ())::bigint,
    count(*) OVER ()
FROM (
    SELECT domain, count(*) FILTER (WHERE state IN ('sent', 'bounced')) AS mailed,
        (sum(count(*) FILTER (WHERE state IN ('sent', 'bounced'))) OVER ())::bigint AS all_mailed,
        count(*) FILTER (WHERE returned.bounced) AS bounced, count(*) FILTER (WHERE returned.soft) AS soft,
        count(*) FILTER (WHERE returned.complained) AS complaints, count(DISTINCT no.key) AS unsubscribed
    FROM delivery
    LEFT JOIN (
        SELECT history.delivery_id, bool_or(history.new_state = 'bounced' AND history.old_state <> 'bounced') AS bounced,
            bool_or(starts_with(history.reason, :for_now)) AS soft, bool_or(history.reason = :complaint) AS complained
        FROM history WHERE history.actor = 'bounces' GROUP BY history.delivery_id
    ) AS returned ON returned.delivery_id = delivery.id
    LEFT JOIN suppression AS no
        ON no.campaign = :name AND no.key = delivery.key AND no.address = lower(delivery.email) AND no.reason = :unsubscribed
    WHERE campaign_id = :campaign AND slot = '' GROUP BY domain) AS answer
WHERE bounced + soft + complaints + unsubscribed > 0
ORDER BY bounced + soft + complaints + unsubscribed DESC, domain LIMIT :limit;

-- name: attempts
SELECT attempts, state, count(*) FROM delivery WHERE campaign_id = :campaign AND attempts > 0
GROUP BY attempts, state ORDER BY attempts, state;

-- name: explanations
SELECT state, reason, email, key, user_id FROM delivery WHERE campaign_id = :campaign AND reason <> '';

-- name: tokens_carried
-- Tokens for which no revocation was requested: their number, the number not expired, and when the last one expires.
SELECT state, count(*), count(*) FILTER (WHERE token_expires_at > :now), max(token_expires_at)
FROM delivery WHERE campaign_id = :campaign AND token_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM revocation WHERE revocation.token_id = delivery.token_id)
GROUP BY state;

-- name: revocations
-- carried: the token is in a message that arrived or may have arrived.
SELECT outcome, (delivery.token_id IS NOT DISTINCT FROM revocation.token_id AND state IN ('sent', 'uncertain'))
    OR EXISTS (SELECT 1 FROM history WHERE actor IN ('resend', 'renew') AND history.token_id = revocation.token_id) AS carried,
    count(*)
FROM revocation JOIN delivery ON delivery.id = revocation.delivery_id
WHERE revocation.campaign_id = :campaign GROUP BY outcome, carried;

-- name: orphans
SELECT count(*) FROM orphan WHERE campaign_id = :campaign;

-- name: people
SELECT email, key, user_id, line, reason, attempts, updated_at FROM delivery
WHERE campaign_id = :campaign AND state = :state ORDER BY id LIMIT :limit;

-- name: people_signed_in
SELECT email, key, user_id, line, reason, attempts, revocation.settled_at
FROM revocation JOIN delivery ON delivery.id = revocation.delivery_id
WHERE revocation.campaign_id = :campaign AND outcome = 'used'
    AND NOT (delivery.token_id IS NOT DISTINCT FROM revocation.token_id AND state IN ('sent', 'uncertain'))
    AND NOT EXISTS (SELECT 1 FROM history WHERE actor IN ('resend', 'renew') AND history.token_id = revocation.token_id)
ORDER BY revocation.settled_at, revocation.number LIMIT :limit;

-- name: mailings
-- Every message that was or may have been sent, each with the first sign-in that is known after it and not after the
-- next step's, and what is known of its link.
SELECT key, step, batch, state, sent_at,
    (SELECT min(at) FROM sign_in WHERE sign_in.campaign_id = :campaign AND sign_in.key = mail.key
        AND at > mail.sent_at AND at <= coalesce(mail.next_at, at)),
    EXISTS (SELECT 1 FROM stranger WHERE stranger.campaign_id = :campaign AND stranger.key = mail.key),
    token_id IS NOT NULL, coalesce((SELECT outcome FROM revocation WHERE revocation.token_id = mail.token_id), '')
FROM (
    SELECT key, step, step_number, batch, state, sent_at, token_id,
        lead(sent_at) OVER (PARTITION BY key ORDER BY step_number) AS next_at
    FROM delivery
    WHERE campaign_id = :campaign AND slot = '' AND state IN ('sent', 'uncertain', 'bounced') AND sent_at IS NOT NULL
) AS mail ORDER BY key, step_number;

-- name: queue_order
-- All recipients in the order in which they are mailed.
SELECT key, state, actor, batch, sent_at, updated_at,
    EXISTS (SELECT 1 FROM stranger WHERE stranger.campaign_id = :campaign AND stranger.key = delivery.key)
FROM delivery WHERE campaign_id = :campaign AND slot = '' AND step_number = 0
ORDER BY due_at, position, id;

-- name: is_anybody_held_out
SELECT EXISTS (SELECT 1 FROM delivery WHERE campaign_id = :campaign AND state = 'skipped' AND actor = 'holdout');

-- name: sign_ins_of_held_out
SELECT sign_in.key, sign_in.at FROM sign_in JOIN delivery
    ON delivery.campaign_id = sign_in.campaign_id AND delivery.key = sign_in.key AND delivery.slot = ''
WHERE sign_in.campaign_id = :campaign AND delivery.step_number = 0 AND delivery.actor = 'holdout'
ORDER BY sign_in.key, sign_in.at;

-- name: inquiries
SELECT began, ended FROM inquiry WHERE campaign_id = :campaign ORDER BY began;
