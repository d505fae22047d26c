import { OWN_SCHEMA } from '../connectors/postgres/own-schema';

/**
 * The ledger: progress and evidence of each dataset, in the target, in the same transactions as the rows.
 * Column names outlive a deploy. Statements are idempotent; run them in one transaction.
 */
export const LEDGER_SCHEMA = `
${OWN_SCHEMA}
CREATE TABLE IF NOT EXISTS caravan.dataset (
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  epoch bigint NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 0,
  state text NOT NULL CHECK (state IN ('open', 'copied', 'closed', 'undone')),
  keyed boolean NOT NULL,
  source_key text[],
  base text NOT NULL CHECK (base IN ('empty', 'foreign')),
  target_schema text NOT NULL,
  target_table text NOT NULL,
  plan_hash text NOT NULL,
  mapping_digest text NOT NULL,
  engine_version text NOT NULL,
  rows_estimate bigint NOT NULL DEFAULT 0,
  opened_at timestamptz NOT NULL DEFAULT now(),
  closed_at timestamptz,
  PRIMARY KEY (migration, dataset)
);

-- Number of the latest amendment of the plan that this generation follows. Of a ledger that an earlier version made; the look first spares the lock.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.dataset'::regclass AND attname = 'amendment') THEN
    ALTER TABLE caravan.dataset ADD COLUMN amendment bigint NOT NULL DEFAULT 0;
  END IF;
END $$;

-- Of a dataset that was rolled back: when, and what became of its rows. undo_purged_at: its before-images are gone for good.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.dataset'::regclass AND attname = 'undone') THEN
    ALTER TABLE caravan.dataset ADD COLUMN undone jsonb, ADD COLUMN undone_at timestamptz, ADD COLUMN undo_purged_at timestamptz,
      DROP CONSTRAINT IF EXISTS dataset_state_check, ADD CONSTRAINT dataset_state_check CHECK (state IN ('open', 'copied', 'closed', 'undone'));
  END IF;
END $$;

-- undo_erased: rows whose undo data went at the request of a data subject. They are not missing, and a rollback leaves them alone.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.dataset'::regclass AND attname = 'undo_erased') THEN
    ALTER TABLE caravan.dataset ADD COLUMN undo_erased bigint NOT NULL DEFAULT 0;
  END IF;
END $$;

CREATE TABLE IF NOT EXISTS caravan.split (
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  ordinal int NOT NULL,
  after_key text[],
  upto_key text[],
  cursor_key text[],
  fence bigint NOT NULL DEFAULT 0,
  holder_pid int,
  holder_started timestamptz,
  commit_no bigint NOT NULL DEFAULT 0,
  read_rows bigint NOT NULL DEFAULT 0,
  written_rows bigint NOT NULL DEFAULT 0,
  unchanged_rows bigint NOT NULL DEFAULT 0,
  quarantined_rows bigint NOT NULL DEFAULT 0,
  filtered_rows bigint NOT NULL DEFAULT 0,
  done boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (migration, dataset, generation, ordinal),
  CONSTRAINT split_accounted CHECK (read_rows = written_rows + unchanged_rows + quarantined_rows + filtered_rows)
);

CREATE TABLE IF NOT EXISTS caravan.commit (
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  ordinal int NOT NULL,
  commit_no bigint NOT NULL,
  fence bigint NOT NULL,
  read_rows bigint NOT NULL,
  written_rows bigint NOT NULL,
  unchanged_rows bigint NOT NULL,
  quarantined_rows bigint NOT NULL,
  filtered_rows bigint NOT NULL,
  from_key text[],
  to_key text[],
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, dataset, generation, ordinal, commit_no),
  CONSTRAINT commit_accounted CHECK (read_rows = written_rows + unchanged_rows + quarantined_rows + filtered_rows)
);

-- Rows that moved from the table to quarantine (unique, references) or back (replay) after their commit. Sums are added to those of the splits.
CREATE TABLE IF NOT EXISTS caravan.adjustment (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  cause text NOT NULL,
  read_rows bigint NOT NULL DEFAULT 0,
  written_rows bigint NOT NULL DEFAULT 0,
  unchanged_rows bigint NOT NULL DEFAULT 0,
  quarantined_rows bigint NOT NULL DEFAULT 0,
  filtered_rows bigint NOT NULL DEFAULT 0,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT adjustment_accounted CHECK (read_rows = written_rows + unchanged_rows + quarantined_rows + filtered_rows)
);

-- content holds the columns' own text as the side gave it: original rows, never shown unmasked.
CREATE TABLE IF NOT EXISTS caravan.quarantine (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  ordinal int NOT NULL,
  commit_no bigint NOT NULL,
  source_key text[],
  reasons jsonb NOT NULL,
  side text NOT NULL DEFAULT 'source' CHECK (side IN ('source', 'target')),
  columns text[] NOT NULL,
  content text[] NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'waived', 'gone')),
  decided_by text,
  decided_reason text,
  decided_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS quarantine_open ON caravan.quarantine (migration, dataset, state);

CREATE TABLE IF NOT EXISTS caravan.owned_table (
  table_schema text NOT NULL,
  table_name text NOT NULL,
  migration text NOT NULL,
  dataset text NOT NULL,
  created boolean NOT NULL DEFAULT false,
  marked_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (table_schema, table_name)
);

CREATE TABLE IF NOT EXISTS caravan.dropped_object (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('index', 'unique', 'foreign_key', 'check', 'trigger')),
  table_schema text NOT NULL,
  table_name text NOT NULL,
  name text NOT NULL,
  definition jsonb NOT NULL,
  state text NOT NULL DEFAULT 'dropped' CHECK (state IN ('dropped', 'rebuilt')),
  UNIQUE (migration, kind, table_schema, table_name, name)
);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = 'caravan.dropped_object'::regclass AND conname = 'dropped_object_kind_check'
      AND pg_catalog.pg_get_constraintdef(oid) LIKE '%''check''%') THEN
    ALTER TABLE caravan.dropped_object DROP CONSTRAINT IF EXISTS dropped_object_kind_check,
      ADD CONSTRAINT dropped_object_kind_check CHECK (kind IN ('index', 'unique', 'foreign_key', 'check', 'trigger'));
  END IF;
END $$;

-- What comes with the tables by option (views, triggers, ...): made, waiting for the rows of its datasets, or left out with the reason.
CREATE TABLE IF NOT EXISTS caravan.schema_object (
  migration text NOT NULL,
  source text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  ordinal int NOT NULL,
  state text NOT NULL CHECK (state IN ('made', 'waiting', 'left')),
  statements text[] NOT NULL,
  datasets text[] NOT NULL,
  reason text,
  PRIMARY KEY (migration, source, kind, name)
);

-- In tables that hold rows of others. inserted: this migration brought the row; only such rows may be removed again, and only they can be extra.
-- Where the target key does not follow from the source key every key that was merged is here: a second source row of the same key goes to quarantine.
CREATE TABLE IF NOT EXISTS caravan.merged_key (
  migration text NOT NULL,
  dataset text NOT NULL,
  target_key text[] NOT NULL,
  inserted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (migration, dataset, target_key)
);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'caravan.merged_key'::regclass AND attname = 'inserted') THEN
    ALTER TABLE caravan.merged_key ADD COLUMN inserted boolean NOT NULL DEFAULT false;
  END IF;
END $$;

-- Before-images of rows that a merge updated, as the server writes a whole row in text (a JSON string; of earlier versions a JSON object). The first image of a key wins.
CREATE TABLE IF NOT EXISTS caravan.before_image (
  migration text NOT NULL,
  dataset text NOT NULL,
  target_key text[] NOT NULL,
  image jsonb NOT NULL,
  PRIMARY KEY (migration, dataset, target_key)
);
`;
