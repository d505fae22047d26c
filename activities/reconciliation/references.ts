import type { Client, ClientBase } from 'pg';
import { MigrationError } from '../../migration/errors';
import { ownRowsOf } from '../connectors/postgres/catalog';
import type { DroppedObject } from '../connectors/postgres/dropped-object';
import { displayName, quoteIdent, quoteLiteral, type TableName } from '../connectors/postgres/sql';
import { underFence, type DatasetFence } from './dataset-fence';
import { targetFrom, type DatasetSides } from './dataset-sides';
import { moveToQuarantine, placeColumns, type PlacedRow } from './row-mover';

const PAGE = 2_000;

/** One way in which rows of a dataset lean on rows of a table in the same target. */
export interface Reference {
  child: DatasetSides;
  columns: string[];
  parent: TableName;
  parentColumns: string[];
  /** The dataset that fills the parent; null when the plan does not. */
  parentSides: DatasetSides | null;
  /** All columns NULL is the only way to point nowhere. */
  matchFull: boolean;
}

const FOREIGN_KEY = /^FOREIGN KEY \((.*?)\) REFERENCES (.+?)\((.*?)\)( MATCH FULL)?/s;
const NAME = /"((?:[^"]|"")+)"|([^",\s]+)/g;

/** Columns of a foreign key, from the server's own text of it; null for forms that cannot be judged by equality (PERIOD). */
export function readForeignKey(object: DroppedObject): Pick<Reference, 'columns' | 'parentColumns' | 'matchFull'> | null {
  const match = FOREIGN_KEY.exec(object.definition);
  if (!match || /(^|, )PERIOD /.test(match[1] ?? '')) return null;
  const columns = namesIn(match[1] ?? '');
  const parentColumns = namesIn(match[3] ?? '');
  if (columns.length === 0 || columns.length !== parentColumns.length) return null;
  return { columns, parentColumns, matchFull: match[4] !== undefined };
}

function namesIn(list: string): string[] {
  return [...list.matchAll(NAME)].map((match) => match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
}

/**
 * Moves the rows whose parent is not there to quarantine: `parent_quarantined` when quarantine holds the parent, else `orphan`.
 * One round over one reference, one fenced transaction; repeat over all references until nothing moves. Answers how many moved.
 * @throws MigrationError `ROW_REFUSED` when the plan says `on_invalid: fail` and there are any.
 */
export function moveOrphans(source: Client | null, reference: Reference, held: DatasetFence, signal: AbortSignal): Promise<number> {
  const { child } = reference;
  return underFence(child.ctx.target, held, async (client) => {
    await client.query(`LOCK TABLE ${await targetFrom(client, child)} IN SHARE ROW EXCLUSIVE MODE`);
    await collectOrphans(client, reference);
    const { rows: [found] } = await client.query<{ rows: string }>('SELECT count(*)::text AS rows FROM pg_temp.caravan_orphans');
    const orphans = Number(found?.rows ?? 0);
    const column = reference.columns.join(', ');
    if (orphans > 0 && child.ctx.dataset.on_invalid === 'fail') {
      throw new MigrationError('ROW_REFUSED', `dataset ${child.ctx.name}: ${orphans} rows point by (${column}) to no row of ${displayName(reference.parent)}, and the plan says on_invalid: fail. Clean them in the source, or use on_invalid: quarantine.`);
    }
    let moved = 0;
    for (let after = '0'; orphans > 0;) {
      const { rows } = await client.query<PlacedRow & { n: string; parent_quarantined: boolean }>(
        `SELECT o.n::text AS n, part, place::text AS place, key, parent_quarantined FROM pg_temp.caravan_orphans o WHERE o.n > $1 ORDER BY o.n LIMIT ${PAGE}`, [after]);
      const last = rows.at(-1);
      if (!last) break;
      after = last.n;
      const leaving = rows.map((row) => ({ ...row, reasons: [{ rule: row.parent_quarantined ? 'parent_quarantined' : 'orphan', column }] }));
      moved += await moveToQuarantine(client, source, child, held, leaving, 'references', signal);
    }
    await client.query('DROP TABLE pg_temp.caravan_orphans');
    return moved;
  });
}

async function collectOrphans(client: ClientBase, reference: Reference): Promise<void> {
  const { child, columns, parent, parentColumns, matchFull } = reference;
  const set = columns.map((name) => `t.${quoteIdent(name)} IS ${matchFull ? '' : 'NOT '}NULL`).join(' AND ');
  const same = columns.map((name, at) => `p.${quoteIdent(parentColumns[at] ?? '')} = t.${quoteIdent(name)}`).join(' AND ');
  await client.query(
    `CREATE TEMP TABLE caravan_orphans ON COMMIT DROP AS
     SELECT row_number() OVER () AS n, ${placeColumns(child)}, ${inQuarantine(reference)} AS parent_quarantined
     FROM ${await targetFrom(client, child)} t
     WHERE ${matchFull ? `NOT (${set})` : set} AND NOT EXISTS (SELECT FROM ${await ownRowsOf(client, parent)} p WHERE ${same})`);
}

/** Whether quarantine holds a row of the parent's dataset with these values, by what the source called the columns. */
function inQuarantine({ columns, parentColumns, parentSides }: Reference): string {
  const names = parentColumns.map((name) => parentSides?.plainSource(name) ?? null);
  if (!parentSides || names.some((name) => name === null)) return 'false';
  const own = columns.map((name) => `t.${quoteIdent(name)}::text`).join(', ');
  const theirs = parentColumns.map((name, at) => `q.content[array_position(q.columns, CASE q.side WHEN 'target' THEN ${quoteLiteral(name)} ELSE ${quoteLiteral(names[at] ?? '')} END)]`);
  return `coalesce((${own}) IN (SELECT ${theirs.join(', ')} FROM caravan.quarantine q
    WHERE q.migration = ${quoteLiteral(parentSides.ctx.ref.migration)} AND q.dataset = ${quoteLiteral(parentSides.ctx.name)} AND q.generation = ${parentSides.ledger.generation}
      AND q.state IN ('open', 'waived')), false)`;
}
