-- The send log's statements, by name: the same names, parameters and columns as those for SQLite. Instants are
-- parameters: no statement reads the current time. A cast says what a parameter is where its place does not.
-- `many_rows.py` makes statements for many rows of some: there the line with WHERE or ON CONFLICT comes after `FROM`.

-- name: find_campaign
SELECT id, message_key, templates, source, source_digest, enlistment, steps FROM campaign WHERE name = :name;

-- name: latest_instant
SELECT coalesce(max(at), 0) FROM history;

-- name: add_campaign
INSERT INTO campaign (name, message_key) VALUES (:name, :message_key);

-- name: note_source
UPDATE campaign SET source = :source, source_digest = :source_digest, enlistment = :enlistment, steps = :steps,
    reading_after = NULL, reading_step = ''
WHERE id = :campaign;

-- name: note_templates
UPDATE campaign SET templates = :templates WHERE id = :campaign;

-- name: file_of_campaign
SELECT file FROM campaign WHERE id = :campaign;

-- name: note_file
UPDATE campaign SET file = :file WHERE id = :campaign;

-- name: latest_entry
-- The last entries are the latest ones, unless the clock was set back a while ago.
SELECT coalesce(max(at), 0) FROM (SELECT at FROM history ORDER BY id DESC LIMIT 10000) AS last;

-- name: forget_unmailable
DELETE FROM delivery WHERE campaign_id = :campaign AND slot <> '' AND source = :source;

-- name: add_deliveries
-- The caller names the columns. The rows get their ids in the order in which they come.
COPY delivery ({columns}) FROM STDIN;

-- name: known_keys
-- OFFSET 0 lets the planner look each key up in the index, also when it does not know yet how many rows there are.
SELECT found.* FROM (SELECT DISTINCT jsonb_array_elements_text(:keys::jsonb) AS key) AS wanted CROSS JOIN LATERAL (
    SELECT key, step, id, enlistment, state, digest, line, step_number, actor, reason FROM delivery
    WHERE campaign_id = :campaign AND delivery.key = wanted.key AND slot = '' OFFSET 0) AS found;

-- name: touch_delivery
-- A row that waits for its due time is due at the new one; of a later step, the run works it out again.
UPDATE delivery SET enlistment = :enlistment, line = :line, source = :source, step = :step, step_number = :step_number,
    position = :position, due_at = CASE WHEN :step_number::integer = 0 THEN :due_at::double precision ELSE due_at END,
    not_before = CASE
        WHEN waiting IN ('due', 'window') THEN CASE WHEN :step_number::integer = 0 THEN :due_at::double precision ELSE 0 END
        WHEN waiting = 'step' AND :step_number::integer = 0 THEN :due_at::double precision ELSE not_before END,
    waiting = CASE WHEN waiting = 'step' AND :step_number::integer = 0 THEN '' ELSE waiting END
WHERE id = :id;

-- name: change_delivery
-- A worker that has claimed the row has its old data, and loses it.
UPDATE delivery SET enlistment = :enlistment, line = :line, source = :source, step = :step, step_number = :step_number,
    email = :email, domain = :domain, user_id = :user_id, variables = :variables, digest = :digest,
    position = :position, due_at = CASE WHEN :step_number::integer = 0 THEN :due_at::double precision ELSE due_at END,
    not_before = CASE
        WHEN waiting IN ('due', 'window') THEN CASE WHEN :step_number::integer = 0 THEN :due_at::double precision ELSE 0 END
        WHEN waiting = 'step' AND :step_number::integer = 0 THEN :due_at::double precision ELSE not_before END,
    waiting = CASE WHEN waiting = 'step' AND :step_number::integer = 0 THEN '' ELSE waiting END,
    worker_id = NULL, fence = fence + 1
WHERE id = :id AND state IN ('queued', 'failed', 'skipped');

-- name: requeue_changed
UPDATE delivery SET state = 'queued', reason = '', actor = 'enlist', updated_at = :now::double precision,
    not_before = CASE WHEN step_number > 0 OR (batch IS NULL AND :in_batches::boolean) THEN :never::double precision
        ELSE due_at END,
    waiting = CASE WHEN step_number > 0 THEN 'step' WHEN batch IS NULL AND :in_batches::boolean THEN 'batch'
        WHEN due_at > :now::double precision THEN 'due' ELSE '' END
WHERE id = :id AND state = 'skipped' AND actor NOT IN ('skip', 'holdout');

-- name: requeue_returned
UPDATE delivery SET state = 'queued', reason = '', actor = 'enlist', updated_at = :now::double precision,
    not_before = CASE WHEN step_number > 0 OR (batch IS NULL AND :in_batches::boolean) THEN :never::double precision
        ELSE due_at END,
    waiting = CASE WHEN step_number > 0 THEN 'step' WHEN batch IS NULL AND :in_batches::boolean THEN 'batch'
        WHEN due_at > :now::double precision THEN 'due' ELSE '' END
WHERE campaign_id = :campaign AND enlistment = :enlistment AND state = 'skipped' AND actor = 'missing';

-- name: begin_reading
UPDATE campaign SET reading_after = (SELECT coalesce(max(id), 0) FROM delivery), reading_step = :step WHERE id = :campaign;

-- name: unfinished_reading
SELECT reading_after, reading_step FROM campaign WHERE id = :campaign AND reading_after IS NOT NULL;

