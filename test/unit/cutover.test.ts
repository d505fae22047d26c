import { cutoverMarkdown, cutoverText } from '../../migration/cutover-board';
import { CUTOVER_STEPS, openUndo, unclaimedRows, undoneBy } from '../../migration/cutover-steps';
import { parsePlan } from '../../migration/plan/parse';
import { lifeView } from '../../migration/plan/life-view';
import type { LifeStep, RunProgress } from '../../migration/protocol';

const step = (id: number, name: string, more: Partial<LifeStep> = {}): LifeStep => ({
  id, attempt: 1, step: name, state: 'done', epoch: id, undo: { do: 'none' }, evidence: { what: `${name} went well` }, openedAt: `2026-12-05T22:00:0${id}.000Z`, closedAt: `2026-12-05T22:00:0${id}.500Z`, ...more,
});
const BLOCK = step(2, CUTOVER_STEPS.blockSource, { undo: { do: 'allow_writes', side: 'source' } });
const SWITCH = step(3, 'switch shop', { state: 'failed', undo: { do: 'switch_application', application: 'shop', to: 'legacy' } });

test('what is due is undone latest first, failed steps included, once', () => {
  expect(openUndo([step(1, CUTOVER_STEPS.blockTarget), BLOCK, SWITCH]).map(({ id }) => id)).toEqual([3, 2]);
  expect(openUndo([{ ...SWITCH, step: 'rollback: switch shop back' }])).toEqual([]);
  expect(openUndo([{ ...BLOCK, state: 'undone' }, { ...SWITCH, state: 'open' }]).map(({ id }) => id)).toEqual([3]);
});

test('rows of the new side are asked about until somebody gave them up', () => {
  const rows = step(4, CUTOVER_STEPS.newRows, { evidence: { what: 'w', rows: 7 } });
  expect(unclaimedRows([BLOCK])).toBe(0);
  expect(unclaimedRows([rows, BLOCK])).toBe(7);
  expect(unclaimedRows([rows, step(5, CUTOVER_STEPS.newRowsGivenUp)])).toBe(0);
});

test('the moment of the undo is the earlier limit, and none once the target is open or anything is taken back', () => {
  const life = { downtimeToleranceMs: 60_000, window: { abortBy: '2026-12-05T23:00:00Z' } };
  expect(undoneBy([], life)).toBeUndefined();
  expect(undoneBy([step(1, CUTOVER_STEPS.baseline)], life)).toBe('2026-12-05T23:00:00.000Z');
  expect(undoneBy([BLOCK], life)).toBe('2026-12-05T22:01:02.000Z');
  expect(undoneBy([BLOCK], {})).toBeUndefined();
  expect(undoneBy([BLOCK, step(4, CUTOVER_STEPS.proveOpen)], life)).toBeUndefined();
  expect(undoneBy([{ ...BLOCK, state: 'undone' }], life)).toBeUndefined();
});

test('the board has time, evidence and undo of every step', () => {
  const state = { steps: [BLOCK, SWITCH], undoneBy: '2026-12-05T22:01:02.000Z' } as RunProgress;
  expect(cutoverText(state)).toBe([
    'Cutover, try 1; undone by itself at 2026-12-05 22:01:02 UTC',
    '  22:00:02  block source  done in 0.5 s', '            block source went well', '            Undo: allow writes on the source.',
    '  22:00:03  switch shop   failed in 0.5 s', '            switch shop went well', '            Undo: switch shop to legacy.',
  ].join('\n'));
  expect(cutoverMarkdown(state, (text) => text)).toContain('- **block source** 22:00:02 UTC, done in 0.5 s. block source went well *Undo: allow writes on the source.*');
  expect(cutoverText({} as RunProgress)).toBe('');
});

describe('a plan with a cutover', () => {
  const parse = (more: object) => parsePlan(JSON.stringify({ migration: 'm', control: 'control', downtime_tolerance: '5m', datasets: { a: { source: { connection: 'old' }, target: { connection: 'new' } } }, ...more }));

  test('names what is wrong with it', () => {
    const refused = (more: object) => { try { parse(more); return ''; } catch (error) { return (error as Error).message; } };
    expect(refused({ cutover: { switch: [{ name: 'shop' }] } })).toContain('exactly one of');
    expect(refused({ cutover: { switch: [{ name: 'shop', webhook: 'a', command: 'b' }] } })).toContain('exactly one of');
    expect(refused({ cutover: { switch: [{ name: 'shop', webhook: 'a' }, { name: 'shop', webhook: 'b' }] } })).toContain('two applications are called shop');
    expect(refused({ cutover: { switch: [{ name: 'shop', file: { path: 'p', new: 'x', legacy: 'x' } }] } })).toContain('are the same');
    expect(refused({ cutover: {}, window: { start: '2026-12-06T00:00Z', abort_by: '2026-12-05T00:00Z' } })).toContain('is not after');
  });

  test('warns of what is risky, and fills the connections of probes', () => {
    const { plan, warnings } = parse({ cutover: { monitor: {} }, control: 'new', downtime_tolerance: undefined });
    expect(warnings.map(({ place }) => place.replace(/ \(.*/, ''))).toEqual(expect.arrayContaining(['cutover', 'cutover.monitor', 'control']));
    expect(lifeView(plan)?.cutover).toMatchObject({ monitor: { failures: 3, onFail: 'block' }, legacy: 'keep_blocked' });
    expect(parse({ cutover: {}, probes: { home: 'SELECT 1' } }).plan.probes['home']).toEqual({ source: 'SELECT 1', target: 'SELECT 1', source_connection: 'old', target_connection: 'new' });
  });
});
