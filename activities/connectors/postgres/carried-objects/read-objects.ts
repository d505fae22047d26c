import type { ClientBase } from 'pg';
import { readRows, USER_SCHEMAS } from '../catalog';
import { displayName, quoteIdent, quoteLiteral, qualified } from '../sql';
import { NOT_WRITE_BLOCK } from '../write-block-schema';
import { readParts } from './read-parts';
import type { DefinedKind, KnownRelation, Needs, SchemaObject } from './schema-object';

export type DefinedObject = SchemaObject<DefinedKind>;

export interface SchemaObjects { objects: DefinedObject[]; relations: Map<number, KnownRelation>; needs: Map<DefinedObject, Needs>; inExtension: Set<number> }

/** Members of extensions come with them; what is internal to another object (a range's constructor) comes with that. */
const OWN = (catalog: string, oid: string): string =>
  `NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.${catalog}'::regclass AND x.objid = ${oid} AND x.deptype IN ('e', 'i') AND x.refclassid <> 'pg_catalog.pg_class'::regclass)`;

/** All of the users' objects that `schema_objects` can carry. Call it under an empty search path: the deparsers then name every schema. */
export async function readSchemaObjects(client: ClientBase): Promise<SchemaObjects> {
  const objects = [
    ...(await readParts(client)), ...(await readFunctions(client)), ...(await readViews(client)), ...(await readRules(client)), ...(await readTriggers(client)),
    ...(await readPolicies(client)), ...(await readRowSecurity(client)),
  ];
  const relations = new Map((await readRelations(client)).map((relation) => [relation.oid, relation]));
  const { needs, inExtension } = await readNeeds(client, objects);
  return { objects, relations, needs, inExtension };
}

interface FoundFunction { oid: number; schema: string; name: string; signature: string; kind: string; language: string; definition: string; comment: string | null }

async function readFunctions(client: ClientBase): Promise<DefinedObject[]> {
  const found = await readRows<FoundFunction>(
    client,
    `SELECT p.oid::int8 AS oid, n.nspname AS schema, p.proname AS name, pg_catalog.pg_get_function_identity_arguments(p.oid) AS signature, p.prokind AS kind,
       l.lanname AS language, pg_catalog.pg_get_functiondef(p.oid) AS definition, pg_catalog.obj_description(p.oid, 'pg_proc') AS comment
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE p.prokind <> 'a' AND ${USER_SCHEMAS} AND ${OWN('pg_proc', 'p.oid')} ORDER BY p.oid`,
  );
  return found.map((one) => {
    const word = one.kind === 'p' ? 'PROCEDURE' : 'FUNCTION';
    const identity = `${qualified(one)}(${one.signature})`;
    return {
      kind: 'function', oid: one.oid, schema: one.schema, name: `${displayName(one)}(${one.signature})`, own: one.name, signature: one.signature,
      definition: one.definition, on: null, roles: [], afterLoad: [],
      make: [one.definition, ...(one.comment === null ? [] : [`COMMENT ON ${word} ${identity} IS ${quoteLiteral(one.comment)}`])],
      obstacle: one.language === 'c' ? 'it is written in C: the target\'s server needs its library' : null,
    };
  });
}

interface FoundView {
  oid: number; schema: string; name: string; materialized: boolean; definition: string; options: string[]; populated: boolean; comment: string | null;
  columns: { name: string; fallback: string | null; comment: string | null }[]; indexes: string[]; access: string | null;
}

