-- The steps of a recipient's path, made by one statement: an INSERT into the view `step`. Each column takes the rows of
-- many recipients as one JSON array, or NULL, so that a transaction is one statement however many rows it moves; the
-- columns are worked off in the order in which one row can make the steps. Each row is an array, too, which is written
-- and read in half the time of an object: what stands in which place is named at its step. The view is the
-- connection's own.

CREATE TEMP VIEW step AS SELECT NULL AS issuing, NULL AS issued, NULL AS sending, NULL AS settle, NULL AS settle_token;

CREATE TEMP TRIGGER step_made INSTEAD OF INSERT ON step
BEGIN
    UPDATE delivery SET state = 'issuing', actor = 'run', attempts = attempts + 1, generation = generation + 1,
        user_id = row.user_id, token_id = NULL, token_at = NULL, token_expires_at = row.expires_at, message_id = NULL,
        server = NULL, code = NULL, enhanced = NULL, reply = NULL, reason = '', updated_at = row.at
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS user_id, value ->> 2 AS expires_at, value ->> 3 AS at
        FROM json_each(NEW.issuing)) AS row
    WHERE delivery.id = row.id AND delivery.state = 'queued';
    SELECT RAISE(ABORT, 'rows are not in the state in which this run left them (issuing)')
    WHERE changes() <> json_array_length(NEW.issuing);

    UPDATE delivery SET token_id = row.token_id, token_at = row.at
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS token_id, value ->> 2 AS at
        FROM json_each(NEW.issued)) AS row
    WHERE delivery.id = row.id AND delivery.state = 'issuing';
    SELECT RAISE(ABORT, 'rows are not in the state in which this run left them (issued)')
    WHERE changes() <> json_array_length(NEW.issued);

    UPDATE delivery SET state = 'sending', actor = 'run', attempts = row.attempt, message_id = row.message_id,
        server = row.server, code = NULL, enhanced = NULL, reply = NULL, reason = '', updated_at = row.at
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS attempt, value ->> 2 AS message_id, value ->> 3 AS server,
            value ->> 4 AS state, value ->> 5 AS at
        FROM json_each(NEW.sending)) AS row
    WHERE delivery.id = row.id AND delivery.state = row.state;
    SELECT RAISE(ABORT, 'rows are not in the state in which this run left them (sending)')
    WHERE changes() <> json_array_length(NEW.sending);

    UPDATE delivery SET state = row.state, actor = 'run', reason = row.reason, code = row.code,
        enhanced = row.enhanced, reply = row.reply, faults = coalesce(row.faults, delivery.faults),
        token_id = CASE WHEN row.state = 'queued' THEN NULL ELSE token_id END, not_before = row.not_before,
        updated_at = row.at
    FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS reason, value ->> 3 AS code,
            value ->> 4 AS enhanced, value ->> 5 AS reply, value ->> 6 AS faults, value ->> 7 AS not_before,
            value ->> 8 AS at
        FROM (SELECT value FROM json_each(NEW.settle) UNION ALL SELECT value FROM json_each(NEW.settle_token))) AS row
    WHERE delivery.id = row.id AND delivery.state IN ('queued', 'issuing', 'sending');
    SELECT RAISE(ABORT, 'rows are not in the state in which this run left them (settle)')
    WHERE changes() <> coalesce(json_array_length(NEW.settle), 0) + coalesce(json_array_length(NEW.settle_token), 0);

    -- A token that no mail carries is to be revoked; one that nobody can name is a possible orphan.
    INSERT OR IGNORE INTO revocation (token_id, campaign_id, delivery_id, asked_at)
    SELECT token_id, campaign, id, at
    FROM (SELECT value ->> 0 AS id, value ->> 8 AS at, value ->> 9 AS campaign, value ->> 10 AS token_id
        FROM json_each(NEW.settle_token))
    WHERE token_id IS NOT NULL;
    INSERT INTO orphan (campaign_id, delivery_id, at, expires_at)
    SELECT campaign_id, id, row.at, coalesce(token_expires_at, row.at)
    FROM (SELECT value ->> 0 AS number, value ->> 8 AS at, value ->> 11 AS orphan
        FROM json_each(NEW.settle_token)) AS row CROSS JOIN delivery ON delivery.id = row.number
    WHERE row.orphan;
END;
