/** What is wrong or risky in one dataset of a plan, judged without looking at any system. */
import { RE2JS } from 're2js';
import { fail, listed, nearest, suggestion, warn, type Finding, type PlanPath } from './finding';
import type { DatasetPlan, Plan } from './schema';
import { hasNotInSubquery, hasSemicolon, looksLikeQuery, watermarkColumn } from './sql-text';
import { columnNames, judgeMappings, type ColumnNames, type TransformCatalog } from './transformations';

/** True for a dataset of a database with tables; files and Redis keys are selected by `prefix` and `pattern`. */
export function isTabular(dataset: DatasetPlan): boolean {
  return [dataset.source.prefix, dataset.source.pattern, dataset.target.prefix, dataset.target.pattern].every((value) => value === undefined);
}

export function lintDataset(plan: Plan, name: string, dataset: DatasetPlan, transforms: TransformCatalog | undefined): Finding[] {
  const path = ['datasets', name];
  const { mappings, findings } = judgeMappings(dataset, transforms, path);
  return [
    ...lintSelection(plan, dataset, path),
    ...lintWhere(dataset, path),
    ...lintLinks(plan, name, dataset, path),
    ...findings,
    ...(findings.length === 0 ? lintColumns(dataset, columnNames(mappings), path) : []),
  ];
}

function lintSelection(plan: Plan, dataset: DatasetPlan, path: PlanPath): Finding[] {
  const { source, target } = dataset;
  const findings: Finding[] = [];
  const at = [...path, 'source'];
  const selectors = (['table', 'query', 'prefix', 'pattern'] as const).filter((key) => source[key] !== undefined);
  if (selectors.length > 1) findings.push(fail(at, `has ${listed(selectors)}`, 'Keep one of them: they say what moves'));
  if (source.query !== undefined) {
    if (hasSemicolon(source.query)) findings.push(fail([...at, 'query'], 'holds a `;`', 'Write one SELECT without it'));
    else if (!looksLikeQuery(source.query)) findings.push(fail([...at, 'query'], 'is not a query', 'Start it with SELECT or WITH; a table goes under `table`'));
    if ((dataset.schema ?? plan.schema) === 'create') {
      findings.push(fail([...at, 'query'], 'has no table definition to create the target from', 'Make the target table yourself and say `schema: given` in this dataset'));
    }
    if (!source.key && dataset.target.on_conflict === 'none') {
      findings.push(warn([...at, 'query'], 'has no `key`: it loads in one piece and starts again from zero when interrupted', 'Add `key: [columns]`, unique and NOT NULL, to make it resumable'));
    }
  }
  if (target.on_conflict === 'update' && source.query !== undefined && !source.key && !target.key) {
    findings.push(fail([...path, 'target', 'on_conflict'], '`update` needs a key, and a query brings none', 'Add `key: [columns]` to the source (unique and NOT NULL), or use a table'));
  }
  if (target.on_conflict === 'update' && target.on_existing === 'replace') {
    findings.push(fail([...path, 'target', 'on_existing'], '`replace` empties the table, so `on_conflict: update` has nothing to update', 'Keep one of them'));
  }
  if (source.connection === target.connection && source.table !== undefined && source.table === target.table) {
    findings.push(fail(path, `source and target are the same table, \`${source.table}\` in \`${source.connection}\``, 'Name another connection or another table'));
  }
  return findings;
}

function lintWhere(dataset: DatasetPlan, path: PlanPath): Finding[] {
  const findings: Finding[] = [];
  for (const key of ['where', 'query'] as const) {
    const sql = dataset.source[key];
    if (sql === undefined) continue;
    const at = [...path, 'source', key];
    if (key === 'where' && hasSemicolon(sql)) findings.push(fail(at, 'holds a `;`', 'Write one condition without it'));
    const column = dataset.source.accept_missed_rows === undefined ? watermarkColumn(sql) : undefined;
    if (column) {
      findings.push(fail(
        at,
        `takes rows after a mark in \`${column}\`; that misses rows committed late, updates that skip the column, and deletes`,
        'Leave the condition out: a repeat run finds what changed by comparing rows. If it is a fixed scope, say why: `accept_missed_rows: only orders since 2020 move`',
      ));
    }
    if (hasNotInSubquery(sql)) findings.push(warn(at, '`NOT IN (SELECT ...)` selects nothing at all when the subquery gives one NULL', 'Use NOT EXISTS'));
  }
  return findings;
}