-- name: forget_reading
-- The rows that could not be mailed are gone, so the CSV of the last enlistment has to be read again.
UPDATE campaign SET reading_after = NULL, reading_step = '', source_digest = '' WHERE id = :campaign;

-- name: keep_former
INSERT INTO former_delivery
    (campaign_id, id, enlistment, source, line, step, step_number, position, due_at, not_before, waiting, state, reason,
     actor, updated_at, email, domain, user_id, variables, digest)
SELECT campaign_id, id, enlistment, source, line, step, step_number, position, due_at, not_before, waiting, state, reason,
    actor, updated_at, CASE WHEN :has_changed::boolean THEN email END, CASE WHEN :has_changed::boolean THEN domain END,
    CASE WHEN :has_changed::boolean THEN user_id END, CASE WHEN :has_changed::boolean THEN variables END,
    CASE WHEN :has_changed::boolean THEN digest END
FROM delivery WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint));

-- name: rows_after
-- In the order of the primary key, as many as are wanted.
SELECT id FROM delivery WHERE campaign_id = :campaign AND id > :after ORDER BY id LIMIT :limit;

-- name: delete_new
-- All but those that an operator has skipped meanwhile, unless an older row of the key says that, too.
DELETE FROM delivery WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint))
  AND (actor = 'enlist' OR EXISTS (
    SELECT 1 FROM delivery AS older
    WHERE older.campaign_id = delivery.campaign_id AND older.key = delivery.key AND older.slot = ''
      AND older.id <= :first AND older.state = 'skipped' AND older.actor = 'skip'));

-- name: leave_out
-- A new row that an operator has skipped meanwhile stays, and is in no CSV.
UPDATE delivery SET enlistment = 0 WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint));

-- name: former_rows
SELECT id FROM former_delivery WHERE campaign_id = :campaign ORDER BY id LIMIT :limit;

-- name: restore_skipped
-- First of the two: a row that was queued again because its data had changed, unless something else has changed it since.
UPDATE delivery SET state = former.state, reason = former.reason, actor = former.actor, updated_at = :now,
    worker_id = NULL, fence = delivery.fence + 1,
    not_before = former.not_before, waiting = former.waiting
FROM former_delivery AS former
WHERE delivery.id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint))
  AND former.id = delivery.id AND former.campaign_id = :campaign
  AND former.state = 'skipped' AND delivery.state = 'queued' AND delivery.actor = 'enlist';

-- name: restore_former
-- A row whose state has changed since waits for what it waits for now.
UPDATE delivery SET enlistment = former.enlistment, source = former.source, line = former.line, step = former.step,
    step_number = former.step_number, position = former.position, due_at = former.due_at,
    not_before = CASE WHEN delivery.updated_at = former.updated_at THEN former.not_before ELSE delivery.not_before END,
    waiting = CASE WHEN delivery.updated_at = former.updated_at THEN former.waiting ELSE delivery.waiting END,
    email = coalesce(former.email, delivery.email), domain = coalesce(former.domain, delivery.domain),
    user_id = CASE WHEN former.digest IS NULL THEN delivery.user_id ELSE former.user_id END,
    variables = coalesce(former.variables, delivery.variables), digest = coalesce(former.digest, delivery.digest)
FROM former_delivery AS former
WHERE delivery.id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint))
  AND former.id = delivery.id AND former.campaign_id = :campaign;

-- name: forget_former
DELETE FROM former_delivery WHERE campaign_id = :campaign
  AND id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint));

-- name: count_shared_addresses
SELECT count(*) FROM (
    SELECT 1 FROM delivery WHERE campaign_id = :campaign AND enlistment = :enlistment AND slot = '' AND step_number = 0
    GROUP BY lower(email) HAVING count(*) > 1) AS shared;

-- name: rename_first_step
-- A row stays as it is if its key has the other step already.
UPDATE delivery SET step = :after::text
WHERE campaign_id = :campaign AND step = :before AND step_number = 0 AND NOT EXISTS (
    SELECT 1 FROM delivery AS other
    WHERE other.campaign_id = delivery.campaign_id AND other.key = delivery.key AND other.step = :after::text
      AND other.slot = delivery.slot);

-- name: last_batch
SELECT coalesce(max(number), 0) FROM batch WHERE campaign_id = :campaign;

-- name: add_batch
INSERT INTO batch (campaign_id, number, at, size, is_limited)
VALUES (:campaign, :number, :now, :size, :is_limited::boolean)
ON CONFLICT (campaign_id, number) DO UPDATE SET size = batch.size + excluded.size;

-- name: find_batch
SELECT number, at, size FROM batch WHERE campaign_id = :campaign AND number = :number;

-- name: to_take_back
-- The rows that no limited batch has taken up and that were never tried, though a run without a limit let them be due.
SELECT id, batch FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND step_number = 0 AND attempts = 0
  AND (batch IN (SELECT number FROM batch WHERE campaign_id = :campaign AND NOT is_limited)
       OR (batch IS NULL AND not_before < :never));

-- name: take_back
UPDATE delivery SET batch = NULL, not_before = :never, waiting = 'batch'
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint));

-- name: shrink_batch
UPDATE batch SET size = size - :taken WHERE campaign_id = :campaign AND number = :number;

-- name: drop_empty_batches
DELETE FROM batch WHERE campaign_id = :campaign AND size <= 0;

-- name: leftovers_first
UPDATE delivery SET not_before = 0
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment
  AND not_before > :above AND not_before <= :now AND batch IS NOT NULL AND batch <> :number;

