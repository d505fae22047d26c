import { noCounts, type Counts } from '../../migration/accounting';
import type { CheckOutcome, CompareResult, DatasetProgress, Verdict, UndoData } from '../../migration/protocol';
import type { AuditTrail } from '../../migration/audit-trail';
import type { ReportData } from '../../workers/door';
import { phaseTimes, type PhaseTimes } from './phases';
import { comparePhases, type PhaseComparison } from './planned-times';
import type { Strategy } from './strategy';

export interface ReportDatasetView {
  name: string; from: string; to: string; state: DatasetProgress['state']; counts: Counts;
  /** Milliseconds from the first to the last commit; null where there are fewer than two. */
  copyMs: number | null; rowsPerSecond: number | null; commits: number; generation: number;
}
export interface ReportCheckView { title: string; kind: string; dataset: string | null; when: string; verdict: Verdict; detail: string }
export interface ReportQuarantineView { dataset: string; rule: string; column: string | null; open: number; waived: number; replayed: number; gone: number }
export interface ReportCriterion { name: string; wanted: string; found: string; met: boolean }

/** All that the page shows: names, counts and instants, no row values. `caravan report --json` prints it. */
export interface ReportView {
  migration: string; project: string; status: string; phase: string; approach: string; compliance: string[]; generatedAt: string;
  startedAt: string; finishedAt: string | null; durationMs: number | null;
  control: string; workflowId: string; planHash: string;
  counts: Counts; openQuarantine: number; waived: number;
  datasets: ReportDatasetView[]; quarantine: ReportQuarantineView[]; checks: ReportCheckView[]; comparisons: ReportCheckView[]; criteria: ReportCriterion[];
  blocked: { step: string; code: string; message: string; since: string }[];
  approvals: { gate: string; by: string; role: string | null; reason: string | null; evidence: string | null; identity: 'claimed' | 'signed'; at: string }[]; signOff: string[];
  /** Every phase with when it began and how long it took. */
  phases: PhaseTimes[];
  /** Planned and actual times, a line per phase. */
  plannedPhases: PhaseComparison[];
  /** The strategy document of the same moment. */
  strategy?: Strategy;
  /** Steps of the cutover and of a rollback. `undo`: how it is taken back; null where nothing has to be. */
  steps: { attempt: number; step: string; state: string; at: string; tookMs: number | null; what: string | null; undo: string | null }[];
  /** What people decided about blocked steps. */
  decisions: { step: string; action: string; by: string | null; reason: string | null; at: string }[];
  /** Steps the result lacks, because a person left them out. */
  skipped: { step: string; by: string | null; reason: string | null }[];
  events: { at: string; actor: string; event: string }[];
  /** Every audit entry with the hashes that chain it. */
  trail: AuditTrail;
  /** Undo data by dataset, where there is or was any. */
  undo: UndoData[];
  /** Carried objects by kind. */
  carried: { kind: string; count: number }[];
  /** What the target has not got: `waiting` names the datasets that were not finished. */
  notCarried: { kind: string; names: string[]; reason: string }[];
}

const EVENTS_SHOWN = 60;
const WHEN: Record<string, string> = { before: 'before the move', after: 'after the move', counts: 'after the move', sample: 'after the move', rows: 'after the move' };
const KINDS: Record<CheckOutcome['kind'], string> = { count: 'Row counts', integrity: 'Integrity', business_rule: 'Business rule', sample: 'Sample', rows: 'Every row', objects: 'Indexes, constraints, sequences', performance: 'Performance' };

