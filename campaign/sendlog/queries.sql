-- The send log's statements, by name. Instants are parameters: no statement reads the current time.

-- name: find_campaign
SELECT id, message_key, templates, source, source_digest, enlistment FROM campaign WHERE name = :name;

-- name: latest_instant
SELECT coalesce(max(at), 0) FROM history;

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
WHERE id = :id AND state = 'skipped' AND actor <> 'skip';

-- name: requeue_returned
UPDATE delivery SET state = 'queued', reason = '', actor = 'enlist', not_before = 0, updated_at = :now
WHERE campaign_id = :campaign AND enlistment = :enlistment AND state = 'skipped' AND actor = 'missing';

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
WHERE campaign_id = :campaign AND slot = '' AND state = :state
  AND iif(:email IS NULL, actor <> 'skip', lower(email) = lower(:email));

-- name: skip_key
UPDATE delivery SET state = 'skipped', actor = 'skip', reason = :reason, updated_at = :now
WHERE campaign_id = :campaign AND key = :key AND slot = '' AND state IN ('queued', 'failed', 'skipped');

-- name: state_of_key
SELECT state FROM delivery WHERE campaign_id = :campaign AND key = :key AND slot = '';

-- name: make_present
CREATE TEMP TABLE IF NOT EXISTS present (key TEXT PRIMARY KEY) WITHOUT ROWID;

-- name: add_present
INSERT OR IGNORE INTO present (key) VALUES (?);

-- name: find_missing
SELECT id FROM delivery
WHERE campaign_id = :campaign AND slot = '' AND state = 'queued' AND key NOT IN (SELECT key FROM present);

-- name: skip_missing
UPDATE delivery SET state = 'skipped', actor = 'missing', reason = :reason, updated_at = :now
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'queued';

-- name: forget_source
UPDATE campaign SET source_digest = '' WHERE id = :campaign;

-- name: withdrawn
-- Of these rows, those that an operator skipped while a run had claimed them.
SELECT id FROM delivery
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'skipped' AND actor IN ('skip', 'missing');

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

-- name: count_live_links
-- The tokens that may still be used to sign in.
SELECT count(*) FROM delivery
WHERE campaign_id = :campaign AND token_id IS NOT NULL AND token_expires_at > :now AND NOT EXISTS (
    SELECT 1 FROM revocation WHERE revocation.token_id = delivery.token_id AND settled_at IS NOT NULL);

-- name: states_of_address
SELECT state, count(*) FROM delivery
WHERE campaign_id = :campaign AND slot = '' AND lower(email) = lower(:email) GROUP BY state;

-- name: count_resendable
-- Without an address: the messages whose token was revoked, and not those whose reader had signed in with it.
SELECT count(*) FROM delivery
WHERE campaign_id = :campaign AND state = 'sent' AND iif(:email IS NULL,
    token_id IN (SELECT token_id FROM revocation WHERE campaign_id = :campaign AND outcome IS NOT 'used'),
    lower(email) = lower(:email));

-- name: revoke_resendable
INSERT OR IGNORE INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery
WHERE campaign_id = :campaign AND state = 'sent' AND token_id IS NOT NULL AND lower(email) = lower(:email);

-- name: resend
UPDATE delivery SET state = 'queued', actor = 'resend', reason = 'to be sent again by an operator', faults = 0,
    not_before = 0, token_id = NULL, generation = generation + 1, updated_at = :now
WHERE campaign_id = :campaign AND state = 'sent' AND iif(:email IS NULL,
    token_id IN (SELECT token_id FROM revocation WHERE campaign_id = :campaign AND outcome <> 'used'),
    lower(email) = lower(:email)
        AND (token_id IS NULL OR token_id IN (SELECT token_id FROM revocation WHERE settled_at IS NOT NULL)));

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
            AND delivery.state IN ('sent', 'uncertain'))
        AND NOT EXISTS (SELECT 1 FROM history WHERE actor = 'resend' AND history.token_id = revocation.token_id)), 0)
FROM revocation WHERE campaign_id = :campaign;

-- name: anybody
SELECT 1 FROM delivery LIMIT 1;

-- name: campaigns
SELECT id, name FROM campaign ORDER BY name;

-- name: explanations_here
SELECT state, reason, line, email, key, user_id FROM delivery
WHERE campaign_id = :campaign AND enlistment = :enlistment AND reason <> '' ORDER BY id;

-- name: rows
SELECT key, user_id, email, state, reason, attempts, message_id, token_id, code, enhanced, reply, updated_at FROM delivery
WHERE campaign_id = :campaign AND (:state IS NULL OR state = :state) ORDER BY id;

-- name: row_of_message
SELECT campaign.name, key, user_id, email, state, reason, attempts, message_id, token_id, code, enhanced, reply, updated_at
FROM delivery JOIN campaign ON campaign.id = delivery.campaign_id
WHERE delivery.id = coalesce(
    (SELECT id FROM delivery WHERE message_id = :message_id),
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
INSERT OR IGNORE INTO campaign_list (campaign_id, list) VALUES (:campaign, :list);

-- name: suppressed
SELECT reason, at, list FROM suppression WHERE address = :address AND list IN ('', :list) ORDER BY list LIMIT 1;

-- name: any_suppression
SELECT 1 FROM suppression LIMIT 1;

-- name: skip_suppressed
UPDATE delivery SET state = 'skipped', actor = 'enlist', updated_at = :now, reason = (
    SELECT 'suppressed: ' || reason || strftime(' %Y-%m-%d', at, 'unixepoch') || ' (' || iif(list = '', 'all lists', list) || ')'
    FROM suppression WHERE address = lower(delivery.email) AND list IN ('', :list) ORDER BY list LIMIT 1)
WHERE campaign_id = :campaign AND state = 'queued' AND enlistment = :enlistment
  AND lower(email) IN (SELECT address FROM suppression WHERE list IN ('', :list));

-- name: suppress
INSERT INTO suppression (address, list, reason, at, campaign, key)
VALUES (:address, :list, :reason, :now, :campaign, :key) ON CONFLICT DO NOTHING;

-- name: unsuppress
DELETE FROM suppression WHERE address = :address AND (:list IS NULL OR list = :list);

-- name: suppressions
SELECT address, list, reason, at, campaign, key FROM suppression WHERE :list IS NULL OR list IN ('', :list)
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
SELECT id, updated_at, :now, state, state, 'bounces', attempts, message_id, token_id, server, :code, :enhanced, :reply, :reason
FROM delivery WHERE id = :row;

-- name: revoke_row
INSERT OR IGNORE INTO revocation (token_id, campaign_id, delivery_id, asked_at)
SELECT token_id, campaign_id, id, :now FROM delivery WHERE id = :row AND token_id IS NOT NULL;

-- name: note_soft_bounce
INSERT OR IGNORE INTO soft_bounce (address, campaign_id) VALUES (:address, :campaign);

-- name: count_soft_bounces
SELECT count(*) FROM soft_bounce WHERE address = :address;

-- name: last_mails_that_came_back
-- How many of the last three campaigns that mailed an address had it come back for now.
SELECT count(soft_bounce.address) FROM (
    SELECT campaign_id FROM delivery WHERE lower(email) = :address AND state IN ('sent', 'uncertain', 'bounced')
    GROUP BY campaign_id ORDER BY max(updated_at) DESC LIMIT 3) AS last
LEFT JOIN soft_bounce ON soft_bounce.campaign_id = last.campaign_id AND soft_bounce.address = :address;