-- name: last_rank
SELECT coalesce(max(not_before), 0) FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND not_before < :first_instant;

-- name: pick_batch
-- A limit of -1 is none.
SELECT id, batch IS NULL FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND step_number = 0
  AND (batch IS NULL OR batch = :number)
ORDER BY not_before, id LIMIT nullif(:limit::bigint, -1);

-- name: pick_batch_by_position
SELECT id, batch IS NULL FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND step_number = 0
  AND (batch IS NULL OR batch = :number)
ORDER BY position, id LIMIT nullif(:limit::bigint, -1);

-- name: take_row
UPDATE delivery SET batch = :number, not_before = greatest(:rank::double precision, due_at),
    waiting = CASE WHEN due_at > :now THEN 'due' ELSE '' END
WHERE id = :id;

-- name: take_rest
UPDATE delivery SET batch = :number,
    not_before = CASE WHEN waiting IN ('', 'due', 'batch') THEN due_at ELSE not_before END,
    waiting = CASE WHEN waiting NOT IN ('', 'due', 'batch') THEN waiting WHEN due_at > :now THEN 'due' ELSE '' END
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND step_number = 0 AND batch IS NULL;

-- name: last_draw
SELECT holdout, drawn FROM campaign WHERE id = :campaign;

-- name: note_draw
UPDATE campaign SET holdout = :percent, drawn = :enlistment WHERE id = :campaign;

-- name: to_draw
-- The rows on which a draw has a bearing: queued, held out, or mailed.
SELECT id, step_number, batch, key, state FROM delivery
WHERE campaign_id = :campaign AND enlistment = :enlistment
  AND (state IN ('queued', 'sent', 'uncertain', 'bounced') OR (state = 'skipped' AND actor = 'holdout'))
ORDER BY id;

-- name: to_hold_out
-- Those of the drawn rows of whose keys no mail of a step was or may have been sent.
SELECT id, step_number, batch FROM delivery
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint)) AND state = 'queued' AND NOT EXISTS (
    SELECT 1 FROM delivery AS other
    WHERE other.campaign_id = delivery.campaign_id AND other.key = delivery.key AND other.slot = ''
      AND (other.sent_at IS NOT NULL OR other.state IN ('issuing', 'sending', 'sent', 'uncertain', 'bounced')));

-- name: hold_out
UPDATE delivery SET state = 'skipped', actor = 'holdout', reason = 'held out', batch = NULL, not_before = 0, waiting = '',
    worker_id = NULL, fence = delivery.fence + 1, updated_at = :now
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint));

-- name: release_held_out
UPDATE delivery SET state = 'queued', reason = '', actor = 'enlist', updated_at = :now::double precision,
    not_before = CASE WHEN step_number > 0 OR :in_batches::boolean THEN :never::double precision ELSE due_at END,
    waiting = CASE WHEN step_number > 0 THEN 'step' WHEN :in_batches::boolean THEN 'batch'
        WHEN due_at > :now::double precision THEN 'due' ELSE '' END
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint))
  AND state = 'skipped' AND actor = 'holdout';

-- name: count_held_out
SELECT count(*) FROM delivery
WHERE campaign_id = :campaign AND state = 'skipped' AND enlistment = :enlistment AND step_number = 0 AND actor = 'holdout';

-- name: release_steps
UPDATE delivery SET not_before = 0, waiting = 'due', batch = coalesce(before.batch, delivery.batch)
FROM delivery AS before
WHERE delivery.campaign_id = :campaign AND delivery.state = 'queued' AND delivery.enlistment = :enlistment
  AND delivery.not_before = :never AND delivery.waiting = 'step'
  AND before.campaign_id = delivery.campaign_id AND before.key = delivery.key AND before.slot = ''
  AND before.enlistment = delivery.enlistment AND before.step_number = delivery.step_number - 1 AND before.state = 'sent';

-- name: hold_steps
-- A later step waits for the one before it, also when that one is to be sent again.
UPDATE delivery SET not_before = :never, waiting = 'step'
WHERE campaign_id = :campaign AND state = 'queued' AND step_number > 0 AND waiting <> 'step' AND NOT EXISTS (
    SELECT 1 FROM delivery AS before
    WHERE before.campaign_id = delivery.campaign_id AND before.key = delivery.key AND before.slot = ''
      AND before.enlistment = delivery.enlistment AND before.step_number = delivery.step_number - 1
      AND before.state = 'sent');

-- name: address_index
SELECT 1 FROM pg_catalog.pg_class WHERE oid = to_regclass('campaign.delivery_address');

-- name: index_addresses
-- For the frequency cap only: a campaign without one does not pay for it.
CALL campaign.index_addresses();

-- name: sent_by_quarter
-- Every zone's midnight is at a quarter of an hour.
SELECT trunc(at / 900)::bigint * 900, count(*) FROM history WHERE new_state = 'sending' GROUP BY 1 ORDER BY 1;

-- name: note_quota
UPDATE campaign SET quota = :quota, quota_until = :until WHERE id = :campaign;

-- name: recover_unnamed
-- This one and the next four leave the rows of living workers alone.
INSERT INTO orphan (campaign_id, delivery_id, at, expires_at)
SELECT campaign_id, id, updated_at, coalesce(token_expires_at, updated_at) FROM delivery
WHERE state = 'issuing' AND token_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = delivery.worker_id);