function lintLinks(plan: Plan, name: string, dataset: DatasetPlan, path: PlanPath): Finding[] {
  const findings: Finding[] = [];
  // Only when needed: plans hold thousands of datasets, and each is linted.
  const known = (): string[] => Object.keys(plan.datasets);
  dataset.after.forEach((other, index) => {
    if (!Object.hasOwn(plan.datasets, other)) findings.push(fail([...path, 'after', index], `there is no dataset \`${other}\``, suggestion(other, known().filter((x) => x !== name), 'datasets')));
  });
  if (dataset.group !== undefined && !Object.hasOwn(plan.groups, dataset.group)) {
    const groups = Object.keys(plan.groups);
    findings.push(fail([...path, 'group'], `there is no group \`${dataset.group}\``, suggestion(dataset.group, groups, 'groups') ?? `Declare it: groups: { ${dataset.group}: {} }`));
  }
  for (const [column, reference] of Object.entries(dataset.validation.references)) {
    const [parent = '', parentColumn = ''] = reference.split('.');
    const at = [...path, 'validation', 'references', column];
    const other = Object.hasOwn(plan.datasets, parent) ? plan.datasets[parent] : undefined;
    if (!other) {
      findings.push(fail(at, `there is no dataset \`${parent}\``, suggestion(parent, known(), 'datasets')));
      continue;
    }
    const moved = columnNames(judgeMappings(other, undefined, []).mappings).moved.get(parentColumn);
    if (moved) findings.push(fail(at, `\`${parentColumn}\` is not a target column of \`${parent}\``, moved.length > 0 ? `It is called ${listed(moved)} there` : 'It is dropped there'));
  }
  return findings;
}

/** Rules, `accept` and the target's key speak of target columns; `pii` of either side. */
function lintColumns(dataset: DatasetPlan, names: ColumnNames, path: PlanPath): Finding[] {
  const { validation, target } = dataset;
  const used: { column: string; at: PlanPath; what: string }[] = [];
  const use = (columns: readonly string[], at: PlanPath, what: string): void => {
    columns.forEach((column, index) => used.push({ column, at: [...path, ...at, index], what }));
  };
  const rule = (key: string): string => `the rule \`${key}\` judges`;
  use(validation.required, ['validation', 'required'], rule('required'));
  validation.unique.forEach((entry, index) => {
    if (typeof entry === 'string') used.push({ column: entry, at: [...path, 'validation', 'unique', index], what: rule('unique') });
    else use(entry, ['validation', 'unique', index], rule('unique'));
  });
  for (const key of ['formats', 'pattern', 'range', 'length', 'one_of', 'references'] as const) {
    for (const column of Object.keys(validation[key])) used.push({ column, at: [...path, 'validation', key, column], what: rule(key) });
  }
  use(target.key ?? [], ['target', 'key'], 'a target key names');
  use(dataset.accept, ['accept'], '`accept` names');
  const findings = used.flatMap(({ column, at, what }) => wrongSide(column, names, at, what) ?? typingSlip(column, names, at) ?? []);
  dataset.pii.forEach((column, index) => {
    const near = typingSlip(column, { ...names, filled: new Set([...names.filled, ...names.moved.keys()]) }, [...path, 'pii', index]);
    if (near) findings.push({ ...near, message: `masks a column \`${column}\` that no transformation names` });
  });
  return [...findings, ...lintBounds(dataset, path)];
}

function wrongSide(column: string, names: ColumnNames, at: PlanPath, what: string): Finding | undefined {
  const moved = names.moved.get(column);
  if (!moved) return undefined;
  if (moved.length === 0) return fail(at, `\`${column}\` is dropped by a transformation, and ${what} target columns`, 'Take it out here');
  return fail(at, `\`${column}\` is the source's name, and ${what} target columns`, `Write ${moved.map((name) => `\`${name}\``).join(' or ')}`);
}

/** A column that passes under its own name cannot be told from a misspelt one; one letter beside a mapped column is worth a word. */
function typingSlip(column: string, names: ColumnNames, at: PlanPath): Finding | undefined {
  if (names.filled.has(column) || column.length < 5 || /\d/.test(column)) return undefined;
  const near = nearest(column, names.filled);
  if (near === undefined || near.length < 5 || Math.abs(near.length - column.length) > 1 || near.startsWith(column) || column.startsWith(near)) return undefined;
  return warn(at, `no transformation makes a column \`${column}\``, `Did you mean \`${near}\`? (No harm if the table has both.)`);
}

function lintBounds(dataset: DatasetPlan, path: PlanPath): Finding[] {
  const findings: Finding[] = [];
  for (const [column, expression] of Object.entries(dataset.validation.pattern)) {
    try {
      RE2JS.compile(expression);
    } catch (error) {
      findings.push(fail([...path, 'validation', 'pattern', column], `is no regular expression in RE2 syntax: ${error instanceof Error ? withoutQuote(error.message) : 'unreadable'}`, 'Look-around and back references are not in it; in YAML, put the expression in single quotes'));
    }
  }
  for (const key of ['range', 'length'] as const) {
    for (const [column, { min, max }] of Object.entries(dataset.validation[key])) {
      const at = [...path, 'validation', key, column];
      if (min === undefined && max === undefined) findings.push(fail(at, 'has neither `min` nor `max`', 'Give one of them'));
      if (typeof min === 'number' && typeof max === 'number' && min > max) findings.push(fail(at, `\`min\` (${min}) is larger than \`max\` (${max}), so every row would break it`, 'Swap them'));
    }
  }
  return findings;
}

/** What the parser of expressions says, without the part of the expression that it repeats at the end. */
function withoutQuote(message: string): string {
  return message.replace(/: `.*$/s, '');
}
