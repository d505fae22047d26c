import { OWN_SCHEMA } from '../connectors/postgres/own-schema';

/**
 * The control store: what a migration as a whole knows, in one PostgreSQL database per plan.
 * Everything a run needs to carry on can be rebuilt from here and from the ledgers. Statements are idempotent; run them in one transaction.
 */
export const CONTROL_SCHEMA = `
${OWN_SCHEMA}
CREATE TABLE IF NOT EXISTS caravan.migration (
  name text PRIMARY KEY,
  workflow_id text NOT NULL,
  first_run_id text NOT NULL,
  namespace text NOT NULL DEFAULT 'default',
  lease bigint NOT NULL DEFAULT 1,
  lease_seen_at timestamptz NOT NULL DEFAULT now(),
  plan_hash text NOT NULL,
  phase text NOT NULL DEFAULT 'preparation',
  status text NOT NULL DEFAULT 'running',
  status_detail text,
  status_since timestamptz NOT NULL DEFAULT now(),
  blocked jsonb NOT NULL DEFAULT '[]',
  epoch bigint NOT NULL DEFAULT 0,
  started_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  -- A lease to validate gives the migration back as it found it.
  purpose text NOT NULL DEFAULT 'migrate' CHECK (purpose IN ('migrate', 'validate')),
  status_before text,
  finished_before timestamptz,
  -- Steps that a person skipped in the run that closed last: [{step, by, reason}].
  skipped jsonb NOT NULL DEFAULT '[]'
);
-- Of a control store that an earlier version made. Without the look first, every admission would lock the table.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.migration'::regclass AND attname = 'skipped') THEN
    ALTER TABLE caravan.migration ADD COLUMN skipped jsonb NOT NULL DEFAULT '[]';
  END IF;
END $$;

CREATE TABLE IF NOT EXISTS caravan.plan (
  hash text PRIMARY KEY,
  migration text NOT NULL,
  body json NOT NULL,
  admitted_at timestamptz NOT NULL DEFAULT now()
);

-- What a person changed in the plan of a migration that was admitted before, one row per dataset that has work of it. The ledger's dataset row keeps
-- the id of the latest one that it follows: a dataset whose number is lower starts a new generation.
CREATE TABLE IF NOT EXISTS caravan.amendment (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('changed', 'added', 'removed')),
  plan_hash text NOT NULL,
  former_hash text NOT NULL,
  -- Of a removed dataset: how the workflows knew it.
  view jsonb,
  amended_by text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_at timestamptz
);
CREATE INDEX IF NOT EXISTS amendment_dataset ON caravan.amendment (migration, dataset);

CREATE TABLE IF NOT EXISTS caravan.connection_identity (
  migration text NOT NULL,
  connection text NOT NULL,
  identity jsonb NOT NULL,
  PRIMARY KEY (migration, connection)
);

CREATE TABLE IF NOT EXISTS caravan.step (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  lease bigint NOT NULL,
  step text NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'done', 'undone', 'failed', 'skipped')),
  undo jsonb,
  evidence jsonb,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz
);

-- Steps around the copy (cutover, rollback), each with its undo before it runs. An attempt is one try at a cutover; epoch is what the step wrote into the databases.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.step'::regclass AND attname = 'attempt') THEN
    ALTER TABLE caravan.step ADD COLUMN attempt bigint NOT NULL DEFAULT 0, ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
    CREATE UNIQUE INDEX step_once ON caravan.step (migration, attempt, step);
  END IF;
END $$;

CREATE TABLE IF NOT EXISTS caravan.approval (
  migration text NOT NULL,
  gate text NOT NULL,
  approved_by text NOT NULL,
  role text,
  reason text,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, gate)
);
-- identity: 'claimed', or 'signed' where a signature over the approval was checked against the role's key.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.approval'::regclass AND attname = 'identity') THEN
    ALTER TABLE caravan.approval ADD COLUMN evidence text, ADD COLUMN identity text NOT NULL DEFAULT 'claimed', ADD COLUMN signature text;
  END IF;
END $$;

CREATE TABLE IF NOT EXISTS caravan.inventory (
  migration text NOT NULL,
  connection text NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  body jsonb NOT NULL,
  PRIMARY KEY (migration, connection)
);

-- Both sides of a dataset as they were when its copy began: a worker that reaches one side only knows the other from here.
CREATE TABLE IF NOT EXISTS caravan.dataset_shape (
  migration text NOT NULL,
  dataset text NOT NULL,
  source jsonb NOT NULL,
  target jsonb NOT NULL,
  PRIMARY KEY (migration, dataset)
);

-- What the preparation found, by part (migration/preparation/findings.ts). A later preparation replaces a part as a whole.
CREATE TABLE IF NOT EXISTS caravan.preparation (
  migration text NOT NULL,
  part text NOT NULL,
  body jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, part)
);

-- Backups by side and connection, newest last. Where one lies, what it holds, and whether it was restored and compared.
CREATE TABLE IF NOT EXISTS caravan.backup (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  lease bigint NOT NULL,
  side text NOT NULL CHECK (side IN ('source', 'target')),
  connection text NOT NULL,
  state text NOT NULL CHECK (state IN ('taken', 'verified', 'failed', 'removed')),
  evidence jsonb NOT NULL,
  taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  verified_at timestamptz
);

-- Test migrations, and the word of a person that one is not needed. schema_digest: the source's columns and keys as the rehearsal met them.
CREATE TABLE IF NOT EXISTS caravan.rehearsal (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  lease bigint NOT NULL,
  plan_hash text NOT NULL,
  schema_digest text NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'passed', 'failed', 'waived')),
  evidence jsonb NOT NULL DEFAULT '{}',
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz
);

CREATE TABLE IF NOT EXISTS caravan.check_result (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  lease bigint NOT NULL,
  stage text NOT NULL CHECK (stage IN ('before', 'after', 'counts', 'sample', 'rows')),
  name text NOT NULL,
  outcome jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS caravan.audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL,
  event text NOT NULL,
  body jsonb NOT NULL DEFAULT '{}'
);
-- Last entry of each migration's trail. Its row is also the lock that gives the entries their order.
CREATE TABLE IF NOT EXISTS caravan.audit_head (
  migration text PRIMARY KEY,
  seq bigint NOT NULL,
  hash text NOT NULL
);
-- The trail is chained: each entry's hash covers its content and the hash before it (audit-trail.ts computes the same). Nothing in it may change or go.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = 'caravan.audit'::regclass AND tgname = 'audit_chain') THEN
    ALTER TABLE caravan.audit ADD COLUMN IF NOT EXISTS seq bigint, ADD COLUMN IF NOT EXISTS prev text, ADD COLUMN IF NOT EXISTS hash text;
    CREATE UNIQUE INDEX IF NOT EXISTS audit_seq ON caravan.audit (migration, seq);
    CREATE OR REPLACE FUNCTION caravan.chain_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $f$
      BEGIN
        INSERT INTO caravan.audit_head AS h (migration, seq, hash) VALUES (NEW.migration, 1, '') ON CONFLICT (migration) DO UPDATE SET seq = h.seq + 1
          RETURNING h.seq, h.hash INTO NEW.seq, NEW.prev;
        NEW.at := clock_timestamp();
        NEW.hash := encode(sha256(convert_to(concat_ws(E'\\n', NEW.prev, NEW.seq, NEW.migration, to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
          octet_length(convert_to(NEW.actor, 'UTF8')), NEW.actor, octet_length(convert_to(NEW.event, 'UTF8')), NEW.event, NEW.body::text), 'UTF8')), 'hex');
        UPDATE caravan.audit_head SET hash = NEW.hash WHERE migration = NEW.migration;
        RETURN NEW;
      END $f$;
    CREATE OR REPLACE FUNCTION caravan.keep_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $f$
      BEGIN
        RAISE EXCEPTION 'the audit trail only grows: nothing in it is changed or removed' USING ERRCODE = 'object_not_in_prerequisite_state';
      END $f$;
    CREATE TRIGGER audit_chain BEFORE INSERT ON caravan.audit FOR EACH ROW EXECUTE FUNCTION caravan.chain_audit();
    CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON caravan.audit FOR EACH STATEMENT EXECUTE FUNCTION caravan.keep_audit();
  END IF;
END $$;
`;
