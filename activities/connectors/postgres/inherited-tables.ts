import type { Place } from './create-foreign-keys';
import type { TableToMake } from './create-table';
import { displayName, type TableName } from './sql';
import type { LeftOut } from './table-definition';

/**
 * The parents that a table gets in the target. It inherits there, too, when all of its parents were made from the same plan and the columns
 * that they share have the same new names and types; else it has its inherited columns on its own.
 */
export function parentsInTarget({ request, plan }: TableToMake, made: TableToMake[], placeOf: (source: TableName) => Place | undefined): { parents: TableName[]; leftOut: LeftOut[] } {
  const { parents } = plan.source;
  if (parents.length === 0) return { parents: [], leftOut: [] };
  const alone = (reason: string) => ({ parents: [], leftOut: [{ what: 'inheritance', name: plan.source.name, reason: `${reason}; the table has its inherited columns on its own` }] });
  for (const parent of parents) {
    const place = placeOf(parent);
    if (!place) return alone(`its parent ${displayName(parent)} is not in the plan`);
    const other = made.find((one) => one.request === place.request)?.plan;
    if (!other) return alone(`its parent ${displayName(place.target)} was there before`);
    for (const theirs of other.columns) {
      const own = plan.columns.find((column) => column.name === theirs.name);
      if (!own || own.newName !== theirs.newName || own.type !== theirs.type || own.generated !== theirs.generated) {
        return alone(`the plan of ${request.dataset} treats column ${theirs.name} otherwise than that of its parent`);
      }
    }
    const lost = plan.columns.find((column) => column.inherited && other.source.columns.some(({ name }) => name === column.name) && !other.columns.some(({ name }) => name === column.name));
    if (lost || other.added.length > 0) return alone(`the plan of its parent ${lost ? `drops column ${lost.name}` : 'adds columns'}`);
  }
  return { parents: parents.map((parent) => placeOf(parent)?.target ?? parent), leftOut: [] };
}