async function readViews(client: ClientBase): Promise<DefinedObject[]> {
  const found = await readRows<FoundView>(
    client,
    `SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind = 'm' AS materialized, pg_catalog.pg_get_viewdef(c.oid) AS definition,
       coalesce(to_json(c.reloptions), '[]'::json) AS options, c.relispopulated AS populated, pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
       (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'fallback', pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'comment', pg_catalog.col_description(c.oid, a.attnum)) ORDER BY a.attnum), '[]'::json)
          FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT coalesce(json_agg(pg_catalog.pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid), '[]'::json) FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid) AS indexes,
       (SELECT m.amname FROM pg_catalog.pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap') AS access
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('v', 'm') AND ${USER_SCHEMAS} AND ${OWN('pg_class', 'c.oid')} ORDER BY c.oid`,
  );
  return found.map((view) => {
    const word = view.materialized ? 'MATERIALIZED VIEW' : 'VIEW';
    const name = qualified(view);
    const select = view.definition.replace(/;\s*$/, '');
    const options = view.options.map((option) => option.replace(/^([^=]+)=(.*)$/s, (_, key: string, value: string) => `${key} = ${quoteLiteral(value)}`));
    const using = view.access === null ? '' : ` USING ${quoteIdent(view.access)}`;
    return {
      kind: view.materialized ? 'materialized_view' : 'view', oid: view.oid, schema: view.schema, name: displayName(view), own: view.name, signature: '',
      definition: view.definition, on: null, roles: [], obstacle: null,
      make: [
        `CREATE ${word} ${name}${using}${options.length > 0 ? ` WITH (${options.join(', ')})` : ''} AS ${select}${view.materialized ? ' WITH NO DATA' : ''}`,
        ...view.indexes,
        ...view.columns.flatMap((column) => (column.fallback === null ? [] : [`ALTER VIEW ${name} ALTER COLUMN ${quoteIdent(column.name)} SET DEFAULT ${column.fallback}`])),
        ...(view.comment === null ? [] : [`COMMENT ON ${word} ${name} IS ${quoteLiteral(view.comment)}`]),
        ...view.columns.flatMap((column) => (column.comment === null ? [] : [`COMMENT ON COLUMN ${name}.${quoteIdent(column.name)} IS ${quoteLiteral(column.comment)}`])),
      ],
      afterLoad: view.materialized && view.populated ? [`REFRESH MATERIALIZED VIEW ${name}`] : [],
    };
  });
}

interface Attached { oid: number; schema: string; table: string; on: number; name: string; comment: string | null }

/** What hangs on a table or view: its name in words and in SQL. */
const partOf = (one: Attached): { name: string; table: string; own: string } =>
  ({ name: `${displayName({ schema: one.schema, name: one.table })}.${one.name}`, table: qualified({ schema: one.schema, name: one.table }), own: quoteIdent(one.name) });

const identity = (name: string, one: { name: string }): Pick<SchemaObject, 'name' | 'own' | 'signature' | 'definition'> => ({ name, own: one.name, signature: '', definition: '' });

const TABLE_OF = (column: string): string => `JOIN pg_catalog.pg_class c ON c.oid = ${column} JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`;
const STATES: Record<string, string> = { D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };

async function readRules(client: ClientBase): Promise<DefinedObject[]> {
  const found = await readRows<Attached & { definition: string; state: string }>(
    client,
    `SELECT r.oid::int8 AS oid, n.nspname AS schema, c.relname AS table, c.oid::int8 AS on, r.rulename AS name, pg_catalog.pg_get_ruledef(r.oid) AS definition,
       r.ev_enabled AS state, pg_catalog.obj_description(r.oid, 'pg_rewrite') AS comment
     FROM pg_catalog.pg_rewrite r ${TABLE_OF('r.ev_class')} WHERE r.rulename <> '_RETURN' AND ${USER_SCHEMAS} AND ${OWN('pg_class', 'c.oid')} ORDER BY r.oid`,
  );
  return found.map((rule) => {
    const { name, table, own } = partOf(rule);
    const state = STATES[rule.state];
    return {
      kind: 'rule', oid: rule.oid, schema: rule.schema, ...identity(name, rule), on: rule.on, roles: [], make: [], obstacle: null,
      afterLoad: [rule.definition, ...(state ? [`ALTER TABLE ${table} ${state} RULE ${own}`] : []), ...(rule.comment === null ? [] : [`COMMENT ON RULE ${own} ON ${table} IS ${quoteLiteral(rule.comment)}`])],
    };
  });
}

