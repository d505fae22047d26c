import { parsePlan } from '../../migration/plan/parse';
import { forecast } from '../../migration/preparation/forecast';
import { comparePhases } from '../../scripts/report/planned-times';
import type { PhaseTimes } from '../../scripts/report/phases';

const datasets = { users: { source: { connection: 'old' }, target: { connection: 'new' } } };
const foreseen = forecast({ datasets: [{ rows: 400_000, bytes: 1 }], speed: { rowsPerSecond: 40_000, bytesPerSecond: 1_000_000, from: 'rehearsal' }, lanes: 1, indexBytes: 0, validate: true });
const at = (minute: number): string => new Date(Date.UTC(2026, 11, 5, 22, minute)).toISOString();
const entry = (phase: PhaseTimes['phase'], from: number, to: number | null): PhaseTimes => ({ phase, startedAt: at(from), endedAt: to === null ? null : at(to), durationMs: to === null ? null : (to - from) * 60_000 });
const now = new Date(at(60));

test('without a cutover the forecast stands beside production and validation; what is planned and not begun is told; entries add up', () => {
  const { plan } = parsePlan({ migration: 'm', datasets, window: { start: at(0), abort_by: at(50) } });
  const lines = comparePhases(plan, foreseen, [entry('preparation', 0, 1), entry('production', 1, 2), entry('preparation', 10, 11), entry('production', 11, 12)], now);
  expect(lines).toMatchObject([
    { phase: 'preparation', planned: { duration: null }, actual: { startedAt: at(0), endedAt: at(11), tookMs: 120_000, entries: 2 }, beyondMs: null },
    { phase: 'production', planned: { startsAt: at(0), endsBy: at(50), duration: { source: 'forecast from the rehearsal' } }, actual: { entries: 2, tookMs: 120_000 } },
    { phase: 'validation', planned: { duration: { source: 'forecast from the rehearsal' } }, actual: null, beyondMs: null },
  ]);
  const production = lines[1];
  expect(production?.planned.duration?.likelyMs).toBe((foreseen.stages[0]?.likelyMs ?? 0) + (foreseen.stages[1]?.likelyMs ?? 0));
  expect(production?.beyondMs).toBe(120_000 - (production?.planned.duration?.highMs ?? 0));
});

test('a cutover may take its tolerance, has its validation inside, and is late as soon as it is longer', () => {
  const { plan } = parsePlan({ migration: 'm', approach: 'phased', datasets, downtime_tolerance: '15m', window: { abort_by: at(50) }, cutover: {}, rehearsal: {} });
  expect(comparePhases(plan, undefined, [entry('cutover', 0, 10), entry('rollback', 20, null)], now)).toMatchObject([
    { phase: 'preparation', actual: null }, { phase: 'test', actual: null }, { phase: 'production', planned: { duration: null } },
    { phase: 'cutover', planned: { endsBy: at(50), duration: { lowMs: null, highMs: 900_000, source: 'downtime_tolerance' } }, actual: { tookMs: 600_000 }, beyondMs: 0 },
    { phase: 'rollback', planned: { duration: null }, actual: { endedAt: null, tookMs: 40 * 60_000 }, beyondMs: null },
  ]);
  expect(comparePhases(plan, undefined, [entry('cutover', 30, null)], now).find(({ phase }) => phase === 'cutover')).toMatchObject({ beyondMs: 15 * 60_000 });
});
