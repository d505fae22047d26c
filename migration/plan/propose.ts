/** Writes a first plan from a live inventory: as short as the case allows, with a comment where a person must decide. */
import { MigrationError } from '../errors';
import { topological } from './order';
import type { SchemaObjectsPlan } from './schema';

/** One table as the inventory found it. */
export interface InventoryTable {
  schema: string;
  name: string;
  rowsEstimate: number;
  bytes: number;
  columns: { name: string; type: string; nullable: boolean }[];
  /** Columns of the key that splits and resumes; null when the table has none. */
  key: string[] | null;
  foreignKeys: { columns: string[]; refSchema: string; refTable: string }[];
  /** What a person should know: unsupported types, partitions, triggers. */
  problems: string[];
}

/** What a plan will not bring to the target. `what` is a kind in words. */
export interface LeftOut { what: string; name: string; reason: string }

export interface Proposal {
  migration: string;
  source: string;
  target: string;
  tables: InventoryTable[];
  /** How many objects of each kind `schema_objects` would carry, by its keys. */
  objects?: Partial<Record<keyof SchemaObjectsPlan, number>>;
  leftOut?: LeftOut[];
}

/** Column names that usually hold personal data. */
const PERSONAL = /(^|_)(e_?mail|phone|mobile|fax|(first|last|full|maiden|middle|given|family)_?name|surname|user_?name|birth(_?(date|day))?|date_of_birth|dob|address(_?line)?_?\d?|street|zip(_?code)?|post(al)?_?code|ssn|social_security\w*|tax_?id|passport\w*|iban|bic|card_?(number|no)|credit_?card\w*|ip(_?addr(ess)?)?|gender|password\w*|geo_?location|latitude|longitude)($|_)/i;

/**
 * YAML text of a plan for all tables, which `parsePlan` accepts as it is. Tables come in the order given; the same inventory gives the same text.
 * @throws MigrationError `OBJECT_MISSING` when there is no table.
 */
export function proposePlan({ migration, source, target, tables, objects = {}, leftOut = [] }: Proposal): string {
  if (tables.length === 0) throw new MigrationError('OBJECT_MISSING', `${source} holds no table that this user can see. Check the database in its address and the user's privileges.`);
  const names = datasetNames(tables);
  const waits = parents(tables, names);
  const rows = tables.reduce((sum, table) => sum + Math.max(0, table.rowsEstimate), 0);
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  return [
    `# Proposed by \`caravan init\` from ${source}: ${tables.length} ${tables.length === 1 ? 'table' : 'tables'}, about ${count(rows)} rows, ${size(bytes)}.`,
    '# Lines marked DECIDE need a person. Next: `caravan check` this file with --connect, then `caravan run`.',
    `migration: ${scalar(validName(migration, 'migration'))}`,
    'schema: create    # DECIDE: makes the target tables like the source\'s; `given` if they are there already',
    ...schemaObjects(objects),
    'datasets:',
    ...tables.flatMap((table) => dataset(table, names, waits, source, target)),
    ...notCarried(leftOut),
    '# DECIDE: what must hold for the business, on both sides. For example:',
    '# checks:',
    '#   business_rules:',
    '#     totals_match: SELECT sum(total) FROM orders',
    '# DECIDE: who is told when the run blocks. The address goes in CARAVAN_WEBHOOK_OPS:',
    '# alerts: { notify: { webhook: ops } }',
    '',
  ].join('\n');
}

/** Switched on where the source has such objects: a database without its views and triggers is seldom what is meant. Roles often differ, so owners and grants are left to people. */
function schemaObjects(objects: NonNullable<Proposal['objects']>): string[] {
  const found = Object.entries(objects).filter(([, amount]) => amount > 0);
  if (found.length === 0) return [];
  return [
    `schema_objects:    # DECIDE: what comes with the tables; \`owners: true\` and \`grants: true\` need the same roles in the target`,
    ...found.map(([kind, amount]) => `  ${kind}: true    # ${count(amount)}`),
  ];
}

/** By name: whoever reads the plan knows what will be missing. */
function notCarried(leftOut: readonly LeftOut[]): string[] {
  if (leftOut.length === 0) return [];
  const groups = new Map<string, string[]>();
  for (const { what, name, reason } of leftOut) {
    const title = `${what}: ${reason}`;
    groups.set(title, [...(groups.get(title) ?? []), name]);
  }
  return [
    '# DECIDE: the target does not get these. What is needed is made there by other means:',
    ...[...groups].flatMap(([title, names]) => [`#   ${comment(title)}`, ...names.map((name) => `#     ${comment(name)}`)]),
  ];
}

