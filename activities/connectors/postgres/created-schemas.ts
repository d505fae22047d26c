import type { ClientBase } from 'pg';
import { readRows, USER_SCHEMAS } from './catalog';
import { quoteIdent, quoteLiteral } from './sql';

/** True when it was not there. */
export async function createSchemaIfMissing(target: ClientBase, schema: string): Promise<boolean> {
  const [found] = await readRows<{ found: boolean }>(target, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1) AS found`, [schema]);
  // IF NOT EXISTS alone would ask for the right to create even when it is there.
  if (!found?.found) await target.query(`CREATE SCHEMA IF NOT EXISTS ${quoteIdent(schema)}`);
  return !found?.found;
}

/** Makes schemas in the target where they are missing, with the comment that the source's schema of that name has. */
export class CreatedSchemas {
  private readonly known = new Set<string>();

  private constructor(private readonly target: ClientBase, private readonly comments: Map<string, string>) {}

  static async over(source: ClientBase, target: ClientBase): Promise<CreatedSchemas> {
    const found = await readRows<{ name: string; comment: string }>(
      source,
      `SELECT n.nspname AS name, pg_catalog.obj_description(n.oid, 'pg_namespace') AS comment FROM pg_catalog.pg_namespace n
       WHERE ${USER_SCHEMAS} AND pg_catalog.obj_description(n.oid, 'pg_namespace') IS NOT NULL`);
    return new CreatedSchemas(target, new Map(found.map(({ name, comment }) => [name, comment])));
  }

  async ensure(schema: string): Promise<void> {
    if (this.known.has(schema)) return;
    const comment = this.comments.get(schema);
    if (await createSchemaIfMissing(this.target, schema) && comment !== undefined) await this.target.query(`COMMENT ON SCHEMA ${quoteIdent(schema)} IS ${quoteLiteral(comment)}`);
    this.known.add(schema);
  }
}
