import type { ClientBase } from 'pg';
import { MigrationError } from '../../../../migration/errors';
import { readRows } from '../catalog';
import { createSchemaIfMissing } from '../created-schemas';
import { toMigrationError } from '../errors';
import type { ChosenObject } from './choose-objects';
import { existing } from './existing-objects';
import { CARRIED_KINDS, kindInWords, type NotCarried } from './schema-object';

export interface MadeObjects {
  /** In the target now, or there before and equal. */
  made: ChosenObject[];
  /** Proved to work, and waiting for the rows; in the order to make them. */
  waiting: ChosenObject[];
  failed: NotCarried[];
}

/**
 * Makes what may stand before the rows, and tries out in a savepoint what may not (triggers, rules, row security), so that what fails is known now.
 * Objects are tried in the order of the source; what fails is tried again as long as anything else succeeds: so each finds what it needs.
 * Nothing that is there is replaced. Run it in one transaction of the target, under an empty search path, and store the answer in it.
 */
export async function makeObjects(target: ClientBase, chosen: readonly ChosenObject[]): Promise<MadeObjects> {
  const result: MadeObjects = { made: [], waiting: [], failed: [] };
  // Bodies may name each other, and what is made after them.
  await target.query('SET LOCAL check_function_bodies = off');
  const roles = new Set((await readRows<{ name: string }>(target, 'SELECT rolname AS name FROM pg_catalog.pg_roles')).map(({ name }) => name));
  let open = [...chosen];
  for (let before = -1; open.length > 0 && open.length !== before;) {
    before = open.length;
    result.failed = [];
    const again: ChosenObject[] = [];
    for (const object of open) {
      const absent = object.roles.find((role) => !roles.has(role));
      const failure = absent === undefined ? await make(target, object) : `the target has no role ${absent}`;
      if (failure === null) (object.afterLoad.length > 0 ? result.waiting : result.made).push(object);
      else {
        again.push(object);
        result.failed.push({ what: kindInWords(object.kind), name: object.name, reason: failure });
      }
    }
    open = again;
  }
  // Among materialized views, those that others read came first.
  result.waiting.sort((a, b) => CARRIED_KINDS.indexOf(a.kind) - CARRIED_KINDS.indexOf(b.kind));
  return result;
}

/** Null when it was made or rehearsed, else why not. */
async function make(target: ClientBase, object: ChosenObject): Promise<string | null> {
  if (object.make.length === 0) return trial(target, () => finishObject(target, object), false);
  const there = await existing(target, object);
  if (there !== null) return there === 'equal' ? null : there;
  return trial(target, async () => {
    await createSchemaIfMissing(target, object.schema);
    for (const sql of object.make) await target.query(sql);
  }, true);
}

/** What waited for the rows. @throws what the server says; MigrationError `PRIVILEGE_MISSING` when this user could not read the rows any more, which validation does. */
export async function finishObject(target: ClientBase, { kind, name, afterLoad }: Pick<ChosenObject, 'kind' | 'name' | 'afterLoad'>): Promise<void> {
  for (const sql of afterLoad) await target.query(sql);
  if (kind === 'row_security') await refuseHiddenRows(target, name, afterLoad);
  if (kind === 'owner') await refuseForeignOwner(target, afterLoad);
}

/** `ALTER ... OWNER TO "role"`: a member of the role keeps all rights. */
async function refuseForeignOwner(target: ClientBase, [sql = '']: readonly string[]): Promise<void> {
  const role = / OWNER TO "((?:[^"]|"")+)"$/.exec(sql)?.[1]?.replaceAll('""', '"') ?? '';
  const [found] = await readRows<{ member: boolean }>(target, `SELECT pg_catalog.pg_has_role($1::name, 'USAGE') AS member`, [role]);
  if (!found?.member) throw new MigrationError('PRIVILEGE_MISSING', `the user of this migration is no member of ${role}, and could not finish what it would not own. Grant it the role.`);
}

async function refuseHiddenRows(target: ClientBase, name: string, afterLoad: readonly string[]): Promise<void> {
  const table = /^ALTER TABLE (.*) ENABLE ROW LEVEL SECURITY$/s.exec(afterLoad[0] ?? '')?.[1] ?? '';
  const [found] = await readRows<{ hides: boolean }>(target, 'SELECT pg_catalog.row_security_active($1::text) AS hides', [table]);
  if (found?.hides) {
    throw new MigrationError('PRIVILEGE_MISSING', `row security of ${name} would hide rows from the user of this migration, who has to compare them. Use a user with BYPASSRLS, or switch it on yourself in the end.`);
  }
}

async function trial(target: ClientBase, work: () => Promise<void>, keep: boolean): Promise<string | null> {
  await target.query('SAVEPOINT caravan_object');
  try {
    await work();
    if (!keep) await target.query('ROLLBACK TO SAVEPOINT caravan_object');
    await target.query('RELEASE SAVEPOINT caravan_object');
    return null;
  } catch (error) {
    await target.query('ROLLBACK TO SAVEPOINT caravan_object');
    return reasonOf(error);
  }
}

/** A reason that trying again would not change. @throws MigrationError what is transient. */
export function reasonOf(error: unknown): string {
  const known = toMigrationError(error, 'the target said');
  if (known.kind === 'transient' || known.kind === 'fenced') throw known;
  // The remedies of the codes speak of the plan's tables.
  return known.message.replace(/^connection \S+: /, '').replace(/( \(SQLSTATE \w{5}\))\..*$/s, '$1');
}
