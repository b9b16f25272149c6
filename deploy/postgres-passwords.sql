-- Give the roles of postgres-roles.sql the passwords that are in the environment; for compose-postgres.yaml. Elsewhere
-- type psql's \password, which sends none in clear text.
SET log_statement TO none;
SET log_min_duration_statement TO -1;
SET log_min_error_statement TO panic;

\set owner `printf %s "$OWNER_PASSWORD"`
\set worker `printf %s "$WORKER_PASSWORD"`
\set reader `printf %s "$READER_PASSWORD"`

ALTER ROLE campaign_owner PASSWORD :'owner';
ALTER ROLE campaign_worker PASSWORD :'worker';
ALTER ROLE campaign_reader PASSWORD :'reader';