function dataset(table: InventoryTable, names: Map<string, string>, waits: Map<string, Waits>, source: string, target: string): string[] {
  const name = names.get(id(table.schema, table.name)) ?? table.name;
  const wait = waits.get(name);
  const place = table.schema === 'public' && table.name === name ? '' : `, table: ${scalar(tableText(table))}`;
  const lines = [`  ${scalar(name)}:    # about ${count(table.rowsEstimate)} rows, ${size(table.bytes)}`];
  for (const problem of table.problems) lines.push(`    # DECIDE: ${comment(problem)}`);
  if (!table.key) lines.push('    # DECIDE: no key, so it loads in one piece and starts again from zero when interrupted; a primary key would make it resumable');
  if (wait && wait.circle.length > 0) lines.push(`    # refers to ${wait.circle.map(comment).join(', ')} in a circle: the order does not matter, foreign keys are built after the load`);
  lines.push(`    source: { connection: ${scalar(source)}${place} }`, `    target: { connection: ${scalar(target)}${place} }`);
  if (wait && wait.after.length > 0) lines.push(`    after: [${wait.after.map(scalar).join(', ')}]`);
  const personal = table.columns.map((column) => column.name).filter((column) => PERSONAL.test(column));
  if (personal.length > 0) lines.push(`    pii: [${personal.map(scalar).join(', ')}]    # DECIDE: chosen by name; these are masked wherever they are shown`);
  return lines;
}

const id = (schema: string, name: string): string => JSON.stringify([schema, name]);

/** A dataset name for every table: the table's own name where it can be, with the schema before it where two tables share it. */
function datasetNames(tables: readonly InventoryTable[]): Map<string, string> {
  const sharing = new Map<string, number>();
  for (const { name } of tables) sharing.set(validName(name, 'table'), (sharing.get(validName(name, 'table')) ?? 0) + 1);
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const { schema, name } of tables) {
    const plain = validName(name, 'table');
    const base = (sharing.get(plain) ?? 0) > 1 && schema !== 'public' ? validName(`${schema}_${name}`, 'table') : plain;
    let unique = base;
    for (let n = 2; taken.has(unique); n++) unique = `${base.slice(0, 58)}_${n}`;
    taken.add(unique);
    names.set(id(schema, name), unique);
  }
  return names;
}

function validName(text: string, fallback: string): string {
  // Letters with marks lose the marks; everything else that a name may not hold becomes one underscore.
  const plain = text.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').replace(/[^A-Za-z0-9_-]+/g, '_').replace(/^_+(?=[A-Za-z])|_+$/g, '');
  if (!/[A-Za-z0-9]/.test(plain)) return fallback;
  return (/^[A-Za-z_]/.test(plain) ? plain : `${fallback}_${plain}`).slice(0, 63);
}

interface Waits { after: string[]; circle: string[] }

/** The parents each dataset waits for: those not already waited for through another parent, and none that would close a circle. */
function parents(tables: readonly InventoryTable[], names: Map<string, string>): Map<string, Waits> {
  const all = new Map<string, string[]>();
  for (const table of tables) {
    const name = names.get(id(table.schema, table.name)) ?? '';
    const refs = table.foreignKeys.map((fk) => names.get(id(fk.refSchema, fk.refTable))).filter((ref): ref is string => ref !== undefined && ref !== name);
    all.set(name, [...new Set(refs)].sort());
  }
  const circles = new Map<string, string[]>();
  for (let found = topological([...all.keys()], (name) => all.get(name) ?? []).cycle; found; found = topological([...all.keys()], (name) => all.get(name) ?? []).cycle) {
    const [child = '', parent = ''] = found.slice(-2);
    all.set(child, (all.get(child) ?? []).filter((name) => name !== parent));
    circles.set(child, [...(circles.get(child) ?? []), parent]);
  }
  const order = topological([...all.keys()], (name) => all.get(name) ?? []).order;
  const ancestors = new Map<string, Set<string>>();
  for (const name of order) ancestors.set(name, new Set((all.get(name) ?? []).flatMap((parent) => [parent, ...(ancestors.get(parent) ?? [])])));
  return new Map([...all].map(([name, direct]) => [name, {
    after: direct.filter((parent) => !direct.some((other) => other !== parent && ancestors.get(other)?.has(parent))),
    circle: circles.get(name) ?? [],
  }]));
}

/** The table as a plan names it: parts with a dot, a quote or outer blanks in double quotes. */
function tableText({ schema, name }: InventoryTable): string {
  const part = (text: string): string => (/[."]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return schema === 'public' ? part(name) : `${part(schema)}.${part(name)}`;
}

/** A YAML scalar that reads back as this text, inside a flow list or map, too. */
function scalar(text: string): string {
  const plain = /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

const comment = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}\ufeff]+/gu, ' ').trim();

function count(rows: number): string {
  return String(Math.max(0, Math.round(rows))).replace(/\B(?=(\d{3})+$)/g, ',');
}

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let amount = Math.max(0, bytes);
  let unit = 0;
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  return `${amount >= 100 || unit === 0 ? Math.round(amount) : Number(amount.toFixed(1))} ${units[unit] ?? ''}`;
}
