import type { ClientBase } from 'pg';
import type { Selection } from '../../../migration/connector';
import { MigrationError } from '../../../migration/errors';
import type { KeyText } from '../../../migration/split';
import { findRelation, readKeys, withEmptySearchPath } from './catalog';
import { rowsOf } from './selection-sql';
import { columnList, parseTableName, quoteIdent, quoteLiteral } from './sql';

/** The key is declared in the plan, and no unique index of the source vouches for it. */
export async function isUnproven(client: ClientBase, selection: Selection): Promise<boolean> {
  const declared = selection.key;
  if (!declared) return false;
  if (selection.table === undefined) return true;
  const relation = await findRelation(client, parseTableName(selection.table));
  const proven = relation ? await withEmptySearchPath(client, () => readKeys(client, [relation.oid])) : [];
  return !proven.some(({ columns }) => columns.every((column) => declared.includes(column)));
}

/** @throws MigrationError `KEY_NOT_UNIQUE` or `MAPPING_INVALID` when a declared key that no index proves repeats or is NULL: rows would be missed. */
export async function proveKey(client: ClientBase, selection: Selection, place: string): Promise<void> {
  if (!selection.key || !await isUnproven(client, selection)) return;
  const from = `FROM (${await rowsOf(client, selection, selection.key)}) caravan_source`;
  const { rows: [found] } = await client.query<{ blank: boolean; repeated: boolean }>(
    `SELECT EXISTS (SELECT ${from} WHERE ${selection.key.map((name) => `${quoteIdent(name)} IS NULL`).join(' OR ')}) AS blank,
       EXISTS (SELECT ${from} GROUP BY ${columnList(selection.key)} HAVING count(*) > 1) AS repeated`);
  if (found?.blank) throw new MigrationError('MAPPING_INVALID', `${place}: the declared key is NULL in some rows, and they would be missed. Declare other columns, or leave key out: the rows are then copied in one piece.`);
  if (found?.repeated) throw notUnique(place);
}

/** A resumed read starts behind its cursor: a second row of the cursor's own key would be skipped. */
export async function refuseTwins(client: ClientBase, selection: Selection, key: string[], cursor: KeyText, place: string): Promise<void> {
  const { rowCount } = await client.query(`SELECT 1 FROM (${await rowsOf(client, selection, key)}) caravan_source WHERE ${keyComparison(key, '=', cursor)} LIMIT 2`);
  if (rowCount === 2) throw notUnique(place);
}

/** Row values compare as a whole: `(a, b) > (x, y)`. The columns' own types and collations decide. */
export function keyComparison(key: readonly string[], operator: '>' | '<=' | '=', bound: KeyText): string {
  return `(${columnList(key)}) ${operator} (${bound.map((text) => quoteLiteral(text)).join(', ')})`;
}

function notUnique(place: string): MigrationError {
  return new MigrationError('KEY_NOT_UNIQUE', `${place}: two rows have the same key. Declare a key that is unique, or leave key out: the rows are then copied in one piece.`);
}

/** A declared key has no index that proves it: equal neighbours in key order would be skipped on resume. */
export class NeighbourCheck {
  private last: string | null = null;

  constructor(private readonly place: string) {}

  see(key: KeyText | null): void {
    const text = JSON.stringify(key);
    if (text === this.last) throw notUnique(this.place);
    this.last = text;
  }
}
