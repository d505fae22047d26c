/** What is wrong or risky in a plan whose shape is right, judged without looking at any system. */
import { fail, listed, suggestion, warn, type Finding, type PlanPath } from './finding';
import { fillProbes, lintCutover } from './lint-cutover';
import { isTabular, lintDataset } from './lint-dataset';
import { lintRollback } from './lint-rollback';
import { approachNotBuilt, findCycle } from './order';
import { secretInPlan } from './schema-findings';
import type { CheckPlan, Plan } from './schema';
import { hasNotInSubquery, hasSemicolon, looksLikeQuery } from './sql-text';
import type { TransformCatalog } from './transformations';

const unique = (names: readonly string[]): string[] => [...new Set(names)];

/** Connections of the datasets with tables: those that SQL can run on. */
function sqlConnections(plan: Plan): { sources: string[]; targets: string[] } {
  const tabular = Object.values(plan.datasets).filter(isTabular);
  return { sources: unique(tabular.map((dataset) => dataset.source.connection)), targets: unique(tabular.map((dataset) => dataset.target.connection)) };
}

/**
 * The plan with the defaults that follow from its own content: tables named like their dataset, the control store on the only target,
 * the connections of checks. What stays ambiguous stays absent, and `lintPlan` names it.
 */
export function fillDefaults(plan: Plan): Plan {
  const { sources, targets } = sqlConnections(plan);
  const only = (names: string[]): string | undefined => (names.length === 1 ? names[0] : undefined);
  const datasets = Object.fromEntries(Object.entries(plan.datasets).map(([name, dataset]) => {
    if (!isTabular(dataset)) return [name, dataset];
    const source = { ...dataset.source };
    if (source.table === undefined && source.query === undefined) source.table = name;
    return [name, { ...dataset, source, target: { ...dataset.target, table: dataset.target.table ?? name } }];
  }));
  const fillChecks = (checks: Record<string, CheckPlan>): Record<string, CheckPlan> => Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, {
    ...check,
    source_connection: check.source === undefined ? check.source_connection : check.source_connection ?? only(sources),
    target_connection: check.target === undefined ? check.target_connection : check.target_connection ?? only(targets),
  }]));
  const checks = { ...plan.checks, integrity: fillChecks(plan.checks.integrity), business_rules: fillChecks(plan.checks.business_rules) };
  return { ...plan, control: plan.control ?? only(targets), datasets, checks, probes: fillProbes(plan.probes, only(sources), only(targets)) };
}

/** Every finding about a plan that went through `fillDefaults`, errors and warnings mixed. */
export function lintPlan(plan: Plan, transforms?: TransformCatalog): Finding[] {
  return [
    ...lintApproach(plan),
    ...lintConnections(plan),
    ...Object.entries(plan.datasets).flatMap(([name, dataset]) => lintDataset(plan, name, dataset, transforms)),
    ...lintSharedTargets(plan),
    ...lintOrder(plan),
    ...lintGates(plan),
    ...lintRoles(plan),
    ...lintChecks(plan),
    ...lintCutover(plan),
    ...lintRollback(plan, transforms),
    ...lintSecrets(plan, []),
    ...lintReadiness(plan),
  ];
}

function lintApproach(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  if (plan.approach === 'trickle' || plan.approach === 'parallel_run') {
    findings.push({ severity: 'error', path: ['approach'], message: approachNotBuilt(plan.approach), code: 'APPROACH_NOT_BUILT' });
  }
  if (plan.approach === 'big_bang' && Object.keys(plan.groups).length > 0) {
    findings.push(fail(['groups'], 'belongs to the phased approach; big_bang moves everything as one', 'Say `approach: phased`, or take the groups out (`gates` also work in big_bang)'));
  }
  // Said now rather than ignored on the day it is needed.
  if (plan.on_abort === 'undo') findings.push(fail(['on_abort'], '`undo` is not built yet', 'Say `on_abort: keep`: an abort stops after the current commit, and the rows stay'));
  const { start, abort_by: abortBy } = plan.window ?? {};
  if (start !== undefined && abortBy !== undefined && start >= abortBy) findings.push(fail(['window', 'abort_by'], 'is not after `start`', 'Swap them, or check the day'));
  return findings;
}

