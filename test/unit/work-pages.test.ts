import { parsePlan } from '../../migration/plan/parse';
import { planView } from '../../migration/plan/order';
import { boundedView, workPages, type DatasetSize } from '../../migration/plan/work-pages';
import { addProof, mergeProof, noProof, proofOf } from '../../migration/proof';
import { boundedProgress, datasetCount, doneCount } from '../../migration/progress';
import { dashboardText } from '../../migration/dashboard';
import { noCounts } from '../../migration/accounting';
import type { CheckOutcome, CompareResult, Progress, RunRef, WorkUnit } from '../../migration/protocol';

const ref: RunRef = { migration: 'many', planHash: 'h', control: 'new', lease: 1 };
const name = (i: number) => `t_${String(i).padStart(5, '0')}`;

function planOf(count: number, more: (i: number) => object = () => ({}), head: object = {}) {
  const datasets = Array.from({ length: count }, (_, i) => [name(i), { source: { connection: 'legacy' }, target: { connection: 'new' }, ...more(i) }]);
  return parsePlan({ migration: 'many', datasets: Object.fromEntries(datasets) as object, ...head }).plan;
}

const tiny = (): DatasetSize => ({ rows: 10, bytes: 8_192 });
const members = (units: readonly WorkUnit[]): string[] => units.flatMap((unit) => unit.bundle ?? [unit.name]);

describe('pages of work', () => {
  test('a view of up to 200 datasets is whole; a larger one names none, and stays small', () => {
    expect(boundedView(planView(planOf(200), ref, false)).datasets).toHaveLength(200);
    const view = boundedView(planView(planOf(10_000), ref, false));
    expect(view).toMatchObject({ paged: true, datasets: [], groups: [{ name: 'ungrouped', datasets: [], size: 10_000 }], routes: [{ name: name(0), targetSide: 'new' }] });
    expect(JSON.stringify(view).length).toBeLessThan(2_000);
  });

  test('each dataset is in exactly one unit; tiny ones are bundled by fifty, and pages hold what one history can', () => {
    const plan = planOf(10_000);
    const pages = workPages(plan, (dataset) => (Number(dataset.slice(2)) % 10 === 0 ? { rows: 1_000_000, bytes: 1e9 } : tiny()));
    expect(members(pages.flat()).sort()).toEqual(Object.keys(plan.datasets).sort());
    expect(new Set(pages.flat().map((unit) => unit.name)).size).toBe(pages.flat().length);
    expect(pages.map((page) => page.length)).toEqual([400, 400, 380]);
    expect(pages.flat().filter((unit) => unit.bundle)).toHaveLength(180);
    expect(Math.max(...pages.map((page) => JSON.stringify(page).length))).toBeLessThan(400_000);
  });

  test('what waits or is waited for, is staged, large, or of unknown size stands alone', () => {
    const plan = planOf(6, (i) => (i === 1 ? { after: [name(0)] } : i === 3 ? { mode: 'staged' } : {}));
    const sizes: Record<string, DatasetSize | null> = { [name(2)]: { rows: 50_000, bytes: 1 }, [name(4)]: null };
    const [units = []] = workPages(plan, (dataset) => (dataset in sizes ? sizes[dataset] ?? null : tiny()));
    expect(units.every((unit) => !unit.bundle)).toBe(true);
    expect(members(units)).toEqual([0, 1, 2, 3, 4, 5].map(name));
  });

  test('a bundle stays within one pair of connections, and within its bytes', () => {
    const plan = parsePlan(`migration: many
datasets:
  a: { source: { connection: one }, target: { connection: new } }
  b: { source: { connection: two }, target: { connection: new } }
  c: { source: { connection: one }, target: { connection: new } }
  d: { source: { connection: two }, target: { connection: new } }
control: new
`).plan;
    expect(workPages(plan, tiny)[0]?.map((unit) => unit.bundle)).toEqual([['a', 'c'], ['b', 'd']]);
    const heavy = workPages(planOf(24), () => ({ rows: 10, bytes: 8 * 1024 * 1024 }))[0] ?? [];
    expect(heavy.map((unit) => unit.bundle?.length)).toEqual([8, 8, 8]);
  });

  test('groups are paged one by one, and left-out datasets are in no page', () => {
    const plan = planOf(4, (i) => ({ group: i < 2 ? 'first' : 'second' }), { approach: 'phased', groups: { first: {}, second: { after: ['first'] } } });
    expect(members(workPages(plan, tiny, 'second').flat())).toEqual([name(2), name(3)]);
    expect(members(workPages(plan, tiny, undefined, new Set([name(0), name(3)])).flat())).toEqual([name(1), name(2)]);
    expect(workPages(plan, tiny, 'second', new Set([name(2), name(3)]))).toEqual([[]]);
  });
});

describe('bounded results', () => {
  const check = (verdict: CheckOutcome['verdict'], dataset = 'd'): CheckOutcome => ({ name: 'counts', kind: 'count', verdict, detail: '', dataset });
  const compare = (verdict: CompareResult['verdict'], dataset = 'd'): CompareResult =>
    ({ dataset, compared: 5, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 0, repaired: 0, verdict, detail: '' });

  test('what passed is counted, what did not is kept, and nothing is counted twice', () => {
    let tally = addProof(noProof(), { checks: [check('passed')], comparisons: [compare('passed')] });
    tally = addProof(tally, { checks: [check('passed', 'odd')], comparisons: [compare('explained', 'odd')] });
    const both = mergeProof(tally, tally);
    expect(both).toMatchObject({ passed: 2, compared: 20, more: 0 });
    expect(proofOf(both).comparisons).toMatchObject([{ dataset: 'odd', compared: 5 }, { dataset: 'odd', compared: 5 }, { dataset: '2 datasets', compared: 10, verdict: 'passed' }]);
  });

  test('no more than four hundred are kept; the others are counted and said to be in the report', () => {
    let tally = noProof();
    for (let i = 0; i < 1_000; i++) tally = addProof(tally, { checks: [check('warned', `d${i}`)], comparisons: [] });
    expect(tally.checks).toHaveLength(400);
    expect(proofOf(tally).checks.at(-1)).toMatchObject({ verdict: 'warned', detail: expect.stringContaining('600 more') as string });
  });

  test('a look at very many datasets names fifty, those that move first, and counts all', () => {
    const datasets = Array.from({ length: 3_000 }, (_, i) => ({ dataset: name(i), state: i < 1_000 ? 'done' as const : i === 2_999 ? 'copying' as const : 'waiting' as const, total: 10, counts: noCounts() }));
    const progress: Progress = { datasets, total: 30_000, counts: { ...noCounts(), read: 10_000 }, openQuarantine: 0, rowsPerSecond: 1, alerts: [], version: '' };
    const bounded = boundedProgress(progress);
    expect(bounded.datasets).toHaveLength(50);
    expect(bounded.datasets[0]?.dataset).toBe(name(2_999));
    expect([datasetCount(bounded), doneCount(bounded)]).toEqual([3_000, 1_000]);
    const text = dashboardText({ migration: 'many', phase: 'production', status: 'running', progress: bounded, blocked: [], waitingFor: [], note: null });
    expect(text).toContain('... and 2960 more; 1000 of 3000 done');
    expect(text).toContain(`Current Table: ${name(2_999)}`);
  });
});