/** Triggers of partitions that come from their root's are made with it; each may be on or off for itself. */
async function readTriggers(client: ClientBase): Promise<DefinedObject[]> {
  const found = await readRows<Attached & { definition: string; state: string; parts: { table: string; name: string; state: string }[] }>(
    client,
    `WITH RECURSIVE tree(root, oid) AS (
       SELECT g.oid, g.oid FROM pg_catalog.pg_trigger g WHERE g.tgparentid = 0 AND NOT g.tgisinternal UNION ALL SELECT tree.root, g.oid FROM tree JOIN pg_catalog.pg_trigger g ON g.tgparentid = tree.oid)
     SELECT g.oid::int8 AS oid, n.nspname AS schema, c.relname AS table, c.oid::int8 AS on, g.tgname AS name, pg_catalog.pg_get_triggerdef(g.oid) AS definition,
       (SELECT coalesce(json_agg(json_build_object('table', format('%I.%I', pn.nspname, pc.relname), 'name', p.tgname, 'state', p.tgenabled) ORDER BY p.oid), '[]'::json)
          FROM tree JOIN pg_catalog.pg_trigger p ON p.oid = tree.oid JOIN pg_catalog.pg_class pc ON pc.oid = p.tgrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
          WHERE tree.root = g.oid AND p.tgenabled <> g.tgenabled) AS parts,
       g.tgenabled AS state, pg_catalog.obj_description(g.oid, 'pg_trigger') AS comment
     FROM pg_catalog.pg_trigger g ${TABLE_OF('g.tgrelid')} WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND ${NOT_WRITE_BLOCK} AND ${USER_SCHEMAS} AND ${OWN('pg_class', 'c.oid')} ORDER BY g.oid`,
  );
  return found.map((trigger) => {
    const { name, table, own } = partOf(trigger);
    const state = STATES[trigger.state];
    return {
      kind: 'trigger', oid: trigger.oid, schema: trigger.schema, ...identity(name, trigger), on: trigger.on, roles: [], make: [], obstacle: null,
      afterLoad: [
        trigger.definition, ...(state ? [`ALTER TABLE ${table} ${state} TRIGGER ${own}`] : []),
        ...trigger.parts.map((part) => `ALTER TABLE ${part.table} ${STATES[part.state] ?? 'ENABLE'} TRIGGER ${quoteIdent(part.name)}`),
        ...(trigger.comment === null ? [] : [`COMMENT ON TRIGGER ${own} ON ${table} IS ${quoteLiteral(trigger.comment)}`])],
    };
  });
}

const COMMANDS: Record<string, string> = { r: 'SELECT', a: 'INSERT', w: 'UPDATE', d: 'DELETE', '*': 'ALL' };

async function readPolicies(client: ClientBase): Promise<DefinedObject[]> {
  const found = await readRows<Attached & { permissive: boolean; command: string; roles: string[] | null; using: string | null; check: string | null }>(
    client,
    `SELECT p.oid::int8 AS oid, n.nspname AS schema, c.relname AS table, c.oid::int8 AS on, p.polname AS name, p.polpermissive AS permissive, p.polcmd AS command,
       (SELECT json_agg(r.rolname ORDER BY r.rolname) FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)) AS roles,
       pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS using, pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS check, pg_catalog.obj_description(p.oid, 'pg_policy') AS comment
     FROM pg_catalog.pg_policy p ${TABLE_OF('p.polrelid')} WHERE ${USER_SCHEMAS} AND ${OWN('pg_class', 'c.oid')} ORDER BY p.oid`,
  );
  return found.map((policy) => {
    const { name, table, own } = partOf(policy);
    const roles = policy.roles ?? [];
    const sql = `CREATE POLICY ${own} ON ${table} AS ${policy.permissive ? 'PERMISSIVE' : 'RESTRICTIVE'} FOR ${COMMANDS[policy.command] ?? 'ALL'} TO ${roles.length > 0 ? roles.map(quoteIdent).join(', ') : 'PUBLIC'}`
      + `${policy.using === null ? '' : ` USING (${policy.using})`}${policy.check === null ? '' : ` WITH CHECK (${policy.check})`}`;
    return {
      kind: 'policy', oid: policy.oid, schema: policy.schema, ...identity(name, policy), on: policy.on, roles, make: [], obstacle: null,
      afterLoad: [sql, ...(policy.comment === null ? [] : [`COMMENT ON POLICY ${own} ON ${table} IS ${quoteLiteral(policy.comment)}`])],
    };
  });
}