-- name: recover_named
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery
WHERE state = 'issuing' AND token_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = delivery.worker_id)
ORDER BY id ON CONFLICT DO NOTHING;

-- name: recover_issuing
UPDATE delivery SET state = 'queued', actor = 'recovery', reason = 'the run ended while it requested a token',
    token_id = NULL, not_before = 0, waiting = '', updated_at = :now, worker_id = NULL, fence = fence + 1
WHERE state = 'issuing'
  AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = delivery.worker_id);

-- name: recover_sending
UPDATE delivery SET state = 'uncertain', actor = 'recovery',
    reason = 'the run ended before the server replied: the message may have been sent', updated_at = :now,
    worker_id = NULL, fence = fence + 1
WHERE state = 'sending'
  AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = delivery.worker_id);

-- name: recover_put_off
-- Only waits that a clock measured: a row may be due by its schedule, or have no instant at all, however far ahead.
UPDATE delivery SET not_before = :latest WHERE state = 'queued' AND not_before > :latest AND waiting IN ('', 'retry');

-- name: claim
-- The due rows after a cursor. The comparison of two columns starts where the cursor is in the index. CASE, because the
-- planner takes `<> ALL` for true of few rows, and would read and sort the table.
SELECT id, key, email, user_id, line, variables, attempts, faults, generation, step, step_number, coalesce(batch, 0),
    due_at, replaced_token, not_before
FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment
  AND (not_before, id) > (:after::double precision, :after_id::bigint) AND not_before <= :now
  AND (:domain::text IS NULL OR domain = :domain::text)
  AND CASE WHEN domain = ANY (ARRAY(SELECT jsonb_array_elements_text(:domains::jsonb))) THEN false ELSE true END
ORDER BY not_before, id LIMIT :limit;

-- name: next_due
SELECT not_before FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND not_before > :after
  AND not_before < :never AND worker_id IS NULL
  AND CASE WHEN domain = ANY (ARRAY(SELECT jsonb_array_elements_text(:domains::jsonb))) THEN false ELSE true END
ORDER BY not_before LIMIT 1;

-- name: put_off
-- No change of state, so the history gets no entry.
UPDATE delivery SET not_before = :not_before, waiting = :waiting, reason = :reason,
    due_at = CASE WHEN :due_at::double precision = 0 THEN due_at ELSE :due_at::double precision END, worker_id = NULL
WHERE id = :id AND state = 'queued';

-- name: skip_row
UPDATE delivery SET state = 'skipped', actor = 'run', reason = :reason, waiting = '', updated_at = :now, worker_id = NULL
WHERE id = :id AND state = 'queued';

-- name: end_sequence
-- The later steps of a row that was skipped.
UPDATE delivery SET state = 'skipped', actor = 'run', reason = this.reason, waiting = '',
    worker_id = NULL, fence = delivery.fence + 1, updated_at = :now
FROM delivery AS this
WHERE this.id = :id AND this.state = 'skipped' AND delivery.campaign_id = this.campaign_id AND delivery.key = this.key
  AND delivery.slot = '' AND delivery.step_number > this.step_number AND delivery.state = 'queued';

-- name: release_next
UPDATE delivery SET not_before = :at, waiting = 'due', batch = coalesce(this.batch, delivery.batch)
FROM delivery AS this
WHERE this.id = :id AND this.state = 'sent' AND delivery.campaign_id = this.campaign_id AND delivery.key = this.key
  AND delivery.slot = '' AND delivery.enlistment = this.enlistment AND delivery.step_number = this.step_number + 1
  AND delivery.state = 'queued' AND delivery.waiting = 'step';

-- name: earlier_steps
SELECT later.id, earlier.step, earlier.state, earlier.sent_at, earlier.token_id, earlier.user_id
FROM delivery AS later CROSS JOIN delivery AS earlier
WHERE later.id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint))
  AND earlier.campaign_id = later.campaign_id
  AND earlier.key = later.key AND earlier.slot = '' AND earlier.enlistment = later.enlistment
  AND earlier.step_number < later.step_number
ORDER BY later.id, earlier.step_number;

-- name: ask_revocation
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery
WHERE campaign_id = :campaign AND key = :key AND slot = '' AND token_id = :token_id
ON CONFLICT DO NOTHING;

-- name: outcome_of_revocation
SELECT outcome FROM revocation WHERE token_id = :token_id;

-- name: capped_until
-- When the oldest of the mails that fill an address's share leaves the period.
SELECT sent_at + :period FROM delivery
WHERE lower(email) = :address AND sent_at > :since AND state IN ('sending', 'sent', 'uncertain', 'bounced') AND id <> :id
ORDER BY sent_at DESC LIMIT 1 OFFSET :count::bigint - 1;

-- name: issuing
UPDATE delivery SET state = 'issuing', actor = 'run', attempts = attempts + 1, generation = generation + 1,
    user_id = :user_id, token_id = NULL, token_at = NULL, token_expires_at = :expires_at, message_id = NULL,
    server = NULL, code = NULL, enhanced = NULL, reply = NULL, reason = '', waiting = '', updated_at = :now
WHERE id = :id AND state = 'queued';

-- name: issued
-- The state is an expression, or the planner may read the index of all rows in hand instead of one row.
UPDATE delivery SET token_id = :token_id, token_at = :now
WHERE id = :id AND state || '' = 'issuing';