/** Turns what the stores hold into what the page shows. Pure. */
export function shapeReport(data: ReportData, generatedAt: Date): ReportView {
  const { status, plan } = data;
  const counts = status.progress?.counts ?? noCounts();
  const checks = data.checks.map(({ stage, outcome }) => shapeCheck(stage, outcome));
  const quarantine = shapeQuarantine(data.quarantine);
  const waived = quarantine.reduce((sum, one) => sum + one.waived, 0);
  const openQuarantine = status.progress?.openQuarantine ?? quarantine.reduce((sum, one) => sum + one.open, 0);
  return {
    migration: status.migration, project: plan.project ?? status.migration, status: status.status, phase: status.phase,
    approach: plan.approach, compliance: plan.compliance, generatedAt: generatedAt.toISOString(),
    startedAt: status.startedAt, finishedAt: status.finishedAt,
    durationMs: status.finishedAt ? Date.parse(status.finishedAt) - Date.parse(status.startedAt) : null,
    control: status.control, workflowId: status.workflowId, planHash: status.planHash,
    counts, openQuarantine, waived,
    datasets: shapeDatasets(data), quarantine,
    checks: checks.filter((one) => one.kind !== KINDS.rows), comparisons: checks.filter((one) => one.kind === KINDS.rows),
    criteria: judgeCriteria(data, counts, openQuarantine, waived),
    blocked: status.blocked.map(({ step, code, message, since }) => ({ step, code, message, since })),
    approvals: data.approvals.map((one) => ({ gate: one.gate, by: one.by, role: one.role ?? null, reason: one.reason ?? null, evidence: one.evidence ?? null, identity: one.identity, at: one.at })),
    decisions: data.decisions.map(({ step, action, by, reason, at }) => ({ step, action, by, reason, at })),
    skipped: data.skipped.map(({ step, by, reason }) => ({ step, by: by ?? null, reason: reason ?? null })),
    signOff: plan.sign_off, phases: phaseTimes(data.trail), plannedPhases: comparePhases(plan, data.preparation?.findings.forecast, phaseTimes(data.trail), generatedAt), steps: data.steps.map(shapeStep), carried: carriedKinds(data.objects), notCarried: shapeNotCarried(data),
    trail: data.trail,
    undo: data.undo.filter(({ images, conflicts, exports, purgedAt }) => images + conflicts + exports > 0 || purgedAt !== null),
    events: data.audit.slice(-EVENTS_SHOWN).map(({ at, actor, event }) => ({ at, actor, event })),
  };
}

function shapeStep({ attempt, step, state, openedAt, closedAt, evidence, undo }: ReportData['steps'][number]): ReportView['steps'][number] {
  return {
    attempt, step, state, at: openedAt, tookMs: closedAt === null ? null : Date.parse(closedAt) - Date.parse(openedAt), what: evidence?.what ?? null,
    undo: undo.do === 'none' ? null : undo.do === 'switch_application' ? `${undo.application} back to the ${undo.to} side` : `${inWords(undo.do)} on the ${undo.side}`,
  };
}

const inWords = (kind: string): string => kind.replaceAll('_', ' ');

function carriedKinds(objects: ReportData['objects']): ReportView['carried'] {
  const counts = new Map<string, number>();
  for (const { kind, state } of objects) if (state === 'made') counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => ({ kind: inWords(kind), count }));
}

/** One entry for each kind and reason. Tables speak in the audit: their parts that were left out when they were made. */
function shapeNotCarried({ objects, audit }: ReportData): ReportView['notCarried'] {
  const groups = new Map<string, ReportView['notCarried'][number]>();
  const add = (kind: string, name: string, reason: string): void => {
    const key = JSON.stringify([kind, reason]);
    const group = groups.get(key) ?? { kind: inWords(kind), names: [], reason };
    groups.set(key, group);
    if (!group.names.includes(name)) group.names.push(name);
  };
  for (const { event, body } of audit) {
    if (event !== 'schema_created' || !Array.isArray(body['left_out'])) continue;
    for (const item of body['left_out'] as { dataset?: unknown; what?: unknown; name?: unknown; reason?: unknown }[]) add(String(item.what), `${String(item.name)} (${String(item.dataset)})`, String(item.reason));
  }
  for (const { kind, name, state, reason, datasets } of objects) {
    if (state === 'left') add(kind, name, reason ?? '');
    else if (state === 'waiting') add(kind, name, `it waits for the rows of ${datasets.join(', ')}`);
  }
  return [...groups.values()];
}

function shapeDatasets(data: ReportData): ReportDatasetView[] {
  const progress = new Map((data.status.progress?.datasets ?? []).map((one) => [one.dataset, one]));
  const work = new Map(data.datasets.map((one) => [one.dataset, one]));
  return Object.entries(data.plan.datasets).map(([name, { source, target }]) => {
    const done = work.get(name);
    const copyMs = done?.firstCommitAt && done.lastCommitAt && done.commits > 1 ? Date.parse(done.lastCommitAt) - Date.parse(done.firstCommitAt) : null;
    const counts = progress.get(name)?.counts ?? noCounts();
    return {
      name, counts, copyMs, state: progress.get(name)?.state ?? 'waiting',
      from: `${source.connection} · ${source.query ? 'query' : (source.table ?? name)}`, to: `${target.connection} · ${target.table ?? name}`,
      // One commit has no duration; a speed from it would be made up.
      rowsPerSecond: copyMs !== null && copyMs >= 1000 ? Math.round(counts.read / (copyMs / 1000)) : null,
      commits: done?.commits ?? 0, generation: done?.generation ?? 0,
    };
  });
}

