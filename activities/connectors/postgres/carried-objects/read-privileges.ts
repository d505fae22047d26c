import type { ClientBase } from 'pg';
import { readRows, USER_SCHEMAS } from '../catalog';
import { displayName, quoteIdent, qualified, sameTable, type TableName } from '../sql';
import type { ChosenObject, MovedTable } from './choose-objects';
import type { NotCarried } from './schema-object';

interface Grant { role: string | null; privilege: string; grantable: boolean; column: string | null }
interface Owned { class: 'relation' | 'routine' | 'schema'; oid: number; schema: string; name: string; signature: string; owner: string; mine: boolean; grants: Grant[]; publicRevoked: boolean; ownedBy: number | null }

const GRANTS = (acl: string, owner: string, column: string): string =>
  `SELECT json_build_object('role', CASE WHEN g.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(g.grantee) END, 'privilege', g.privilege_type, 'grantable', g.is_grantable, 'column', ${column}) AS one
     FROM pg_catalog.aclexplode(${acl}) g WHERE g.grantee <> ${owner}`;

// What everybody may in schema public is as the server made it.
const OWNED = `
  SELECT 'relation' AS class, c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, '' AS signature, pg_catalog.pg_get_userbyid(c.relowner) AS owner, c.relowner = u.oid AS mine, false AS "publicRevoked",
      (SELECT coalesce(json_agg(every.one), '[]'::json) FROM (${GRANTS('c.relacl', 'c.relowner', 'NULL::text')} UNION ALL
         SELECT of_column.one FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL (${GRANTS('a.attacl', 'c.relowner', 'a.attname::text')}) of_column
         WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped) every) AS grants,
      (SELECT d.refobjid::int8 FROM pg_catalog.pg_depend d WHERE c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_catalog.pg_class'::regclass LIMIT 1) AS "ownedBy"
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace CROSS JOIN me u WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND ${USER_SCHEMAS}
  UNION ALL SELECT 'routine', p.oid::int8, n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid), pg_catalog.pg_get_userbyid(p.proowner), p.proowner = u.oid,
      p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) g WHERE g.grantee = 0),
      (SELECT coalesce(json_agg(every.one), '[]'::json) FROM (${GRANTS('p.proacl', 'p.proowner', 'NULL::text')}) every), NULL
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace CROSS JOIN me u WHERE ${USER_SCHEMAS}
  UNION ALL SELECT 'schema', n.oid::int8, n.nspname, n.nspname, '', pg_catalog.pg_get_userbyid(n.nspowner), n.nspowner = u.oid OR n.nspname = 'public', false,
      (SELECT coalesce(json_agg(every.one), '[]'::json) FROM (${GRANTS('n.nspacl', 'n.nspowner', 'NULL::text')} AND NOT (n.nspname = 'public' AND g.grantee = 0)) every), NULL
    FROM pg_catalog.pg_namespace n CROSS JOIN me u WHERE ${USER_SCHEMAS}`;

/**
 * Owners and grants of what the plan moves or carries, under its name in the target, as objects to be set at the very end. Owned sequences follow their table.
 * What the plan does not ask for is counted in `left`, where there is any.
 */
