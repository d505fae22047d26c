/** Makes schema `caravan`, which ledger and control store live in; closed to PUBLIC. Idempotent. */
export const OWN_SCHEMA = `
-- CREATE SCHEMA IF NOT EXISTS would ask for the right to create schemas also where the schema is there.
DO $$ BEGIN
  IF pg_catalog.to_regnamespace('caravan') IS NULL THEN
    CREATE SCHEMA caravan;
    REVOKE ALL ON SCHEMA caravan FROM PUBLIC;
  END IF;
END $$;
`;
