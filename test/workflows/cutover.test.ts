import { setTimeout } from 'node:timers/promises';
import { COMPLETE_STEP, CUTOVER_STEPS } from '../../migration/cutover-steps';
import type { LifeStep, LifeView, StepUndo } from '../../migration/protocol';
import { datasetView, disconnect, play, refused, runView, type Activities, type World } from './harness';

jest.setTimeout(120_000);
afterAll(disconnect);

const users = datasetView('users');
const LIFE: LifeView = {
  gates: [{ gate: 'go_live', stage: 'switch' }], cutover: { applications: ['shop', 'jobs'], legacy: 'keep_blocked', monitor: { forMs: 1_000, everyMs: 500, onFail: 'block', failures: 2 } },
};

/** Steps as the control store would keep them, with what took them in order. */
class Steps {
  readonly kept: LifeStep[] = [];
  readonly taken: string[] = [];
  /** How long what other workflows did is said to have lasted, in ms. */
  readonly lasted = new Map<string, number>();

  activities(failing: Record<string, () => Error | null> = {}): Partial<Activities> {
    const take = (undo: (input: Record<string, unknown>) => StepUndo) => (input: { attempt: number; step: string }): Promise<LifeStep> => {
      const failure = failing[input.step]?.() ?? null;
      const at = new Date().toISOString();
      const before = this.kept.find(({ step, attempt }) => step === input.step && attempt === input.attempt);
      const step: LifeStep = before ?? { id: this.kept.length + 1, attempt: input.attempt, step: input.step, state: 'open', epoch: this.kept.length + 1, undo: undo({ ...input }), evidence: null, openedAt: at, closedAt: at };
      if (!before) this.kept.push(step);
      step.state = failure ? 'failed' : 'done';
      step.evidence = { what: input.step };
      if (failure) return Promise.reject(failure);
      this.taken.push(input.step);
      return Promise.resolve({ ...step });
    };
    const none = take(() => ({ do: 'none' }));
    return {
      measureBaseline: none, proveWriters: none, forwardSequences: none,
      recordStep: (input) => {
        this.lasted.set(input.step, input.tookMs ?? 0);
        return none(input);
      },
      blockWrites: take(({ side }) => (side === 'source' ? { do: 'allow_writes', side } : { do: 'none' })),
      allowWrites: take(({ side }) => (side === 'target' ? { do: 'block_writes', side } : { do: 'none' })),
      switchApplication: take(({ application }) => ({ do: 'switch_application', application: String(application), to: 'legacy' })),
      openCutover: () => Promise.resolve({
        attempt: Math.max(0, ...this.kept.map(({ attempt }) => attempt)) + 1, complete: this.kept.some(({ step }) => step === COMPLETE_STEP), unclaimed: 0,
        leftovers: this.kept.filter(({ state, undo }) => state !== 'undone' && undo.do !== 'none').reverse().map((step) => ({ ...step })),
      }),
      undoStep: ({ id }) => {
        const step = this.kept.find((one) => one.id === id) as LifeStep;
        step.state = 'undone';
        this.taken.push(`undo ${step.step}`);
        return Promise.resolve({ ...step });
      },
    };
  }
}

const FORWARD = [CUTOVER_STEPS.baseline, CUTOVER_STEPS.blockTarget, CUTOVER_STEPS.blockSource, CUTOVER_STEPS.prove, CUTOVER_STEPS.move, CUTOVER_STEPS.sequences, CUTOVER_STEPS.sync, CUTOVER_STEPS.validate, CUTOVER_STEPS.sequencesAgain, CUTOVER_STEPS.gates];
const scenario = (name: string, steps: Steps, life: LifeView, failing: Record<string, () => Error | null> = {}) =>
  ({ name, view: runView([users], { life }), activities: (_: World) => steps.activities(failing) });

describe('a cutover', () => {
  it('takes its steps in order, moves the rows inside, and waits for the gate before the switch', async () => {
    const steps = new Steps();
    const slow = { name: 'counts', kind: 'integrity' as const, verdict: 'passed' as const, detail: '' };
    const whole = scenario('cutover', steps, LIFE);
    const proving: Partial<Activities> = {
      compareCounts: async ({ dataset }) => { await setTimeout(700); return { ...slow, dataset }; },
      runChecks: async () => { await setTimeout(300); return { outcomes: [slow], failed: 0 }; },
    };
    await play({ ...whole, activities: (world) => ({ ...whole.activities(world), ...proving }) }, async ({ handle, until, result, world, progress }) => {
      await until(({ waitingFor }) => waitingFor.includes('go_live'));
      expect(steps.taken).toEqual(FORWARD.slice(0, -1));
      expect(world.named('compareRows')).toMatchObject([{ dataset: 'users', repair: true }]);
      await handle.executeUpdate('approve', { args: [{ gate: 'go_live', by: 'ann' }] });
      expect((await result()).status).toBe('complete');
      expect(steps.taken).toEqual([...FORWARD, 'switch shop', 'switch jobs', CUTOVER_STEPS.openTarget, CUTOVER_STEPS.proveOpen, CUTOVER_STEPS.monitor, CUTOVER_STEPS.legacy, COMPLETE_STEP]);
      expect((await progress()).steps?.map(({ step }) => step)).toEqual(steps.taken);
      expect(steps.lasted.get(CUTOVER_STEPS.sync)).toBeGreaterThanOrEqual(700);
      expect(steps.lasted.get(CUTOVER_STEPS.validate)).toBeGreaterThanOrEqual(300);
      expect(steps.lasted.get(CUTOVER_STEPS.monitor)).toBeGreaterThanOrEqual(1_000);
      expect(steps.lasted.get(COMPLETE_STEP)).toBe(0);
    });
  });

  it('undoes itself when the clock runs out while it is blocked, and a retry is another try', async () => {
    const steps = new Steps();
    let broken = true;
    const life = { ...LIFE, gates: [], downtimeToleranceMs: 15_000 };
    await play(scenario('cutover-undone', steps, life, { 'switch jobs': () => (broken ? refused('SWITCH_FAILED') : null) }), async ({ handle, until, result }) => {
      await until(({ blocked }) => blocked.some(({ step }) => step === 'cutover: switch jobs'));
      const { blocked } = await until((now) => now.blocked.some(({ step }) => step === 'cutover'));
      expect(blocked).toMatchObject([{ step: 'cutover', code: 'CUTOVER_UNDONE', skippable: false }]);
      expect(steps.taken.slice(-3)).toEqual(['undo switch jobs', 'undo switch shop', 'undo block source']);
      broken = false;
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry', step: 'cutover', by: 'ann' }] });
      expect((await result()).status).toBe('complete');
      expect(steps.taken.at(-1)).toBe(COMPLETE_STEP);
      expect(new Set(steps.kept.map(({ attempt }) => attempt))).toEqual(new Set([1, 2]));
    });
  });

  it('undoes itself when the run is aborted', async () => {
    const steps = new Steps();
    await play(scenario('cutover-aborted', steps, { ...LIFE, gates: [] }, { 'switch shop': () => refused('SWITCH_FAILED') }), async ({ handle, until, result }) => {
      await until(({ blocked }) => blocked.some(({ step }) => step === 'cutover: switch shop'));
      await handle.executeUpdate('resolveStep', { args: [{ action: 'abort', by: 'ann' }] });
      expect((await result()).status).toBe('aborted');
      expect(steps.taken.slice(-2)).toEqual(['undo switch shop', 'undo block source']);
    });
  });
});
