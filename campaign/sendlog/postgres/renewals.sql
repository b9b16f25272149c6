-- The statements for new links that readers ask for.

-- name: last_mail
-- Of the row that a tag names and the other steps of its key, the last one that was or may have been mailed.
SELECT mail.id, mail.state, mail.email, campaign.name, campaign.id AS campaign_id, campaign.file, mail.key, mail.step,
    mail.step_number, mail.variables, mail.source, mail.line, coalesce(mail.token_at <= campaign.revoked_at, false)
FROM delivery AS named JOIN campaign ON campaign.id = named.campaign_id
    JOIN delivery AS mail ON mail.campaign_id = named.campaign_id AND mail.key = named.key AND mail.slot = ''
WHERE named.id = :row AND named.slot = ''
  AND (mail.state IN ('issuing', 'sending', 'sent', 'uncertain', 'bounced')
       OR (mail.state = 'queued' AND mail.sent_at IS NOT NULL))
ORDER BY mail.step_number DESC LIMIT 1;

-- name: sent_steps
SELECT step, sent_at FROM delivery
WHERE campaign_id = :campaign AND key = :key AND slot = '' AND step_number < :step_number AND state = 'sent'
  AND sent_at IS NOT NULL;

-- name: suppressed_for_campaign
SELECT 1 FROM suppression
WHERE address = :address
  AND (list = '' OR list IN (SELECT list FROM campaign_list WHERE campaign_id = :campaign)) LIMIT 1;

-- name: renewals_of_address
SELECT count(*), coalesce(max(at), 0) FROM renewal WHERE address = :address;

-- name: add_renewal
INSERT INTO renewal (address, at, campaign_id, delivery_id) VALUES (:address, :now, :campaign, :row);

-- name: renew
UPDATE delivery SET state = 'queued', actor = 'renew', reason = 'its reader asked for a new link', faults = 0,
    not_before = :not_before, waiting = '', replaced_token = coalesce(token_id, ''), token_id = NULL,
    generation = generation + 1, updated_at = :now
WHERE id = :row AND state = 'sent';

-- name: hold_next_steps
-- They count from the new mail.
UPDATE delivery SET not_before = :never, waiting = 'step', worker_id = NULL, fence = fence + 1
WHERE campaign_id = :campaign AND key = :key AND slot = '' AND step_number > :step_number AND state = 'queued';

-- name: count_declined
UPDATE tag_key SET declined = declined + 1 WHERE id = (SELECT max(id) FROM tag_key);

-- name: declined
SELECT sum(declined) FROM tag_key;