-- name: sending
UPDATE delivery SET state = 'sending', actor = 'run', attempts = :attempt, message_id = :message_id, server = :server,
    code = NULL, enhanced = NULL, reply = NULL, reason = '', waiting = '', sent_at = :now, updated_at = :now
WHERE id = :id AND state = :state;

-- name: settle
UPDATE delivery SET state = :state::text, actor = 'run', reason = :reason, code = :code::integer,
    enhanced = :enhanced::text, reply = :reply::text, faults = coalesce(:faults::integer, faults),
    token_id = CASE WHEN :state::text = 'queued' THEN NULL ELSE token_id END, not_before = :not_before,
    waiting = CASE WHEN :state::text = 'queued' THEN :waiting::text ELSE '' END, updated_at = :now, worker_id = NULL
WHERE id = :id AND state IN ('queued', 'issuing', 'sending');

-- name: put_back
UPDATE delivery SET state = 'queued', actor = 'breaker', reason = :reason, not_before = 0, waiting = '', token_id = NULL,
    updated_at = :now
WHERE id = :id AND state = 'failed' AND actor = 'run';

-- name: revoke_token
-- A token with a revocation keeps it: the update changes nothing, but counts as the one changed row.
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at) SELECT :token_id, :campaign, :id, :now
ON CONFLICT (token_id) DO UPDATE SET asked_at = revocation.asked_at;

-- name: user_creation
SELECT delivery_id, asked_at, settled_at, outcome, user_id FROM user_creation WHERE address = :address;

-- name: intend_user
INSERT INTO user_creation (address, campaign_id, delivery_id, asked_at) VALUES (:address, :campaign, :id, :now)
ON CONFLICT (address) DO UPDATE SET campaign_id = excluded.campaign_id, delivery_id = excluded.delivery_id,
    asked_at = excluded.asked_at, settled_at = NULL, outcome = NULL, user_id = NULL;

-- name: settle_user
UPDATE user_creation SET settled_at = :now, outcome = :outcome, user_id = :user_id
WHERE address = :address AND settled_at IS NULL;

-- name: pending_users
SELECT address FROM user_creation WHERE settled_at IS NULL;

-- name: count_users
SELECT count(*) FILTER (WHERE outcome = 'created'), count(*) FILTER (WHERE settled_at IS NULL) FROM user_creation
WHERE campaign_id = :campaign;

-- name: begun_keys
-- The recipients for whom a token or a user was asked for, or to whom a mail went out.
SELECT key FROM delivery WHERE campaign_id = :campaign AND slot = '' AND attempts > 0
UNION SELECT key FROM delivery WHERE id IN (SELECT delivery_id FROM user_creation WHERE campaign_id = :campaign);

-- name: count_orphan
INSERT INTO orphan (campaign_id, delivery_id, at, expires_at)
SELECT campaign_id, id, :now::double precision, coalesce(token_expires_at, :now::double precision) FROM delivery
WHERE id = :id;

-- name: try_revocations
WITH tried AS (
    UPDATE revocation SET unanswered = unanswered + 1
    WHERE token_id IN (
        SELECT token_id FROM revocation WHERE campaign_id = :campaign AND settled_at IS NULL ORDER BY number LIMIT :limit)
    RETURNING token_id, unanswered, number)
SELECT token_id, unanswered > 1 FROM tried ORDER BY number;

-- name: undo_attempt
UPDATE revocation SET unanswered = unanswered - 1 WHERE token_id = ANY (ARRAY(SELECT jsonb_array_elements_text(:tokens::jsonb)));

-- name: settle_revocation
-- The first answer stands: another one to the same token says nothing more.
UPDATE revocation SET settled_at = :now, outcome = :outcome WHERE token_id = :token_id AND settled_at IS NULL;

-- name: spent
-- Clerk counts the calls that create users as those for tokens.
SELECT max(at), count(*) FROM (
    SELECT at FROM history WHERE new_state = :state::text AND at > :since::double precision
    UNION ALL SELECT asked_at FROM user_creation WHERE :state::text = 'issuing' AND asked_at > :since::double precision
) AS permit
GROUP BY trunc(at / :piece) ORDER BY 1;

-- name: spent_domain
SELECT max(history.at), count(*) FROM history JOIN delivery ON delivery.id = history.delivery_id
WHERE history.new_state = :state AND history.at > :since AND delivery.domain = :domain
GROUP BY trunc(history.at / :piece) ORDER BY 1;

-- name: progress
-- Who is held out may be drawn anew by the next run.
SELECT key, step, CASE WHEN state = 'skipped' AND actor = 'holdout' THEN 'queued' ELSE state END, sent_at, not_before, batch
FROM delivery WHERE campaign_id = :campaign AND slot = '';

-- name: suppressed_addresses
SELECT address FROM suppression WHERE list IN ('', :list);

-- name: retry
UPDATE delivery SET state = 'queued', actor = 'retry', reason = '', faults = 0, not_before = 0, waiting = '',
    token_id = NULL, updated_at = :now
WHERE campaign_id = :campaign AND slot = '' AND state = :state AND actor <> 'holdout'
  AND CASE WHEN :email::text IS NULL THEN actor <> 'skip' ELSE lower(email) = lower(:email::text COLLATE "C") END;

-- name: skip_key
UPDATE delivery SET state = 'skipped', actor = 'skip', reason = :reason, waiting = '',
    worker_id = NULL, fence = delivery.fence + 1, updated_at = :now