function lintConnections(plan: Plan): Finding[] {
  const { sources, targets } = sqlConnections(plan);
  const findings: Finding[] = [];
  if (plan.control === undefined && targets.length > 1) {
    findings.push(fail(['control'], `is needed, because the plan has several targets: ${targets.join(', ')}`, 'Name the PostgreSQL connection that keeps the run\'s own records, such as `control: caravan_db`'));
  }
  if (plan.control === undefined && targets.length === 0) {
    findings.push(fail(['control'], 'is needed, because no target is a database', 'Name the PostgreSQL connection that keeps the run\'s own records, such as `control: caravan_db`'));
  }
  for (const kind of ['integrity', 'business_rules'] as const) {
    for (const [name, check] of Object.entries(plan.checks[kind])) {
      findings.push(...lintSide(check, 'source', sources, ['checks', kind, name]), ...lintSide(check, 'target', targets, ['checks', kind, name]));
    }
  }
  return findings;
}

function lintSide(check: CheckPlan, side: 'source' | 'target', connections: string[], path: PlanPath): Finding[] {
  if (check[side] === undefined) return [];
  const key = `${side}_connection` as const;
  const named = check[key];
  if (named === undefined) {
    return [fail([...path, key], connections.length === 0 ? `is needed, because no ${side} of the plan is a database` : `is needed, because the plan has several ${side}s: ${connections.join(', ')}`, `Say which one runs \`${side}\``)];
  }
  if (connections.includes(named)) return [];
  return [fail([...path, key], `no dataset has \`${named}\` as its ${side}`, suggestion(named, connections, `${side}s`))];
}

function lintSharedTargets(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  const filledBy = new Map<string, string>();
  for (const [name, { target }] of Object.entries(plan.datasets)) {
    if (target.table === undefined) continue;
    const key = `${target.connection} ${target.table.includes('.') ? target.table : `public.${target.table}`}`;
    const other = filledBy.get(key);
    if (other === undefined) filledBy.set(key, name);
    else if (target.on_conflict === 'none' && target.on_existing !== 'append') {
      findings.push(fail(['datasets', name, 'target'], `\`${other}\` fills the same table`, 'Join both in one dataset, name another table, or say `on_existing: append` where the keys cannot meet'));
    }
  }
  return findings;
}

function lintOrder(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  for (const [name, group] of Object.entries(plan.groups)) {
    group.after.forEach((other, index) => {
      if (!Object.hasOwn(plan.groups, other)) findings.push(fail(['groups', name, 'after', index], `there is no group \`${other}\``, suggestion(other, Object.keys(plan.groups).filter((x) => x !== name), 'groups')));
    });
  }
  const cycle = findCycle(plan);
  if (cycle) {
    const [first = ''] = cycle.names;
    const circle = cycle.names.join(' -> ');
    if (cycle.kind === 'datasets') findings.push(fail(['datasets', first, 'after'], `datasets wait for each other: ${circle}`, 'Take one `after` out of the circle'));
    else findings.push(fail(first.startsWith('group ') ? ['groups', first.slice('group '.length)] : ['datasets', first], `groups wait for each other: ${circle}`, 'Groups run one after the other: move a dataset to another group, or take out one `after`'));
  }
  return findings;
}

function lintGates(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  const opens = new Map<string, string>();
  for (const [name, group] of Object.entries(plan.groups)) {
    if (!Object.values(plan.datasets).some((dataset) => dataset.group === name)) {
      findings.push(warn(['groups', name], 'no dataset is in this group', group.gate === undefined ? `Put \`group: ${name}\` in a dataset, or take it out` : `Its gate \`${group.gate}\` would never be asked for: put \`group: ${name}\` in a dataset, or take it out`));
    }
    if (group.gate === undefined) continue;
    const other = opens.get(group.gate);
    if (other !== undefined) findings.push(warn(['groups', name, 'gate'], `\`${group.gate}\` also opens \`${other}\`: one approval opens both`, 'Give each group its own gate if they are to be opened apart'));
    opens.set(group.gate, name);
    if (plan.gates.some(({ gate }) => gate === group.gate)) findings.push(warn(['groups', name, 'gate'], `\`${group.gate}\` also stands in \`gates\`: it is approved before production, so the group opens at once`, 'Take it out of one of the two'));
  }
  plan.gates.forEach(({ gate }, index) => {
    if (plan.gates.findIndex((other) => other.gate === gate) !== index) findings.push(warn(['gates', index], `\`${gate}\` stands here twice`, 'Take one out'));
  });
  return findings;
}

/** Base64 of the SPKI form of an Ed25519 public key. */
const ED25519_KEY = /^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$/;

