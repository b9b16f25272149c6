-- The send log's statements, by name. Instants are parameters: no statement reads the current time.

-- name: find_campaign
SELECT id, message_key, templates, source, source_digest, enlistment FROM campaign WHERE name = :name;

-- name: add_campaign
INSERT INTO campaign (name, message_key) VALUES (:name, :message_key);

-- name: note_source
UPDATE campaign SET source = :source, source_digest = :source_digest, enlistment = :enlistment WHERE id = :campaign;

-- name: note_templates
UPDATE campaign SET templates = :templates WHERE id = :campaign;

-- name: forget_unmailable
DELETE FROM delivery WHERE campaign_id = :campaign AND slot <> '' AND source = :source;

-- name: add_deliveries
-- The caller repeats the group of values for each row: one INSERT for many rows takes half the time.
INSERT INTO delivery
    (campaign_id, enlistment, source, updated_at, key, line, email, user_id, domain, variables, digest, slot, state, reason,
     actor)
VALUES (:row);

-- name: known_keys
SELECT key, id, enlistment, state, digest, line FROM delivery
WHERE campaign_id = :campaign AND slot = '' AND key IN (SELECT value FROM json_each(:keys));

-- name: touch_delivery
UPDATE delivery SET enlistment = :enlistment, line = :line, source = :source WHERE id = :id;

-- name: change_delivery
UPDATE delivery SET enlistment = :enlistment, line = :line, source = :source, email = :email, domain = :domain,
    user_id = :user_id, variables = :variables, digest = :digest
WHERE id = :id AND state IN ('queued', 'failed', 'skipped');

-- name: requeue_changed
UPDATE delivery SET state = 'queued', reason = '', actor = 'enlist', not_before = 0, updated_at = :now
WHERE id = :id AND state = 'skipped';

-- name: count_shared_addresses
SELECT count(*) FROM (
    SELECT 1 FROM delivery WHERE campaign_id = :campaign AND enlistment = :enlistment AND slot = ''
    GROUP BY lower(email) HAVING count(*) > 1);

-- name: recover_unnamed
INSERT INTO orphan (campaign_id, delivery_id, at, expires_at)
SELECT campaign_id, id, updated_at, coalesce(token_expires_at, updated_at) FROM delivery
WHERE state = 'issuing' AND token_id IS NULL;

-- name: recover_named
INSERT OR IGNORE INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery WHERE state = 'issuing' AND token_id IS NOT NULL;

-- name: recover_issuing
UPDATE delivery SET state = 'queued', actor = 'recovery', reason = 'the run ended while it requested a token',
    token_id = NULL, not_before = 0, updated_at = :now
WHERE state = 'issuing';

-- name: recover_sending
UPDATE delivery SET state = 'uncertain', actor = 'recovery',
    reason = 'the run ended before the server replied: the message may have been sent', updated_at = :now
WHERE state = 'sending';

-- name: recover_put_off
UPDATE delivery SET not_before = :latest WHERE state = 'queued' AND not_before > :latest;

-- name: claim
-- The due rows after a cursor: the rest of those with its `not_before`, perhaps very many, and all later ones. A single
-- search for both would start at the first row with that `not_before`.
SELECT id, key, email, user_id, line, variables, attempts, faults, generation, not_before FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment
  AND not_before = :after AND id > :after_id AND :after <= :now
  AND (:domain IS NULL OR domain = :domain) AND domain NOT IN (SELECT value FROM json_each(:domains))
UNION ALL
SELECT id, key, email, user_id, line, variables, attempts, faults, generation, not_before FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment
  AND not_before > :after AND not_before <= :now
  AND (:domain IS NULL OR domain = :domain) AND domain NOT IN (SELECT value FROM json_each(:domains))
ORDER BY not_before, id LIMIT :limit;

-- name: next_due
SELECT not_before FROM delivery
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment AND not_before > :after
  AND domain NOT IN (SELECT value FROM json_each(:domains))
ORDER BY not_before LIMIT 1;

-- name: issuing
UPDATE delivery SET state = 'issuing', actor = 'run', attempts = attempts + 1, generation = generation + 1,
    user_id = :user_id, token_id = NULL, token_at = NULL, token_expires_at = :expires_at, message_id = NULL,
    server = NULL, code = NULL, enhanced = NULL, reply = NULL, reason = '', updated_at = :now
WHERE id = :id AND state = 'queued';

-- name: issued
UPDATE delivery SET token_id = :token_id, token_at = :now WHERE id = :id AND state = 'issuing';

-- name: sending
UPDATE delivery SET state = 'sending', actor = 'run', attempts = :attempt, message_id = :message_id, server = :server,
    code = NULL, enhanced = NULL, reply = NULL, reason = '', updated_at = :now
WHERE id = :id AND state = :state;

-- name: settle
UPDATE delivery SET state = :state, actor = 'run', reason = :reason, code = :code, enhanced = :enhanced, reply = :reply,
    faults = coalesce(:faults, faults), token_id = iif(:state = 'queued', NULL, token_id), not_before = :not_before,
    updated_at = :now
WHERE id = :id AND state IN ('queued', 'issuing', 'sending');

-- name: put_back
UPDATE delivery SET state = 'queued', actor = 'breaker', reason = :reason, not_before = 0, token_id = NULL, updated_at = :now
WHERE id = :id AND state = 'failed' AND actor = 'run';

