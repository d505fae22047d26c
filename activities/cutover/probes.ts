import type { LifeStep, ProbeWatch, ProbeWatchInput, Side, StepEvidence, StepInput } from '../../migration/protocol';
import { isMigrationError } from '../../migration/errors';
import type { Plan } from '../../migration/plan/schema';
import { readRows } from '../connectors/postgres/catalog';
import { embedded } from '../connectors/postgres/sql';
import { asPostgres, type PostgresSystem } from '../connectors/postgres/system';
import type { ActivityDependencies } from '../dependencies';
import { whileAlive } from '../reconciliation/liveness';
import { loadRun } from '../run-context';
import { performStep } from './life-step';
import { sideTables } from './side-tables';

const BASELINE_RUNS = 3;
const PROBE_LIMIT = '30s';
/** What a network and a busy machine may add to a query of a millisecond. */
const GRACE_MS = 25;
const MEASURE = 'ms of ';
const SLOWER_BY = 0.5;

/** Times the plan's probes on the old side, before anything is blocked: the best of three runs each. A probe that fails there has no baseline. */
export function measureBaseline(deps: ActivityDependencies, input: StepInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async ({ plan, signal }) => {
    const measures: Record<string, number> = {};
    const failed: string[] = [];
    for (const [name, probe] of Object.entries(plan.probes)) {
      if (probe.source === undefined || probe.source_connection === undefined) continue;
      const system = asPostgres(deps.systems.open(probe.source_connection));
      const times: number[] = [];
      for (let run = 0; run < BASELINE_RUNS; run++) {
        signal.throwIfAborted();
        const outcome = await timed(system, probe.source);
        if (typeof outcome === 'number') times.push(outcome);
        else failed.push(`${name}: ${outcome.problem}`);
      }
      if (times.length > 0) measures[`${MEASURE}${name}`] = Math.min(...times);
    }
    const count = Object.keys(measures).length;
    const evidence: StepEvidence = { what: `${count} of ${Object.keys(plan.probes).length} probes timed on the old side.${failed.length > 0 ? ` Without a baseline: ${[...new Set(failed)].join('; ')}.` : ''}`, ...measures };
    return { ...evidence, connections: await connections(deps, plan, 'source') };
  });
}

/**
 * Looks at the new side every `everyMs` until `forMs` are over or `failures` looks in a row failed. A look fails when a probe fails, or is slower than its
 * baseline by more than the plan allows. Changes nothing; a repeat looks anew from what `seen` says.
 */
export function watchProbes(deps: ActivityDependencies, { ref, baseline, forMs, everyMs, failures, seen }: ProbeWatchInput): Promise<ProbeWatch> {
  return whileAlive(async (signal) => {
    const { plan } = await loadRun(deps, ref);
    const until = Date.now() + forMs;
    let watch = seen;
    for (;;) {
      const look = await lookAtNewSide(deps, plan, baseline);
      const failed = look.failures.length > 0;
      watch = {
        ...look, looks: watch.looks + 1, failed: watch.failed + (failed ? 1 : 0), inRow: failed ? watch.inRow + 1 : 0, slowestMs: Math.max(watch.slowestMs, look.slowestMs),
      };
      const pause = Math.min(everyMs, until - Date.now());
      if (watch.inRow >= failures || pause <= 0) return watch;
      await pauseFor(pause, signal);
    }
  });
}

interface ProbeLook { failures: string[]; slowestMs: number; newConnections: number; legacyConnections: number }

/** Every probe once on the new side, and how many sessions work on each side. `failures`: in words, without values. */
export async function lookAtNewSide(deps: ActivityDependencies, plan: Plan, baseline: StepEvidence): Promise<ProbeLook> {
  const slowerBy = plan.cutover?.monitor?.slower_by ?? SLOWER_BY;
  const failures: string[] = [];
  let slowestMs = 0;
  for (const [name, probe] of Object.entries(plan.probes)) {
    if (probe.target_connection === undefined) continue;
    const outcome = await timed(asPostgres(deps.systems.open(probe.target_connection)), probe.target);
    if (typeof outcome !== 'number') {
      failures.push(`${name}: ${outcome.problem}`);
      continue;
    }
    slowestMs = Math.max(slowestMs, outcome);
    const before = baseline[`${MEASURE}${name}`];
    if (typeof before === 'number' && outcome > before * (1 + slowerBy) + GRACE_MS) failures.push(`${name}: ${outcome} ms, where the old side took ${before} ms`);
  }
  return { failures, slowestMs, newConnections: await connections(deps, plan, 'target'), legacyConnections: await connections(deps, plan, 'source') };
}

function pauseFor(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason instanceof Error ? signal.reason : new Error('stopped'));
    }, { once: true });
  });
}

/** Milliseconds, or what went wrong without a value. */
export async function timed(system: PostgresSystem, sql: string): Promise<number | { problem: string }> {
  try {
    return await system.transaction(async (client) => {
      await client.query(`SET LOCAL statement_timeout = '${PROBE_LIMIT}'`);
      const started = performance.now();
      await client.query(embedded(sql));
      return Math.round((performance.now() - started) * 10) / 10;
    }, 'BEGIN TRANSACTION READ ONLY');
  } catch (error) {
    if (isMigrationError(error)) return { problem: error.message };
    throw error;
  }
}

/** Sessions of others on the databases of a side. */
async function connections(deps: ActivityDependencies, plan: Plan, side: Side): Promise<number> {
  let count = 0;
  for (const { system } of await sideTables(deps, plan, side)) {
    const [found] = await system.use((client) => readRows<{ count: number }>(client, `SELECT count(*)::int AS count FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> 'caravan'`));
    count += found?.count ?? 0;
  }
  return count;
}