function lintRoles(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  const known = Object.keys(plan.roles);
  plan.gates.forEach(({ before, role }, index) => {
    if (before === 'test' && !plan.rehearsal) findings.push(fail(['gates', index, 'before'], 'stands before a rehearsal, and the plan has none', 'Add `rehearsal: {}`, or say `before: production`'));
    if (before === 'switch' && !plan.cutover) findings.push(fail(['gates', index, 'before'], 'stands before the switch of the applications, and the plan has no `cutover`', 'Add `cutover`, or say `before: production` or `before: finish`'));
    if (role !== undefined && known.length > 0 && !known.includes(role)) findings.push(warn(['gates', index, 'role'], `\`${role}\` is not among the roles: anyone may claim it`, suggestion(role, known, 'roles')));
  });
  for (const [role, { key }] of Object.entries(plan.roles)) {
    if (key !== undefined && !ED25519_KEY.test(key)) findings.push(fail(['roles', role, 'key'], 'is not an Ed25519 public key', 'Make a pair with `openssl genpkey -algorithm ed25519 -out key.pem` and write here what `openssl pkey -in key.pem -pubout -outform DER | base64` prints'));
  }
  return findings;
}

function lintChecks(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  for (const kind of ['integrity', 'business_rules'] as const) {
    for (const [name, check] of Object.entries(plan.checks[kind])) {
      const path = ['checks', kind, name];
      const sides = (['source', 'target'] as const).filter((side) => check[side] !== undefined);
      if (sides.length === 0) findings.push(fail(path, 'has no SQL', 'Add `source` and `target`, or write the SQL as plain text when it suits both sides'));
      else if (kind === 'business_rules' && sides.length === 1) {
        findings.push(fail(path, `compares the two sides, but only \`${sides[0] ?? ''}\` has SQL`, 'Add the other side, or write the SQL as plain text when it suits both'));
      }
      for (const side of sides) findings.push(...lintSql(check[side] ?? '', [...path, side]));
    }
  }
  return findings;
}

function lintSql(sql: string, path: PlanPath): Finding[] {
  const findings: Finding[] = [];
  if (hasSemicolon(sql)) findings.push(fail(path, 'holds a `;`', 'Write one SELECT without it'));
  else if (!looksLikeQuery(sql)) findings.push(fail(path, 'is not a query', 'A check only reads: start it with SELECT or WITH'));
  if (hasNotInSubquery(sql)) {
    findings.push(fail(path, '`NOT IN (SELECT ...)` passes falsely as soon as the subquery gives one NULL', 'Use NOT EXISTS (SELECT FROM ... WHERE ...)'));
  }
  return findings;
}

/** Credentials inside an address, wherever they stand. */
const CREDENTIALS = /[a-z][a-z0-9+.-]*:\/\/[^\s/:@'"]*:[^\s/@'"]+@/i;

function lintSecrets(value: unknown, path: PlanPath): Finding[] {
  if (typeof value === 'string') return CREDENTIALS.test(value) ? [{ ...secretInPlan(path), message: 'holds an address with a password; the plan is stored and shown' }] : [];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((entry, index) => lintSecrets(entry, [...path, index]));
  return Object.entries(value).flatMap(([key, entry]) => lintSecrets(entry, [...path, key]));
}

/** What a plan for production usually has. */
function lintReadiness(plan: Plan): Finding[] {
  const findings: Finding[] = [];
  const { targets } = sqlConnections(plan);
  if (Object.keys(plan.checks.integrity).length + Object.keys(plan.checks.business_rules).length === 0) {
    findings.push(warn(['checks'], 'no integrity check or business rule', 'Rows are still counted and compared; add what must hold for the business, such as a sum on both sides'));
  }
  if (!plan.checks.rows) findings.push(warn(['checks', 'rows'], 'rows are not compared, so a changed value goes unnoticed', 'Leave it out (the default compares every row) for production'));
  if (!plan.alerts.notify?.webhook && !plan.alerts.notify?.command) findings.push(warn(['alerts', 'notify'], 'nobody is told when the run blocks', 'Add `alerts: { notify: { webhook: ops } }`'));
  if (plan.control !== undefined && targets.includes(plan.control)) {
    findings.push(warn(['control'], `the run's own records are kept in the target \`${plan.control}\`; restoring it from a backup would rewind them`, 'For production, name a separate PostgreSQL connection with `control`'));
  }
  const staged = Object.entries(plan.datasets).filter(([, dataset]) => dataset.mode === 'staged').map(([name]) => name);
  if (staged.length > 0 && !plan.staging) findings.push(warn(['staging'], `${listed(staged.slice(0, 3))}${staged.length > 3 ? ' and others' : ''} moves staged, through a folder of the worker; workers on different machines do not share it`, 'Add `staging: { folder: /shared/folder }`'));
  return findings;
}
