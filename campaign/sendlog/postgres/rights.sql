-- What may be done by roles that do not own the tables; deploy/postgres-roles.sql makes such roles.
SET LOCAL search_path TO campaign;

-- Two things that only the owner of a table may do, for the runs of another role.

CREATE PROCEDURE index_addresses() LANGUAGE sql SECURITY DEFINER SET search_path TO campaign, pg_temp AS
$$ CREATE INDEX IF NOT EXISTS delivery_address ON delivery (lower(email), sent_at) WHERE sent_at IS NOT NULL $$;

CREATE PROCEDURE analyze_deliveries() LANGUAGE sql SECURITY DEFINER SET search_path TO campaign, pg_temp AS
$$ ANALYZE delivery $$;

-- The default privileges of that file give a role the same rights on all tables. On two of them it needs less.
DO $$
DECLARE
    its_name text;
BEGIN
    FOR its_name IN
        SELECT DISTINCT quote_ident(rolname) FROM pg_class, aclexplode(relacl) AS granted, pg_roles
        WHERE pg_class.oid IN ('history'::regclass, 'schema_version'::regclass)
          AND pg_roles.oid = granted.grantee AND granted.grantee <> relowner
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON history FROM %s', its_name);
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON schema_version FROM %s', its_name);
    END LOOP;
END;
$$;