export async function readPrivileges(client: ClientBase, moved: readonly MovedTable[], chosen: readonly ChosenObject[], options: { owners: boolean; grants: boolean }): Promise<{ chosen: ChosenObject[]; left: NotCarried[] }> {
  const found = await readRows<Owned>(client, `WITH me AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) ${OWNED} ORDER BY class, schema, name, signature`);
  const placed = found.flatMap((one) => {
    const place = placeOf(one, found, moved, chosen);
    return place ? [{ one, ...place }] : [];
  });
  const owners = placed.filter(({ one }) => !one.mine && one.class !== 'schema' && one.ownedBy === null).map(({ one, sql, name, datasets }) => ({
    ...object('owner', `${one.owner} of ${name}`, one, datasets), roles: [one.owner], afterLoad: [`ALTER ${sql} OWNER TO ${quoteIdent(one.owner)}`],
  }));
  const grants = placed.flatMap(({ one, sql, name, datasets, changed }) => grantsOf(one, sql, changed).map(({ role, statements }) => ({
    ...object('grant', `to ${role ?? 'PUBLIC'} on ${name}`, one, datasets), roles: role === null ? [] : [role], afterLoad: statements,
  })));
  const left: NotCarried[] = [];
  if (!options.owners && owners.length > 0) left.push({ what: 'owners', name: `of ${owners.length} objects`, reason: 'the plan does not ask for it (schema_objects.owners)' });
  if (!options.grants && grants.length > 0) left.push({ what: 'grants', name: `to other roles on ${new Set(grants.map(({ oid }) => oid)).size} objects`, reason: 'the plan does not ask for it (schema_objects.grants)' });
  return { chosen: [...(options.grants ? grants : []), ...(options.owners ? owners : [])], left };
}

function object(kind: 'owner' | 'grant', name: string, { oid, schema, name: own, signature }: Owned, datasets: string[]): Omit<ChosenObject, 'roles' | 'afterLoad'> {
  return { kind, name, oid, schema, own, signature, definition: '', make: [], on: null, obstacle: null, datasets };
}

interface Place { sql: string; name: string; datasets: string[]; changed: ReadonlySet<string> }

const NONE: ReadonlySet<string> = new Set();

function placeOf(one: Owned, all: readonly Owned[], moved: readonly MovedTable[], chosen: readonly ChosenObject[]): Place | null {
  if (one.class === 'schema') {
    const used = moved.some(({ source, target }) => source.schema === one.name && target.schema === one.name);
    return used ? { sql: `SCHEMA ${quoteIdent(one.name)}`, name: `schema ${one.name}`, datasets: [], changed: NONE } : null;
  }
  const carried = chosen.find(({ kind, oid }) => oid === one.oid && (kind === 'function') === (one.class === 'routine') && (kind === 'function' || kind.endsWith('view')));
  if (one.class === 'routine') return carried ? { sql: `ROUTINE ${qualified(one)}(${one.signature})`, name: carried.name, datasets: carried.datasets, changed: NONE } : null;
  if (carried) return relation(one, carried.datasets, NONE);
  const table = one.ownedBy === null ? one : all.find((other) => other.class === 'relation' && other.oid === one.ownedBy);
  const movedTable = table && moved.find(({ source }) => sameTable(source, table));
  if (!movedTable) return null;
  return relation(one.ownedBy === null ? movedTable.target : { schema: movedTable.target.schema, name: one.name }, [movedTable.dataset], movedTable.changed);
}

function relation(name: TableName, datasets: string[], changed: ReadonlySet<string>): Place {
  return { sql: `TABLE ${qualified(name)}`, name: displayName(name), datasets, changed };
}

/** One object per role, and one more for MAINTAIN, which servers before version 17 do not know. */
function grantsOf(one: Owned, sql: string, changed: ReadonlySet<string>): { role: string | null; statements: string[] }[] {
  const result: { role: string | null; statements: string[] }[] = [];
  if (one.publicRevoked) result.push({ role: null, statements: [`REVOKE ALL ON ${sql} FROM PUBLIC`] });
  const groups = new Map<string, { role: string | null; statements: string[] }>();
  for (const { role, privilege, grantable, column } of one.grants) {
    if (column !== null && changed.has(column)) continue;
    const key = JSON.stringify([role, privilege === 'MAINTAIN']);
    const group = groups.get(key) ?? { role, statements: [] };
    groups.set(key, group);
    group.statements.push(`GRANT ${privilege}${column === null ? '' : ` (${quoteIdent(column)})`} ON ${sql} TO ${role === null ? 'PUBLIC' : quoteIdent(role)}${grantable ? ' WITH GRANT OPTION' : ''}`);
  }
  return [...result, ...groups.values()];
}
