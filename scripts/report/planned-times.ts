import type { Plan } from '../../migration/plan/schema';
import type { Forecast } from '../../migration/preparation/findings';
import type { Phase } from '../../migration/protocol';
import type { PhaseTimes } from './phases';

/** How long a phase is to take. `source`: where that is known from. One bound: `lowMs` equals `likelyMs`, and `highMs` is the most it may take. */
export interface PlannedDuration { lowMs: number | null; likelyMs: number | null; highMs: number; source: string }

/** One phase as planned and as it was. Null: not known, or not yet. */
export interface PhaseComparison {
  phase: Phase;
  planned: { startsAt: string | null; endsBy: string | null; duration: PlannedDuration | null };
  /** From its first beginning to its last end; `tookMs` is the time in the phase alone, over all its entries. */
  actual: { startedAt: string; endedAt: string | null; tookMs: number; entries: number } | null;
  /** Milliseconds beyond (or, negative, below) the span of the plan; 0 within it. */
  beyondMs: number | null;
}

const ORDER: readonly Phase[] = ['preparation', 'test', 'production', 'cutover', 'validation', 'rollback'];
const SPEEDS: Record<Forecast['speed']['from'], string> = { assumed: 'forecast, speed assumed', 'former runs': 'forecast from former runs', rehearsal: 'forecast from the rehearsal' };

/** Every phase that is planned or was entered, in order. Pure. `now`: how long a phase that goes on has taken so far. */
export function comparePhases(plan: Plan, forecast: Forecast | undefined, entries: readonly PhaseTimes[], now: Date): PhaseComparison[] {
  return ORDER.flatMap((phase): PhaseComparison[] => {
    const own = entries.filter((one) => one.phase === phase);
    const planned = plannedOf(plan, forecast, phase);
    if (own.length === 0 && !isPlanned(plan, phase)) return [];
    const actual = actualOf(own, now);
    return [{ phase, planned, actual, beyondMs: beyond(planned.duration, actual) }];
  });
}

/** A cutover has its validation inside it. */
function isPlanned(plan: Plan, phase: Phase): boolean {
  switch (phase) {
    case 'test': return plan.rehearsal !== undefined;
    case 'cutover': return plan.cutover !== undefined;
    case 'validation': return plan.cutover === undefined;
    case 'rollback': return false;
    default: return true;
  }
}

function plannedOf(plan: Plan, forecast: Forecast | undefined, phase: Phase): PhaseComparison['planned'] {
  const { start = null, abort_by: abortBy = null } = plan.window ?? {};
  const inside = plan.cutover !== undefined && plan.approach === 'big_bang';
  const stages = (...names: Forecast['stages'][number]['stage'][]): PlannedDuration | null => (forecast ? stagesOf(forecast, names) : null);
  switch (phase) {
    case 'production': return { startsAt: start, endsBy: plan.cutover ? null : abortBy, duration: inside ? null : stages('copy', 'indexes') };
    case 'validation': return { startsAt: null, endsBy: null, duration: stages('validation') };
    case 'cutover': {
      const tolerated = plan.downtime_tolerance;
      const most: PlannedDuration | null = tolerated === undefined ? null : { lowMs: null, likelyMs: null, highMs: tolerated, source: 'downtime_tolerance' };
      return { startsAt: null, endsBy: abortBy, duration: most ?? (inside ? stages('copy', 'indexes', 'validation') : stages('validation')) };
    }
    default: return { startsAt: null, endsBy: null, duration: null };
  }
}

function stagesOf(forecast: Forecast, names: readonly string[]): PlannedDuration | null {
  const stages = forecast.stages.filter(({ stage }) => names.includes(stage));
  if (stages.length === 0) return null;
  const sum = (of: 'lowMs' | 'likelyMs' | 'highMs'): number => stages.reduce((total, one) => total + one[of], 0);
  return { lowMs: sum('lowMs'), likelyMs: sum('likelyMs'), highMs: sum('highMs'), source: SPEEDS[forecast.speed.from] };
}

function actualOf(entries: readonly PhaseTimes[], now: Date): PhaseComparison['actual'] {
  const [first, last] = [entries[0], entries.at(-1)];
  if (!first || !last) return null;
  const tookMs = entries.reduce((sum, one) => sum + (one.durationMs ?? Math.max(0, now.getTime() - Date.parse(one.startedAt))), 0);
  return { startedAt: first.startedAt, endedAt: last.endedAt, tookMs, entries: entries.length };
}

/** A phase that goes on is not below its plan yet. */
function beyond(planned: PlannedDuration | null, actual: PhaseComparison['actual']): number | null {
  if (!planned || !actual) return null;
  if (actual.tookMs > planned.highMs) return actual.tookMs - planned.highMs;
  if (actual.endedAt === null) return null;
  return planned.lowMs !== null && actual.tookMs < planned.lowMs ? actual.tookMs - planned.lowMs : 0;
}
