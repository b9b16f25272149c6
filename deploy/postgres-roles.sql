-- Make the roles for a send log in PostgreSQL; README.md, "The send log in PostgreSQL", says who uses which.
--
--   createdb --encoding UTF8 --template template0 campaigns
--   psql -X -v ON_ERROR_STOP=1 -d campaigns -f deploy/postgres-roles.sql
--   psql -d campaigns -c '\password campaign_owner' -c '\password campaign_worker' -c '\password campaign_reader'
--
-- An administrator types it, in a database that nothing else uses; it may be typed again at any time. Other names of the
-- roles: psql -v owner=… -v worker=… -v reader=….

\if :{?owner}
\else
    \set owner campaign_owner
\endif
\if :{?worker}
\else
    \set worker campaign_worker
\endif
\if :{?reader}
\else
    \set reader campaign_reader
\endif

BEGIN;

SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY[:'owner', :'worker', :'reader']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- Nobody else comes in. TEMPORARY is for `campaign skip --missing`.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO :"owner", :"worker", :"reader";
GRANT TEMPORARY ON DATABASE :"DBNAME" TO :"worker";

-- The owner makes the tables, in this schema alone: `campaign migrate`.
SELECT format('GRANT %I TO %I', :'owner', current_user)
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \gexec
CREATE SCHEMA IF NOT EXISTS campaign AUTHORIZATION :"owner";
REVOKE ALL ON SCHEMA campaign FROM PUBLIC;
GRANT USAGE ON SCHEMA campaign TO :"worker", :"reader";

-- The tables that the owner will make, now or for a later version. The history and the version can then still not be
-- changed by the worker: the program takes these rights away when it makes the two tables.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA campaign GRANT EXECUTE ON ROUTINES TO :"worker";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA campaign
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"worker";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA campaign GRANT SELECT ON TABLES TO :"reader";

-- The tables that are there already.
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA campaign FROM PUBLIC;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA campaign TO :"worker";
SELECT format('GRANT %s ON campaign.%I TO %I',
    CASE tablename WHEN 'history' THEN 'SELECT, INSERT' WHEN 'schema_version' THEN 'SELECT'
        ELSE 'SELECT, INSERT, UPDATE, DELETE' END, tablename, :'worker')
FROM pg_tables WHERE schemaname = 'campaign' ORDER BY tablename \gexec
GRANT SELECT ON ALL TABLES IN SCHEMA campaign TO :"reader";

COMMIT;
