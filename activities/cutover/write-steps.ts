import type { Plan } from '../../migration/plan/schema';
import type { LifeStep, ProofInput, Side, SideInput, StepEvidence, StepUndo } from '../../migration/protocol';
import { allowWrites, blockWrites } from '../connectors/postgres/write-block';
import { proveBlocked, proveWritable } from '../connectors/postgres/write-proof';
import type { ActivityDependencies } from '../dependencies';
import { performStep } from './life-step';
import { sideTables } from './side-tables';

interface SideWork { plan: Plan; epoch: number; signal: AbortSignal }
const DEFAULT_LOCK_MS = 30_000;

/** Writes on every table of a side are refused, in each of its databases. The undo is what the caller says: the target is not opened by taking its block back. */
export function blockSide(deps: ActivityDependencies, input: SideInput): Promise<LifeStep> {
  const undo: StepUndo = input.side === 'source' ? { do: 'allow_writes', side: 'source' } : { do: 'none' };
  return performStep(deps, input, undo, (work) => changeSide(deps, input.side, 'block', work));
}

/** Writes on a side are allowed; the undo blocks them again. */
export function allowSide(deps: ActivityDependencies, input: SideInput): Promise<LifeStep> {
  const undo: StepUndo = input.side === 'target' ? { do: 'block_writes', side: 'target' } : { do: 'none' };
  return performStep(deps, input, undo, (work) => changeSide(deps, input.side, 'allow', work));
}

/** Tries writes: all tables of the sides in `refusing` must refuse, those in `accepting` must accept. */
export function proveWriters(deps: ActivityDependencies, input: ProofInput): Promise<LifeStep> {
  return performStep(deps, input, { do: 'none' }, async ({ plan }) => joined([
    ...await Promise.all(input.refusing.map((side) => proveSide(deps, plan, side, 'refuses'))),
    ...await Promise.all(input.accepting.map((side) => proveSide(deps, plan, side, 'accepts'))),
  ]));
}

/** Blocks or allows every database of a side, one after the other, and answers what was seen. */
export async function changeSide(deps: ActivityDependencies, side: Side, change: 'block' | 'allow', { plan, epoch, signal }: SideWork): Promise<StepEvidence> {
  const seen: StepEvidence[] = [];
  for (const { system, tables } of await sideTables(deps, plan, side)) {
    const request = { migration: plan.migration, epoch, tables, signal };
    seen.push(change === 'block' ? await blockWrites(system, { ...request, lockTimeoutMs: plan.cutover?.lock_timeout ?? DEFAULT_LOCK_MS }) : await allowWrites(system, request));
  }
  return joined(seen);
}

export async function proveSide(deps: ActivityDependencies, plan: Plan, side: Side, how: 'refuses' | 'accepts'): Promise<StepEvidence> {
  const seen: StepEvidence[] = [];
  for (const { system, tables } of await sideTables(deps, plan, side)) seen.push(await (how === 'refuses' ? proveBlocked : proveWritable)(system, tables));
  return joined(seen);
}

/** One evidence of several: sentences one after the other, numbers added up. */
function joined(seen: StepEvidence[]): StepEvidence {
  const all: StepEvidence = { what: seen.map(({ what }) => what).join(' ') };
  for (const { what: _what, ...measures } of seen) {
    for (const [measure, value] of Object.entries(measures)) {
      const before = all[measure];
      all[measure] = typeof value === 'number' && typeof before === 'number' ? before + value : typeof value === 'boolean' && typeof before === 'boolean' ? before && value : value;
    }
  }
  return all;
}