WHERE campaign_id = :campaign AND key = :key AND slot = '' AND state IN ('queued', 'failed', 'skipped');

-- name: state_of_key
-- Of several steps, the one under way; otherwise the last one.
SELECT state FROM delivery WHERE campaign_id = :campaign AND key = :key AND slot = ''
ORDER BY state IN ('issuing', 'sending') DESC, step_number DESC LIMIT 1;

-- name: make_present
CREATE TEMP TABLE IF NOT EXISTS present (key text COLLATE "C" PRIMARY KEY);

-- name: add_present
INSERT INTO present (key) SELECT :key
ON CONFLICT DO NOTHING;

-- name: find_missing
SELECT id FROM delivery
WHERE campaign_id = :campaign AND slot = '' AND state = 'queued'
  AND NOT EXISTS (SELECT 1 FROM present WHERE present.key = delivery.key);

-- name: skip_missing
UPDATE delivery SET state = 'skipped', actor = 'missing', reason = :reason, waiting = '', worker_id = NULL,
    fence = delivery.fence + 1, updated_at = :now
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint)) AND state = 'queued';

-- name: forget_source
UPDATE campaign SET source_digest = '' WHERE id = :campaign;

-- name: withdrawn
-- Whether an operator skipped the row while a run had claimed it.
SELECT 1 FROM delivery WHERE id = :id AND state = 'skipped' AND actor IN ('skip', 'missing');

-- name: any_obstacle
-- Whether `withdrawn` or `suppressed` would find something for any of these rows and addresses.
SELECT 1 FROM delivery WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint))
  AND state = 'skipped' AND actor IN ('skip', 'missing')
UNION ALL
SELECT 1 FROM suppression WHERE address = ANY (ARRAY(SELECT jsonb_array_elements_text(:addresses::jsonb))) AND list IN ('', :list)
LIMIT 1;

-- name: keep_uncertain
UPDATE delivery SET state = 'sent', actor = 'resolve', reason = 'taken as sent by an operator', updated_at = :now
WHERE campaign_id = :campaign AND state = 'uncertain'
  AND (:email::text IS NULL OR lower(email) = lower(:email::text COLLATE "C"));

-- name: revoke_uncertain
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery
WHERE campaign_id = :campaign AND state = 'uncertain' AND token_id IS NOT NULL
  AND (:email::text IS NULL OR lower(email) = lower(:email::text COLLATE "C")) ORDER BY id
ON CONFLICT DO NOTHING;

-- name: keep_arrived
UPDATE delivery SET state = 'sent', actor = 'resolve', reason = 'its token had been used: the mail arrived', updated_at = :now
WHERE campaign_id = :campaign AND state = 'uncertain'
  AND token_id IN (SELECT token_id FROM revocation WHERE campaign_id = :campaign AND outcome = 'used')
  AND (:email::text IS NULL OR lower(email) = lower(:email::text COLLATE "C"));

-- name: resend_uncertain
UPDATE delivery SET state = 'queued', actor = 'resolve', reason = 'to be sent again by an operator', faults = 0,
    not_before = 0, waiting = '', token_id = NULL, generation = generation + 1, updated_at = :now
WHERE campaign_id = :campaign AND state = 'uncertain'
  AND (token_id IS NULL OR token_id IN (SELECT token_id FROM revocation WHERE settled_at IS NOT NULL))
  AND (:email::text IS NULL OR lower(email) = lower(:email::text COLLATE "C"));

-- name: revoke_all
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery WHERE campaign_id = :campaign AND token_id IS NOT NULL ORDER BY id
ON CONFLICT DO NOTHING;

-- name: note_revocation_of_all
UPDATE campaign SET revoked_at = :now WHERE id = :campaign;

-- name: count_live_links
-- The tokens that may still be used to sign in.
SELECT count(*) FROM delivery
WHERE campaign_id = :campaign AND token_id IS NOT NULL AND token_expires_at > :now AND NOT EXISTS (
    SELECT 1 FROM revocation WHERE revocation.token_id = delivery.token_id AND settled_at IS NOT NULL);

-- name: states_of_address
SELECT state, count(*) FROM delivery
WHERE campaign_id = :campaign AND slot = '' AND lower(email) = lower(:email::text COLLATE "C") GROUP BY state;

-- name: count_resendable
-- Without an address: the messages whose token was revoked, and not those whose reader had signed in with it. Of the
-- steps of a key, the latest one that went out.
SELECT count(*) FROM delivery
WHERE campaign_id = :campaign AND state = 'sent' AND CASE WHEN :email::text IS NULL THEN
    token_id IN (SELECT token_id FROM revocation WHERE campaign_id = :campaign AND outcome IS DISTINCT FROM 'used')
    ELSE lower(email) = lower(:email::text COLLATE "C") END
  AND NOT EXISTS (
    SELECT 1 FROM delivery AS later
    WHERE later.campaign_id = delivery.campaign_id AND later.key = delivery.key AND later.slot = ''
      AND later.step_number > delivery.step_number AND later.state IN ('issuing', 'sending', 'sent', 'uncertain', 'bounced'));

-- name: revoke_resendable
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery
WHERE campaign_id = :campaign AND state = 'sent' AND token_id IS NOT NULL
  AND lower(email) = lower(:email::text COLLATE "C") ORDER BY id
ON CONFLICT DO NOTHING;