-- name: revoke_token
-- A token with a revocation keeps it: the update changes nothing, but counts as the one changed row.
INSERT INTO revocation (token_id, campaign_id, delivery_id, asked_at) VALUES (:token_id, :campaign, :id, :now)
ON CONFLICT (token_id) DO UPDATE SET asked_at = asked_at;

-- name: count_orphan
INSERT INTO orphan (campaign_id, delivery_id, at, expires_at)
SELECT campaign_id, id, :now, coalesce(token_expires_at, :now) FROM delivery WHERE id = :id;

-- name: try_revocations
UPDATE revocation SET unanswered = unanswered + 1
WHERE token_id IN (
    SELECT token_id FROM revocation WHERE campaign_id = :campaign AND settled_at IS NULL ORDER BY rowid LIMIT :limit)
RETURNING token_id, unanswered > 1;

-- name: undo_attempt
UPDATE revocation SET unanswered = unanswered - 1 WHERE token_id IN (SELECT value FROM json_each(:tokens));

-- name: settle_revocation
UPDATE revocation SET settled_at = :now, outcome = :outcome WHERE token_id = :token_id;

-- name: spent
SELECT max(at), count(*) FROM history WHERE new_state = :state AND at > :since GROUP BY CAST(at / :piece AS INTEGER) ORDER BY 1;

-- name: spent_domain
SELECT max(history.at), count(*) FROM history JOIN delivery ON delivery.id = history.delivery_id
WHERE history.new_state = :state AND history.at > :since AND delivery.domain = :domain
GROUP BY CAST(history.at / :piece AS INTEGER) ORDER BY 1;

-- name: retry
UPDATE delivery SET state = 'queued', actor = 'retry', reason = '', faults = 0, not_before = 0, token_id = NULL,
    updated_at = :now
WHERE campaign_id = :campaign AND slot = '' AND state = :state AND (:email IS NULL OR lower(email) = lower(:email));

-- name: keep_uncertain
UPDATE delivery SET state = 'sent', actor = 'resolve', reason = 'taken as sent by an operator', updated_at = :now
WHERE campaign_id = :campaign AND state = 'uncertain' AND (:email IS NULL OR lower(email) = lower(:email));

-- name: revoke_uncertain
INSERT OR IGNORE INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery
WHERE campaign_id = :campaign AND state = 'uncertain' AND token_id IS NOT NULL
  AND (:email IS NULL OR lower(email) = lower(:email));

-- name: keep_arrived
UPDATE delivery SET state = 'sent', actor = 'resolve', reason = 'its token had been used: the mail arrived', updated_at = :now
WHERE campaign_id = :campaign AND state = 'uncertain'
  AND token_id IN (SELECT token_id FROM revocation WHERE campaign_id = :campaign AND outcome = 'used')
  AND (:email IS NULL OR lower(email) = lower(:email));

-- name: resend_uncertain
UPDATE delivery SET state = 'queued', actor = 'resolve', reason = 'to be sent again by an operator', faults = 0,
    not_before = 0, token_id = NULL, generation = generation + 1, updated_at = :now
WHERE campaign_id = :campaign AND state = 'uncertain'
  AND (token_id IS NULL OR token_id IN (SELECT token_id FROM revocation WHERE settled_at IS NOT NULL))
  AND (:email IS NULL OR lower(email) = lower(:email));

-- name: revoke_all
INSERT OR IGNORE INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery WHERE campaign_id = :campaign AND token_id IS NOT NULL;

-- name: counts
SELECT state, count(*) FROM delivery WHERE campaign_id = :campaign GROUP BY state;

-- name: counts_here
SELECT state, count(*) FROM delivery WHERE campaign_id = :campaign AND enlistment = :enlistment GROUP BY state;

-- name: count_elsewhere
SELECT count(*) FROM delivery WHERE campaign_id = :campaign AND state = 'queued' AND enlistment <> :enlistment;

-- name: count_orphans
SELECT count(*), max(expires_at) FROM orphan WHERE campaign_id = :campaign AND expires_at > :now;

-- name: count_revocations
-- Pending revocations, and tokens that were used although no message that may have arrived carries them.
SELECT coalesce(sum(settled_at IS NULL), 0),
    coalesce(sum(outcome = 'used' AND NOT EXISTS (
        SELECT 1 FROM delivery WHERE delivery.id = revocation.delivery_id AND delivery.token_id = revocation.token_id
            AND delivery.state IN ('sent', 'uncertain'))), 0)
FROM revocation WHERE campaign_id = :campaign;

-- name: anybody
SELECT 1 FROM delivery LIMIT 1;

-- name: campaigns
SELECT id, name FROM campaign ORDER BY name;

-- name: reasons
SELECT state, reason, count(*) AS number FROM delivery
WHERE campaign_id = :campaign AND reason <> '' AND (:enlistment IS NULL OR enlistment = :enlistment)
GROUP BY state, reason ORDER BY number DESC, min(id) LIMIT :limit;

-- name: rows
SELECT key, user_id, email, state, reason, attempts, message_id, token_id, code, enhanced, reply, updated_at FROM delivery
WHERE campaign_id = :campaign AND (:state IS NULL OR state = :state) ORDER BY id;

-- name: row_of_message
SELECT campaign.name, key, user_id, email, state, reason, attempts, message_id, token_id, code, enhanced, reply, updated_at
FROM delivery JOIN campaign ON campaign.id = delivery.campaign_id
WHERE delivery.id = coalesce(
    (SELECT id FROM delivery WHERE message_id = :message_id),
    (SELECT delivery_id FROM history WHERE message_id = :message_id LIMIT 1));
