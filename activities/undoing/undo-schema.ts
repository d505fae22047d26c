import type { PostgresSystem } from '../connectors/postgres/system';
import { installLedger } from '../stores/ledger';

/**
 * What a rollback keeps in the target. Rows here are original data: PUBLIC has no access to the schema, keys are masked before they are shown.
 * `undo_pass`: one look at all rows of a dataset before any is taken back; what was not visible to its `snapshot` came later and is left alone.
 * `rollback_conflict`: rows that are not as the migration wrote them. `exported_row`: what the new side wrote since the cutover. `content`: the whole
 * row as the server writes it; `columns` names its parts.
 */
const UNDO_SCHEMA = `
CREATE TABLE IF NOT EXISTS caravan.undo_pass (
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  attempt bigint NOT NULL,
  snapshot text NOT NULL,
  filenodes text NOT NULL,
  strangers bigint NOT NULL,
  exported boolean NOT NULL,
  removed bigint NOT NULL DEFAULT 0,
  restored bigint NOT NULL DEFAULT 0,
  judged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, dataset)
);
CREATE TABLE IF NOT EXISTS caravan.rollback_conflict (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  attempt bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('changed', 'inserted', 'deleted', 'referenced', 'refused')),
  key text[],
  columns text[] NOT NULL DEFAULT '{}',
  content text,
  relation oid,
  place tid,
  found_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS rollback_conflict_dataset ON caravan.rollback_conflict (migration, dataset, relation, place);
CREATE TABLE IF NOT EXISTS caravan.exported_row (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  dataset text NOT NULL,
  generation int NOT NULL,
  attempt bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('inserted', 'updated', 'deleted')),
  key text[],
  columns text[] NOT NULL DEFAULT '{}',
  content text,
  relation oid,
  place tid,
  exported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS exported_row_dataset ON caravan.exported_row (migration, dataset, id);
`;

/** Key of the advisory lock under which the tables are made. */
const INSTALL_LOCK = 7_202_614;
const installed = new WeakSet<PostgresSystem>();

/** Makes the tables of a rollback in a target, once. Safe to repeat and to run from several workers at once. */
export async function installUndo(target: PostgresSystem): Promise<void> {
  if (installed.has(target)) return;
  await installLedger(target);
  await target.transaction(async (client) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [INSTALL_LOCK]);
    await client.query(UNDO_SCHEMA);
  });
  installed.add(target);
}