-- name: resend
UPDATE delivery SET state = 'queued', actor = 'resend', reason = 'to be sent again by an operator', faults = 0,
    not_before = 0, waiting = '', token_id = NULL, replaced_token = NULL, generation = generation + 1, updated_at = :now
WHERE campaign_id = :campaign AND state = 'sent' AND CASE WHEN :email::text IS NULL THEN
    token_id IN (SELECT token_id FROM revocation WHERE campaign_id = :campaign AND outcome <> 'used')
    ELSE lower(email) = lower(:email::text COLLATE "C")
        AND (token_id IS NULL OR token_id IN (SELECT token_id FROM revocation WHERE settled_at IS NOT NULL)) END
  AND NOT EXISTS (
    SELECT 1 FROM delivery AS later
    WHERE later.campaign_id = delivery.campaign_id AND later.key = delivery.key AND later.slot = ''
      AND later.step_number > delivery.step_number AND later.state IN ('issuing', 'sending', 'sent', 'uncertain', 'bounced'));

-- name: counts
SELECT state, count(*) FROM delivery WHERE campaign_id = :campaign GROUP BY state;

-- name: counts_here
SELECT state, count(*) FROM delivery WHERE campaign_id = :campaign AND enlistment = :enlistment GROUP BY state;

-- name: count_elsewhere
SELECT count(*) FROM delivery WHERE campaign_id = :campaign AND state = 'queued' AND enlistment <> :enlistment;

-- name: counts_of_steps
SELECT step, state, count(*) FROM delivery WHERE campaign_id = :campaign GROUP BY step, state;

-- name: waiting_here
SELECT waiting, count(*), min(not_before) FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND not_before > :now GROUP BY waiting;

-- name: count_due
SELECT count(*) FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND not_before <= :now;

-- name: steps_and_quota
SELECT steps, quota, quota_until, reading_after IS NOT NULL FROM campaign WHERE id = :campaign;

-- name: batches
SELECT number, at, size FROM batch WHERE campaign_id = :campaign ORDER BY number DESC LIMIT :limit;

-- name: counts_of_batches
-- The caller names the batches: a column for each.
SELECT state, {columns} FROM delivery
WHERE campaign_id = :campaign AND step_number = 0 GROUP BY state;

-- name: column_of_batch
count(*) FILTER (WHERE batch = {number})

-- name: count_orphans
SELECT count(*), max(expires_at) FROM orphan WHERE campaign_id = :campaign AND expires_at > :now;

-- name: count_revocations
-- Pending revocations, and tokens that were used although no message that may have arrived carries them.
SELECT count(*) FILTER (WHERE settled_at IS NULL),
    count(*) FILTER (WHERE outcome = 'used' AND NOT EXISTS (
        SELECT 1 FROM delivery WHERE delivery.id = revocation.delivery_id AND delivery.token_id = revocation.token_id
            AND delivery.state IN ('sent', 'uncertain'))
        AND NOT EXISTS (SELECT 1 FROM history WHERE actor IN ('resend', 'renew') AND history.token_id = revocation.token_id))
FROM revocation WHERE campaign_id = :campaign;

-- name: anybody
SELECT 1 FROM delivery LIMIT 1;

-- name: campaigns
SELECT id, name FROM campaign ORDER BY name;

-- name: explanations_here
SELECT state, reason, line, email, key, user_id FROM delivery
WHERE campaign_id = :campaign AND enlistment = :enlistment AND reason <> '' ORDER BY id;

-- name: rows
SELECT key, user_id, email, state, reason, attempts, message_id, token_id, code, enhanced, reply, updated_at,
    step, batch, due_at, waiting, not_before
FROM delivery WHERE campaign_id = :campaign AND (:state::text IS NULL OR state = :state::text) ORDER BY id;

-- name: row_of_message
SELECT campaign.name, key, user_id, email, state, reason, attempts, message_id, token_id, code, enhanced, reply, updated_at,
    step, batch, due_at, waiting, not_before
FROM delivery JOIN campaign ON campaign.id = delivery.campaign_id
WHERE delivery.id = coalesce(
    (SELECT id FROM delivery WHERE message_id = :message_id LIMIT 1),
    (SELECT delivery_id FROM history WHERE message_id = :message_id LIMIT 1));

-- name: tag_keys
SELECT id, secret FROM tag_key;

-- name: add_tag_key
INSERT INTO tag_key (id, secret) VALUES (:id, :secret);

-- name: count_forged
UPDATE tag_key SET forged = forged + 1 WHERE id = (SELECT max(id) FROM tag_key);

-- name: forged
SELECT sum(forged) FROM tag_key;

-- name: note_list
INSERT INTO campaign_list (campaign_id, list) VALUES (:campaign, :list) ON CONFLICT DO NOTHING;

-- name: suppressed
SELECT reason, at, list FROM suppression WHERE address = :address AND list IN ('', :list) ORDER BY list LIMIT 1;

-- name: suppress_refused
-- An address with a suppression keeps it: the update changes nothing, but counts as the one changed row.
INSERT INTO suppression (address, list, reason, at, campaign, key)
SELECT lower(email), '', :reason, :now, campaign.name, key FROM delivery JOIN campaign ON campaign.id = campaign_id
WHERE delivery.id = :id
ON CONFLICT (address, list) DO UPDATE SET at = suppression.at;

