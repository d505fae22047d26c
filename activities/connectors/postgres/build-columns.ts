import type { Building, Optional } from './building';
import type { TablePlan, PlannedColumn } from './create-table';
import { quoteIdent, quoteLiteral, qualified } from './sql';
import type { LeftOut } from './table-definition';

/** Defaults, statistics targets, storage, compression and comments of columns. ONLY: children and partitions have settings of their own. */
export async function finishColumns(building: Building, plan: TablePlan, optional: Optional, leftOut: LeftOut[]): Promise<void> {
  const { client } = building;
  for (const column of plan.columns) {
    const alter = `ALTER TABLE ONLY ${qualified(plan.target)} ALTER COLUMN ${quoteIdent(column.name)}`;
    await setDefault(building, plan, column, alter, optional);
    if (column.statistics !== null) await client.query(`${alter} SET STATISTICS ${Math.trunc(column.statistics)}`);
    for (const option of column.options) {
      const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(option) ?? [];
      await optional('column option', `${column.name} ${name}`, `${alter} SET (${name} = ${quoteLiteral(value)})`);
    }
    if (column.storage !== null) await optional('storage', column.name, `${alter} SET STORAGE ${column.storage}`);
    await setCompression(building, column, alter, optional, leftOut);
    if (column.comment !== null) await client.query(`COMMENT ON COLUMN ${qualified(plan.target)}.${quoteIdent(column.name)} IS ${quoteLiteral(column.comment)}`);
  }
}

async function setDefault(building: Building, plan: TablePlan, column: PlannedColumn, alter: string, optional: Optional): Promise<void> {
  if (column.generated !== '' || column.identity !== '') return;
  if (column.expression !== null) await optional('default', column.name, `${alter} SET DEFAULT ${inNewNames(building, column.expression)}`);
  // A child may do without the default that it would have from its parent.
  else if (column.inherited && plan.source.bound === null && !column.overridden) await building.client.query(`${alter} DROP DEFAULT`);
}

const NEXTVAL = /nextval\((E?)'((?:[^'\\]|''|\\\\)*)'::regclass\)/g;

/** Sequences that tables own may have other names in the target. */
function inNewNames(building: Building, expression: string): string {
  return expression.replace(NEXTVAL, (whole, escaped: string, text: string) => {
    const spelled = escaped === '' ? text.replaceAll("''", "'") : text.replaceAll("''", "'").replaceAll('\\\\', '\\');
    const name = building.sequences.get(spelled);
    return name ? `nextval(${quoteLiteral(qualified(name))}::regclass)` : whole;
  });
}

async function setCompression(building: Building, column: PlannedColumn, alter: string, optional: Optional, leftOut: LeftOut[]): Promise<void> {
  if (column.compression === null) return;
  if (building.major < 14) leftOut.push({ what: 'compression', name: `${column.name} ${column.compression}`, reason: `the target's version ${building.major} has no choice of it` });
  else await optional('compression', column.name, `${alter} SET COMPRESSION ${column.compression}`);
}
