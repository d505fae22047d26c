import type { ClientBase } from 'pg';
import type { Selection } from '../../../migration/connector';
import { findRelation } from './catalog';
import { selectAll } from './describe';
import { parseTableName } from './sql';

/** The selected rows as a SELECT of these columns (absent: of all); INHERITS parents without their children. */
export async function rowsOf(client: ClientBase, selection: Selection, columns?: readonly string[]): Promise<string> {
  if (selection.table === undefined) return selectAll(selection, false, columns);
  const relation = await findRelation(client, parseTableName(selection.table));
  return selectAll(selection, relation?.hasChildren ?? false, columns);
}