-- name: lift_refusal
-- The suppression that the row's own refusal has made.
DELETE FROM suppression WHERE list = '' AND starts_with(reason, 'refused with ') AND (address, campaign, key) = (
    SELECT lower(email), campaign.name, key FROM delivery JOIN campaign ON campaign.id = campaign_id
    WHERE delivery.id = :id AND state = 'failed' AND actor = 'run');

-- name: any_suppression
SELECT 1 FROM suppression LIMIT 1;

-- name: suppressed_rows
SELECT id FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment
  AND lower(email) IN (SELECT address FROM suppression WHERE list IN ('', :list));

-- name: skip_suppressed
UPDATE delivery SET state = 'skipped', actor = 'enlist', waiting = '', worker_id = NULL,
    fence = delivery.fence + 1, updated_at = :now, reason = (
    SELECT 'suppressed: ' || suppression.reason || to_char(to_timestamp(at) AT TIME ZONE 'UTC', ' YYYY-MM-DD')
        || ' (' || CASE WHEN list = '' THEN 'all lists' ELSE list END || ')'
    FROM suppression WHERE address = lower(delivery.email) AND list IN ('', :list) ORDER BY list LIMIT 1)
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)::bigint)) AND state = 'queued'
  AND lower(email) IN (SELECT address FROM suppression WHERE list IN ('', :list));

-- name: suppress
INSERT INTO suppression (address, list, reason, at, campaign, key)
VALUES (:address, :list, :reason, :now, :campaign, :key) ON CONFLICT DO NOTHING;

-- name: unsuppress
DELETE FROM suppression WHERE address = :address AND (:list::text IS NULL OR list = :list::text);

-- name: suppressions
SELECT address, list, reason, at, campaign, key FROM suppression
WHERE :list::text IS NULL OR list IN ('', :list::text)
ORDER BY at, address, list;

-- name: row_of_tag
SELECT campaign.name, delivery.email, delivery.key, campaign_list.list
FROM delivery JOIN campaign ON campaign.id = delivery.campaign_id
    JOIN campaign_list ON campaign_list.campaign_id = campaign.id
WHERE delivery.id = :row;

-- name: has_report
SELECT 1 FROM report WHERE id = :id;

-- name: note_report
INSERT INTO report (id, at) VALUES (:id, :now);

-- name: row_of_report
SELECT delivery.email, delivery.key, delivery.state, delivery.generation, campaign.name, campaign.id
FROM delivery JOIN campaign ON campaign.id = delivery.campaign_id WHERE delivery.id = :row;

-- name: bounce
UPDATE delivery SET state = 'bounced', actor = 'bounces', reason = :reason, code = :code, enhanced = :enhanced,
    reply = :reply, updated_at = :now
WHERE id = :row AND state IN ('sent', 'uncertain');

-- name: note_in_history
INSERT INTO history
    (delivery_id, since, at, old_state, new_state, actor, attempt, message_id, token_id, server, code, enhanced, reply, reason)
SELECT id, updated_at, :now, state, state, 'bounces', attempts, message_id, token_id, server, :code::integer,
    :enhanced::text, :reply::text, :reason::text
FROM delivery WHERE id = :row;

-- name: revoke_row
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery WHERE id = :row AND token_id IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: note_soft_bounce
INSERT INTO soft_bounce (address, campaign_id) VALUES (:address, :campaign) ON CONFLICT DO NOTHING;

-- name: count_soft_bounces
SELECT count(*) FROM soft_bounce WHERE address = :address;

-- name: last_mails_that_came_back
-- How many of the last three campaigns that mailed an address had it come back for now.
SELECT count(soft_bounce.address) FROM (
    SELECT campaign_id FROM delivery WHERE lower(email) = :address AND state IN ('sent', 'uncertain', 'bounced')
    GROUP BY campaign_id ORDER BY max(updated_at) DESC LIMIT 3) AS last
LEFT JOIN soft_bounce ON soft_bounce.campaign_id = last.campaign_id AND soft_bounce.address = :address;

-- name: people_to_ask
-- Who was mailed, or perhaps is being mailed, or is held out, and whether a sign-in since the last mail is known.
SELECT key, user_id, email, first, EXISTS (
    SELECT 1 FROM sign_in WHERE sign_in.campaign_id = :campaign AND sign_in.key = person.key AND sign_in.at > person.last)
FROM (
    SELECT key, max(user_id) AS user_id, max(email) AS email, min(sent_at) AS first, max(sent_at) AS last FROM delivery
    WHERE campaign_id = :campaign AND slot = '' AND key > :after
      AND ((state IN ('sending', 'sent', 'uncertain', 'bounced') AND sent_at IS NOT NULL)
           OR (state = 'skipped' AND actor = 'holdout' AND step_number = 0))
    GROUP BY key ORDER BY key LIMIT :limit) AS person
ORDER BY key;

-- name: note_sign_in
INSERT INTO sign_in (campaign_id, key, at) VALUES (:campaign, :key, :at) ON CONFLICT DO NOTHING;

-- name: note_stranger
INSERT INTO stranger (campaign_id, key) VALUES (:campaign, :key) ON CONFLICT DO NOTHING;

-- name: forget_stranger
DELETE FROM stranger WHERE campaign_id = :campaign AND key = :key;

-- name: note_inquiry
INSERT INTO inquiry (campaign_id, began, ended) VALUES (:campaign, :began, :now)
ON CONFLICT (campaign_id, began) DO UPDATE SET ended = excluded.ended;
