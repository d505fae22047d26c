import type { ClientBase } from 'pg';
import { MigrationError } from '../../../migration/errors';
import { attempt } from './attempt';
import { readRows } from './catalog';
import type { CreatedSchemas } from './created-schemas';
import type { Closure } from './dependency-closure';
import { OBJECT_COMMENTS, OBJECT_DDL, TYPE_AS_IT_IS, type ObjectDdl } from './object-ddl';
import { quoteIdent } from './sql';
import type { LeftOut } from './table-definition';

interface Pending { object: ObjectDdl; next: number; reason: string }

/**
 * The objects that tables lean on, made in the target where it lacks them. Objects may need each other in any way, so each is tried
 * until nothing more succeeds; tables may be made in between. What never succeeds is left out and named.
 */
export class NeededObjects {
  readonly leftOut: LeftOut[] = [];
  /** Extension -> why the target does not have it. */
  readonly missingExtensions = new Map<string, string>();
  private pending: Pending[] = [];

  private constructor(private readonly target: ClientBase, private readonly schemas: CreatedSchemas) {}

  /** @throws MigrationError `MAPPING_INVALID` when the target has another type of the same name. */
  static async prepare(source: ClientBase, target: ClientBase, schemas: CreatedSchemas, closure: Closure, major: number): Promise<NeededObjects> {
    const needed = new NeededObjects(target, schemas);
    for (const name of closure.extensions) await needed.createExtension(source, name);
    // Bodies may name what is not there yet: they are checked when they run.
    await target.query('SET LOCAL check_function_bodies = off');
    const objects = await readObjects(source, closure, major);
    for (const object of objects) {
      if (await isPresent(target, object.present)) await needed.compareType(object, major);
      else if (object.reason !== null) needed.leftOut.push({ what: object.what, name: object.name, reason: object.reason });
      else needed.pending.push({ object, next: 0, reason: '' });
    }
    return needed;
  }

  /** Makes what can be made now. */
  async settle(): Promise<void> {
    for (let progress = this.pending.length > 0; progress;) {
      progress = false;
      for (const one of this.pending) if (await this.advance(one)) progress = true;
      this.pending = this.pending.filter(({ object, next }) => next < object.statements.length);
    }
  }

  /** All that could be needed is there: what still fails is left out. */
  async finish(): Promise<void> {
    for (await this.settle(); this.pending.length > 0; await this.settle()) {
      for (const one of this.pending) {
        const { what, name, statements } = one.object;
        const part = /\b(SET DEFAULT|ADD CONSTRAINT ("(?:[^"]|"")+"|\S+)|ADD MAPPING FOR \S+)/.exec(statements[one.next] ?? '')?.[1];
        this.leftOut.push({ what, name, reason: one.next === 0 || part === undefined ? one.reason : `made without ${part}: ${one.reason}` });
        one.next = one.next === 0 ? statements.length : one.next + 1;
      }
      this.pending = this.pending.filter(({ object, next }) => next < object.statements.length);
    }
  }

  private async advance(one: Pending): Promise<boolean> {
    const { object } = one;
    const before = one.next;
    if (before === 0) await this.schemas.ensure(object.schema);
    for (let sql = object.statements[one.next]; sql !== undefined; sql = object.statements[one.next]) {
      const made = await attempt(this.target, sql);
      if (made !== true) {
        one.reason = made;
        break;
      }
      one.next += 1;
    }
    return one.next > before;
  }

  private async compareType(object: ObjectDdl, major: number): Promise<void> {
    if (!object.type) return;
    const found = await typeStatement(this.target, object.name, major);
    if (found === null || found === object.statements[0]) return;
    throw new MigrationError('MAPPING_INVALID', `type ${object.name} exists in the target and differs from the source's. Make them equal, or rename the one in the target.`);
  }

  private async createExtension(source: ClientBase, name: string): Promise<void> {
    const [there] = await readRows(this.target, `SELECT extname FROM pg_catalog.pg_extension WHERE extname = $1`, [name]);
    if (there) return;
    const [from] = await readRows<{ schema: string }>(
      source, `SELECT n.nspname AS schema FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = $1`, [name]);
    const schema = from?.schema ?? 'public';
    await this.schemas.ensure(schema);
    const made = await attempt(this.target, `CREATE EXTENSION IF NOT EXISTS ${quoteIdent(name)} SCHEMA ${quoteIdent(schema)} CASCADE`);
    if (made === true) return;
    this.missingExtensions.set(name, made);
    this.leftOut.push({ what: 'extension', name, reason: `${made}. Have it installed: CREATE EXTENSION ${quoteIdent(name)} SCHEMA ${quoteIdent(schema)};` });
  }
}

/** An older server does not answer but raises an error when a type in a signature is unknown. */
export async function isPresent(target: ClientBase, present: string): Promise<boolean> {
  await target.query('SAVEPOINT caravan_present');
  const there = await readRows<{ present: boolean }>(target, `SELECT ${present} AS present`).catch(async () => {
    await target.query('ROLLBACK TO SAVEPOINT caravan_present');
    return [];
  });
  await target.query('RELEASE SAVEPOINT caravan_present');
  return there[0]?.present ?? false;
}

/** The statement that would make the type of this name as it is; null when there is none. `major`: of the server it would be made in. */
export async function typeStatement(client: ClientBase, spelled: string, major = 18): Promise<string | null> {
  const [schema, name] = await namesOf(client, spelled);
  const [found] = await readRows<{ statement: string | null }>(client, TYPE_AS_IT_IS, [schema, major, name]);
  return found?.statement ?? null;
}

/** How objects of the source are made, in the closure's order. `major`: of the target. */
export async function readObjects(source: ClientBase, closure: Pick<Closure, 'objects' | 'tables'>, major: number): Promise<(ObjectDdl & { catalog: string })[]> {
  const found = new Map<string, ObjectDdl & { catalog: string }>();
  for (const [catalog, sql] of Object.entries(OBJECT_DDL)) {
    const oids = closure.objects.filter((object) => object.catalog === catalog).map(({ oid }) => oid);
    if (oids.length === 0) continue;
    const rows = await readRows<ObjectDdl>(source, `WITH given AS (SELECT $1::oid[] AS oids, $2::int AS major, $3::oid[] AS tables) ${sql}`, [oids, major, closure.tables]);
    for (const object of rows) found.set(`${catalog} ${object.oid}`, { ...object, catalog });
  }
  const made = closure.objects.filter(({ catalog, oid }) => found.has(`${catalog} ${oid}`));
  const comments = await readRows<{ catalog: string; oid: number; statement: string }>(source, OBJECT_COMMENTS, [made.map(({ catalog }) => catalog), made.map(({ oid }) => oid)]);
  for (const { catalog, oid, statement } of comments) found.get(`${catalog} ${oid}`)?.statements.push(statement);
  return made.flatMap(({ catalog, oid }) => found.get(`${catalog} ${oid}`) ?? []);
}

async function namesOf(client: ClientBase, spelled: string): Promise<string[]> {
  const [row] = await readRows<{ parts: string[] }>(client, `SELECT to_json(parse_ident($1)) AS parts`, [spelled]);
  return row?.parts ?? [];
}
