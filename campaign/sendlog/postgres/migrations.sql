-- The version of the schema, and its migrations: `to_2` will migrate a log from version 1 to 2, and so on.

-- name: version
SELECT version FROM campaign.schema_version;
