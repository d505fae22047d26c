import { Context } from '@temporalio/activity';
import type { Plan } from '../migration/plan/schema';
import { boundedProgress, countStates } from '../migration/progress';
import type { AlertState, Progress, WatchInput } from '../migration/protocol';
import { asPostgres, type PostgresSystem } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { loadControl, type RunContext } from './run-context';
import { readMigrations, refreshLease, type MigrationRow } from './stores/control-store';
import { lookAtLedgers, type LedgerLook } from './stores/progress';

const POLL_MIN_MS = 500;
const POLL_MAX_MS = 5_000;
const HEARTBEAT_MS = 5_000;
/** The lease counts as stale after 45 s: it is refreshed well before. */
const LEASE_REFRESH_MS = 10_000;
/** A copy gets this long to gain speed before it counts as slow. */
const SPEED_GRACE_SECONDS = 60;
/** Of more datasets than that, single ones are no news. */
const EACH_TOLD_MAX = 200;
/** So few rows say nothing about a rate. */
const ERROR_RATE_ROWS_MIN = 1_000;

/**
 * Answers as soon as the ledgers show something a person would notice that `seen` does not have (1 % of a dataset, a state, an alert), at the latest
 * after `maxWaitMs`; an ordinary change no sooner than `minWaitMs`, a change of state or an alert at once; at once when nothing was seen. Keeps the lease fresh. Changes no progress; cancelled, it stops at once.
 * @throws MigrationError `LEASE_LOST`, and those of the connections.
 */
export async function watchProgress(deps: ActivityDependencies, input: WatchInput): Promise<Progress> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
  try {
    const run = await loadControl(deps, input.ref);
    const began = Date.now();
    const until = began + input.maxWaitMs;
    let refreshed = 0;
    for (let wait = POLL_MIN_MS; ; wait = Math.min(wait * 1.5, POLL_MAX_MS)) {
      if (Date.now() - refreshed >= LEASE_REFRESH_MS) {
        await refreshLease(run.control, input.ref);
        refreshed = Date.now();
      }
      const progress = await readProgress(deps, run);
      const left = until - Date.now();
      const notBefore = Math.min(left, began + (input.minWaitMs ?? 0) - Date.now());
      const changed = progress.version !== input.seen;
      if (left <= 0 || (changed && (notBefore <= 0 || isUrgent(input.seen, progress.version)))) return boundedProgress(progress);
      await context.sleep(Math.min(wait, changed ? notBefore : left));
    }
  } finally {
    clearInterval(beat);
  }
}

/** One look, without waiting. */
export async function readProgress(deps: Pick<ActivityDependencies, 'systems'>, run: Pick<RunContext, 'plan' | 'control'>): Promise<Progress> {
  const look = await lookAtLedgers(targetsOf(deps, run.plan), run.control, run.plan);
  const [migration] = await readMigrations(run.control, run.plan.migration);
  const alerts = judgeAlerts(run.plan, look, migration);
  return {
    datasets: look.datasets, total: look.total, counts: look.counts, openQuarantine: look.openQuarantine,
    rowsPerSecond: Math.round(look.rowsPerSecond * 10) / 10, alerts, version: versionOf(look, alerts),
  };
}

/** The targets of a plan by connection name. */
export function targetsOf(deps: Pick<ActivityDependencies, 'systems'>, plan: Plan): Map<string, PostgresSystem> {
  const names = new Set(Object.values(plan.datasets).map((dataset) => dataset.target.connection));
  return new Map([...names].map((name) => [name, asPostgres(deps.systems.open(name))]));
}

/** The plan's alerts as they stand. Limits that the plan does not set give no entry. */
export function judgeAlerts(plan: Plan, look: LedgerLook, migration: Pick<MigrationRow, 'status' | 'status_seconds'> | undefined): AlertState[] {
  const { error_rate: errorRate, min_speed: minSpeed, on_alert: onAlert } = plan.alerts;
  const blocks = onAlert === 'block';
  const alerts: AlertState[] = [];
  if (errorRate !== undefined) {
    const { read } = look.counts;
    const share = read > 0 ? look.openQuarantine / read : 0;
    const active = read >= Math.min(ERROR_RATE_ROWS_MIN, look.total) && share > errorRate;
    alerts.push({ alert: 'error_rate', active, blocks, message: `${look.openQuarantine} of ${read} rows are in quarantine (${percent(share)}); the plan allows ${percent(errorRate)}` });
  }
  if (minSpeed !== undefined) {
    // Paused and blocked runs do not copy, and every start needs a moment.
    const running = migration?.status === 'running' && migration.status_seconds >= SPEED_GRACE_SECONDS;
    const copying = look.copyingSeconds !== null && look.copyingSeconds >= SPEED_GRACE_SECONDS;
    const active = running && copying && look.rowsPerSecond < minSpeed;
    alerts.push({ alert: 'min_speed', active, blocks, message: `${Math.round(look.rowsPerSecond * 60)} rows per minute; the plan asks for ${Math.round(minSpeed * 60)}` });
  }
  return alerts;
}

const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

/** Equal for looks between which nobody would notice a difference: of very many datasets, a percent of the whole. */
function versionOf(look: LedgerLook, alerts: AlertState[]): string {
  const active = alerts.filter((alert) => alert.active).map((alert) => alert.alert);
  const many = look.datasets.length > EACH_TOLD_MAX;
  const share = (read: number, total: number) => (total > 0 ? Math.floor((read * 100) / total) : 0);
  const amounts = many ? `${share(look.counts.read, look.total)}` : compact(look.datasets.map(({ state, total, counts }) => `${state[0] ?? ''}${share(counts.read, total)}`));
  const states = many
    ? Object.values(countStates(look.datasets)).map((count) => share(count, look.datasets.length)).join(' ')
    : compact(look.datasets.map(({ state }) => state[0] ?? ''));
  return JSON.stringify([amounts, twoDigits(look.openQuarantine), active, states]);
}

/** Whether states or alerts differ between two versions, and not only amounts. Versions of another form differ. */
function isUrgent(seen: string | null, version: string): boolean {
  const lasting = (text: string): string => JSON.stringify((JSON.parse(text) as unknown[]).slice(2));
  try {
    return seen === null || lasting(seen) !== lasting(version);
  } catch {
    return true;
  }
}

/** Runs of equal entries are counted: plans with thousands of waiting datasets keep a short version. */
function compact(entries: string[]): string {
  let text = '';
  for (let start = 0; start < entries.length;) {
    let end = start + 1;
    while (end < entries.length && entries[end] === entries[start]) end += 1;
    text += `${entries[start] ?? ''}${end - start > 1 ? `x${end - start}` : ''} `;
    start = end;
  }
  return text.trimEnd();
}

const twoDigits = (count: number): number => Number(count.toPrecision(2));