function shapeCheck(stage: string, outcome: CheckOutcome | CompareResult): ReportCheckView {
  const when = WHEN[stage] ?? stage;
  if ('compared' in outcome) return { title: outcome.dataset, kind: KINDS.rows, dataset: outcome.dataset, when, verdict: outcome.verdict, detail: outcome.detail };
  const side = outcome.side ? ` (${outcome.side})` : '';
  return { title: `${outcome.name}${side}`, kind: KINDS[outcome.kind], dataset: outcome.dataset ?? null, when, verdict: outcome.verdict, detail: outcome.detail };
}

function shapeQuarantine(rows: ReportData['quarantine']): ReportQuarantineView[] {
  const byReason = new Map<string, ReportQuarantineView>();
  for (const { dataset, rule, column, state, rows: count } of rows) {
    const key = JSON.stringify([dataset, rule, column]);
    const view = byReason.get(key) ?? { dataset, rule, column, open: 0, waived: 0, replayed: 0, gone: 0 };
    if (state === 'open' || state === 'waived' || state === 'replayed' || state === 'gone') view[state] += count;
    byReason.set(key, view);
  }
  return [...byReason.values()];
}

function judgeCriteria(data: ReportData, counts: Counts, open: number, waived: number): ReportCriterion[] {
  const { migrated, error_rate: errorRate, performance_within: within } = data.plan.success;
  const criteria: ReportCriterion[] = [];
  const total = Math.max(data.status.progress?.total ?? 0, counts.read);
  if (migrated !== undefined) {
    // Migrated: accounted for, and not left in quarantine without anybody's decision.
    const found = total === 0 ? 1 : Math.max(0, counts.read - open) / total;
    criteria.push({ name: 'Migrated', wanted: `at least ${percent(migrated)}`, found: percent(found), met: found >= migrated });
  }
  if (errorRate !== undefined) {
    const found = counts.read === 0 ? 0 : (open + waived) / counts.read;
    criteria.push({ name: 'Error rate', wanted: `at most ${percent(errorRate)}`, found: percent(found), met: found <= errorRate });
  }
  if (migrated !== undefined) {
    const rows = data.checks.flatMap(({ outcome }) => ('compared' in outcome ? [outcome] : []));
    const equal = rows.filter(({ verdict }) => verdict === 'passed' || verdict === 'explained').length;
    const all = Object.keys(data.plan.datasets).length;
    criteria.push({ name: 'Zero loss', wanted: 'every row of every dataset equal by hash', found: `${equal} of ${all} datasets`, met: equal === all });
  }
  if (within !== undefined) criteria.push(judgePerformance(data, within));
  return criteria;
}

/** The slowest probe counts; one that could not be timed on both sides is not met. */
function judgePerformance({ plan, checks }: ReportData, within: number): ReportCriterion {
  const slower = checks.flatMap(({ outcome }) => ('slower' in outcome && typeof outcome.slower === 'number' ? [outcome.slower] : []));
  const measured = slower.length > 0 && slower.length === Object.values(plan.probes).filter(({ source }) => source !== undefined).length;
  const worst = Math.max(0, ...slower);
  const found = !measured ? 'not measured: it needs `probes` that run on both sides' : worst > 0 ? `${percent(worst)} slower` : 'not slower';
  return { name: 'Performance', wanted: `at most ${percent(within)} slower`, found, met: measured && worst <= within };
}

/** Never rounds up to 100 % or down to 0 %. */
function percent(share: number): string {
  const value = share * 100;
  for (const digits of [0, 1, 2, 3, 4]) {
    const text = value.toFixed(digits);
    if ((Number(text) !== 100 || value === 100) && (Number(text) !== 0 || value === 0) && (digits >= 2 || Number(text) === value)) return `${text.replace(/\.?0+$/, (zeros) => (zeros.includes('.') ? '' : zeros))} %`;
  }
  return value > 50 ? '99.9999 %' : '0.0001 %';
}
