import type { Plan } from '../migration/plan/schema';
import type { CheckOutcome } from '../migration/protocol';
import { asPostgres } from './connectors/postgres/system';
import { timed } from './cutover/probes';
import type { ActivityDependencies } from './dependencies';

/** Odd, so that the median is one that was measured. */
const ROUNDS = 5;
/** What the network and the machine add or take by chance; less than this is no difference. */
const NOISE_MS = 5;

/** How much slower the slowest probe is on the new side, as a share of its time on the old; below 0 where all are faster. */
export interface PerformanceOutcome extends CheckOutcome { slower?: number }

/**
 * Times the plan's probes on both sides, turn by turn, and compares the medians with `success.performance_within`. A probe that is too slow is a warning:
 * the report judges it. None where the plan does not ask. Probes of one side only say nothing about both.
 */
export async function comparePerformance(deps: Pick<ActivityDependencies, 'systems'>, plan: Plan, signal: AbortSignal): Promise<PerformanceOutcome[]> {
  const within = plan.success.performance_within;
  if (within === undefined) return [];
  const outcomes: PerformanceOutcome[] = [];
  for (const [name, { source, target, source_connection: from, target_connection: to }] of Object.entries(plan.probes)) {
    if (source === undefined || from === undefined || to === undefined) continue;
    const [before, after] = [asPostgres(deps.systems.open(from)), asPostgres(deps.systems.open(to))];
    const times: { old: number[]; new: number[] } = { old: [], new: [] };
    const problems: string[] = [];
    for (let round = 0; round < ROUNDS && problems.length === 0; round++) {
      signal.throwIfAborted();
      for (const [side, system, sql] of [['old', before, source], ['new', after, target]] as const) {
        const outcome = await timed(system, sql);
        if (typeof outcome === 'number') times[side].push(outcome);
        else problems.push(`on the ${side} side: ${outcome.problem}`);
      }
    }
    outcomes.push({ name, kind: 'performance', ...judge(times, within, problems) });
  }
  return outcomes;
}

function judge(times: { old: number[]; new: number[] }, within: number, problems: string[]): Pick<PerformanceOutcome, 'verdict' | 'detail' | 'slower'> {
  if (problems.length > 0) return { verdict: 'warned', detail: problems.join('; ') };
  const [before, after] = [median(times.old), median(times.new)];
  const slower = Math.abs(after - before) <= NOISE_MS ? 0 : (after - before) / Math.max(before, NOISE_MS);
  const words = slower > 0 ? `${percent(slower)} slower` : slower < 0 ? `${percent(-slower)} faster` : 'no difference';
  return { verdict: slower <= within ? 'passed' : 'warned', detail: `old side ${before} ms, new side ${after} ms, medians of ${ROUNDS}: ${words}; allowed: ${percent(within)} slower`, slower };
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
