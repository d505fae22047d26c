import type { MigrationStatus } from '../../workers/door';
import { renderTable, type TableColumn } from '../terminal/table';
import { wrapText } from '../terminal/text-width';
import { EXIT } from './exit-codes';
import type { Session } from './session';

/** What a command tells of the migrations: a row of the table and an entry of the JSON list for each. */
interface Told { columns: TableColumn[]; rows: string[][]; json: unknown[]; /** What to do with one of them. */ hint?: string }

/**
 * Lists the migrations of every control store that the connections lead to, and names the connections that cannot be reached: a list without them is not
 * the whole. @returns the exit code: 5 when nothing is listed since none could be reached
 */
export async function listMigrations(session: Session, tell: (migrations: MigrationStatus[]) => Promise<Told>): Promise<number> {
  const { color, marks, columns: width } = session.terminal;
  const door = await session.door();
  const { migrations, unreachable } = await door.status();
  const { columns, rows, json, hint } = await tell(migrations);
  if (rows.length > 0) session.print(...renderTable(columns, rows, color.dim), ...(hint === undefined ? [] : ['', hint]));
  else if (unreachable.length === 0) {
    const connections = await door.connections();
    session.print(connections.length > 0
      ? `No migrations yet in the control stores of: ${connections.map((one) => one.name).join(', ')}. Start one: npx caravan run PLAN`
      : 'No connections are known. Give one as CARAVAN_CONNECTION_<NAME>=URL, or write caravan.connections.yaml.');
  }
  for (const one of unreachable) session.print(...wrapText(`${one.connection}: ${one.message}`, width, `${color.yellow(marks.warning)} `));
  session.printJson({ migrations: json, unreachable });
  return migrations.length === 0 && unreachable.length > 0 ? EXIT.unreachable : EXIT.complete;
}