async function readRowSecurity(client: ClientBase): Promise<DefinedObject[]> {
  const found = await readRows<{ oid: number; schema: string; name: string; forced: boolean }>(
    client,
    `SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relforcerowsecurity AS forced
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity AND ${USER_SCHEMAS} AND ${OWN('pg_class', 'c.oid')} ORDER BY c.oid`,
  );
  return found.map((table) => ({
    kind: 'row_security', oid: table.oid, schema: table.schema, ...identity(displayName(table), table), on: table.oid, roles: [], make: [], obstacle: null,
    afterLoad: [`ALTER TABLE ${qualified(table)} ENABLE ROW LEVEL SECURITY`, ...(table.forced ? [`ALTER TABLE ${qualified(table)} FORCE ROW LEVEL SECURITY`] : [])],
  }));
}

function readRelations(client: ClientBase): Promise<KnownRelation[]> {
  return readRows<KnownRelation>(
    client,
    `SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::oid::int8 END AS root
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ${USER_SCHEMAS} AND ${OWN('pg_class', 'c.oid')}`,
  );
}

export const CATALOG_OF: Record<DefinedKind, string> = {
  type: 'pg_type', domain: 'pg_type', collation: 'pg_collation', sequence: 'pg_class', aggregate: 'pg_proc', operator: 'pg_operator', operator_class: 'pg_opclass', cast: 'pg_cast',
  text_search_dictionary: 'pg_ts_dict', text_search_configuration: 'pg_ts_config',
  function: 'pg_proc', view: 'pg_rewrite', materialized_view: 'pg_rewrite', rule: 'pg_rewrite', trigger: 'pg_trigger', policy: 'pg_policy', row_security: 'pg_class',
};

/** From the server's own record of dependencies. Objects that a function's text names are not in it. */
async function readNeeds(client: ClientBase, objects: DefinedObject[]): Promise<Pick<SchemaObjects, 'needs' | 'inExtension'>> {
  const rows = await readRows<{ catalog: string; of: number; view: number | null; relation: number | null; column: string | null; function: number | null; extension: boolean }>(
    client,
    `SELECT DISTINCT s.relname AS catalog, d.objid::int8 AS of, w.ev_class::int8 AS view, CASE WHEN r.relname = 'pg_class' THEN d.refobjid::int8 END AS relation, a.attname AS column,
       CASE WHEN r.relname = 'pg_proc' THEN d.refobjid::int8 END AS function,
       r.relname = 'pg_proc' AND EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = d.refclassid AND x.objid = d.refobjid AND x.deptype IN ('e', 'i')) AS extension
     FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.classid JOIN pg_catalog.pg_class r ON r.oid = d.refclassid
     LEFT JOIN pg_catalog.pg_rewrite w ON s.relname = 'pg_rewrite' AND w.oid = d.objid AND w.rulename = '_RETURN'
     LEFT JOIN pg_catalog.pg_attribute a ON r.relname = 'pg_class' AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
     WHERE s.relname IN ('pg_proc', 'pg_rewrite', 'pg_trigger', 'pg_policy') AND s.relnamespace = 'pg_catalog'::regnamespace AND d.deptype IN ('n', 'a')
       AND r.relname IN ('pg_class', 'pg_proc') AND r.relnamespace = 'pg_catalog'::regnamespace AND d.refobjid >= 16384`,
  );
  const byIdentity = new Map(objects.map((object) => [`${CATALOG_OF[object.kind]}/${object.kind.endsWith('view') ? 'view' : ''}${object.oid}`, object]));
  const needs = new Map(objects.map((object): [DefinedObject, Needs] => [object, { relations: new Map(), functions: new Set() }]));
  const inExtension = new Set<number>();
  for (const row of rows) {
    const object = byIdentity.get(`${row.catalog}/${row.view === null ? row.of : `view${row.view}`}`);
    const own = object && needs.get(object);
    if (!own) continue;
    if (row.function !== null && row.extension) inExtension.add(row.function);
    if (row.function !== null) own.functions.add(row.function);
    if (row.relation === null || row.relation === row.view) continue;
    const columns = own.relations.get(row.relation) ?? new Set<string>();
    own.relations.set(row.relation, columns);
    if (row.column !== null) columns.add(row.column);
  }
  return { needs, inExtension };
}
