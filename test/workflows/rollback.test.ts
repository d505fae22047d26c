import { randomUUID } from 'node:crypto';
import { ROLLBACK_STEPS, rollbackWorkflowId } from '../../migration/rollback-steps';
import type { LifeStep, LifeView, RollbackForecast, RollbackResult, RunProgress, RunView } from '../../migration/protocol';
import { until } from '../fixtures/until';
import { datasetView, disconnect, play, refused, runView, type Activities, type Scenario, type World } from './harness';

jest.setTimeout(120_000);
afterAll(disconnect);

const LIFE: LifeView = { gates: [{ gate: 'go_live', stage: 'switch' }], cutover: { applications: ['shop'], legacy: 'keep_blocked' } };

/** What the control store would say: whose the lease is, which steps of a rollback were taken. */
class Store {
  readonly view: RunView;
  readonly taken: string[] = [];
  lease = 1;
  /** Why the forecast refuses; null: it does not. */
  refusal: string | null = null;
  conflict = false;

  constructor(life?: LifeView) {
    const view = runView([datasetView('users')], life ? { life } : { gates: ['go_live'] });
    // The id of a rollback's workflow comes from the name.
    this.view = { ...view, ref: { ...view.ref, migration: `shop-${randomUUID().slice(0, 8)}` } };
  }

  get id(): string {
    return rollbackWorkflowId(this.view.ref.migration);
  }

  scenario(name: string): Scenario {
    return { name, view: this.view, activities: (world, usual) => this.activities(world, usual) };
  }

  private activities(_: World, usual: Activities): Partial<Activities> {
    const step = ({ attempt, step: name }: { attempt: number; step: string }): Promise<LifeStep> => {
      const at = new Date().toISOString();
      this.taken.push(name);
      return Promise.resolve({ id: this.taken.length, attempt, step: name, state: 'done', epoch: 1, undo: { do: 'none' }, evidence: { what: name }, openedAt: at, closedAt: at });
    };
    const forecast: RollbackForecast = {
      migration: this.view.ref.migration, tier: 'immediate', datasets: [], others: [], rows: 10, strangers: 0, applications: ['shop'], inUseSince: null, seconds: 1, loss: [], policy: 'keep_new', nothingToDo: false, halfWay: false,
      owner: { workflowId: 'run', status: 'running' },
    };
    return this.underLease({
      ...usual,
      forecastRollback: () => (this.refusal === null ? Promise.resolve(forecast) : Promise.reject(refused('ROLLBACK_REFUSED', this.refusal))),
      beginRollback: ({ tier, policy }) => {
        this.lease = 2;
        return Promise.resolve({
          view: { ...this.view, ref: { ...this.view.ref, lease: 2 } }, attempt: 2, tier, datasets: ['users'], closedOthers: [], applications: ['shop'], inUse: false, cutover: true, policy: policy ?? 'keep_new',
        });
      },
      stopCopying: step, blockForRollback: step, openForRollback: step, switchApplication: step, finishRollback: step,
      undoDataset: ({ dataset }) => (this.conflict ? Promise.reject(refused('ROLLBACK_CONFLICT')) : Promise.resolve({ dataset, state: 'undone', removed: 10, restored: 0, conflicts: 0, exported: 0 })),
    });
  }

  /** Whoever lost the lease learns of it before and after each of its activities. */
  private underLease(activities: Activities): Activities {
    const checked = Object.entries(activities).map(([name, activity]) => [name, async (input: { ref?: { lease: number } }) => {
      const check = (): void => {
        if (input.ref !== undefined && input.ref.lease !== this.lease && name !== 'admit') throw refused('LEASE_LOST');
      };
      check();
      const result = await (activity as (given: unknown) => Promise<unknown>)(input);
      check();
      return result;
    }]);
    return Object.fromEntries(checked) as Activities;
  }
}

const COURSE = [ROLLBACK_STEPS.fence, ROLLBACK_STEPS.blockNew, ROLLBACK_STEPS.switchBack('shop'), ROLLBACK_STEPS.openLegacy, ROLLBACK_STEPS.complete];

describe('the update rollback', () => {
  it('hands an open cutover over to the rollback, which takes it back alone and outlives the run', async () => {
    const store = new Store(LIFE);
    store.conflict = true;
    await play(store.scenario('rolled-back'), async ({ handle, until: untilRun, result, world, client }) => {
      await untilRun(({ waitingFor }) => waitingFor.includes('go_live'));
      const asked = { tier: 'immediate', by: 'ann', reason: 'too slow', confirm: store.view.ref.migration };
      expect(await handle.executeUpdate('rollback', { args: [asked] })).toContain(store.id);
      expect(await result()).toMatchObject({ status: 'rolled_back', rollback: { workflowId: store.id, tier: 'immediate', by: 'ann', reason: 'too slow' } });
      expect((await handle.query<RunProgress>('progress'))).toMatchObject({ status: 'rolling_back', note: expect.stringContaining(store.id) as string });
      // Its lease went to the rollback and was never given back in between; it took no step of its cutover back itself.
      expect(world.named('closeRun')).toEqual([]);
      expect(world.named('undoStep')).toEqual([]);

      const rollback = client.workflow.getHandle(store.id);
      await until(async () => (await rollback.query<RunProgress>('progress')).blocked.some(({ code }) => code === 'ROLLBACK_CONFLICT'));
      await expect(rollback.executeUpdate('rollback', { args: [asked] })).rejects.toThrow();
      store.conflict = false;
      await rollback.executeUpdate('resolveStep', { args: [{ action: 'retry', by: 'ann', overrides: { changedRows: 'keep_new' } }] });
      expect(await rollback.result() as RollbackResult).toMatchObject({ status: 'rolled_back', tier: 'immediate', datasets: [{ dataset: 'users', removed: 10 }] });
      expect(store.taken.filter((step) => step.startsWith('rollback'))).toEqual(COURSE);
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'rolled_back', ref: { lease: 2 } }]);
    });
  });

  it('changes nothing when the rollback is refused: the run goes on, also one of a plan without a cutover', async () => {
    const store = new Store();
    store.refusal = 'the old side accepts writes';
    await play(store.scenario('rollback-refused'), async ({ handle, until: untilRun, result, world }) => {
      await untilRun(({ waitingFor }) => waitingFor.includes('go_live'));
      const { migration } = store.view.ref;
      const asked = { tier: 'full', by: 'ann', confirm: migration };
      const refusedWith = async (request: object, words: string): Promise<void> => {
        await expect(handle.executeUpdate('rollback', { args: [request] })).rejects.toMatchObject({ cause: { message: expect.stringContaining(words) as string } });
      };
      await refusedWith({ ...asked, tier: 'now' }, 'Name a tier: immediate, partial, full');
      await refusedWith({ ...asked, confirm: undefined }, `"${migration}"`);
      await refusedWith({ ...asked, confirm: 'another' }, `"${migration}"`);
      await refusedWith({ ...asked, by: ' ' }, 'Say who decides');
      await refusedWith({ ...asked, tier: 'partial' }, 'needs "datasets"');
      await refusedWith({ ...asked, datasets: ['users'] }, 'goes with the tier partial');
      await refusedWith({ ...asked, policy: 'mine' }, 'keep_new, restore_old, stop');
      for (let time = 0; time < 2; time++) {
        await handle.executeUpdate('rollback', { args: [asked] });
        await untilRun(({ note }) => note?.includes('did not go through (ROLLBACK_REFUSED): the old side accepts writes') === true);
      }
      await handle.executeUpdate('approve', { args: [{ gate: 'go_live', by: 'ann' }] });
      expect(await result()).toMatchObject({ status: 'complete' });
      expect(world.named('beginRollback')).toEqual([]);
    });
  });
});

describe('the workflow rollback', () => {
  it('waits for its confirmation, refuses another gate, and is not cancelled once it has begun', async () => {
    const store = new Store(LIFE);
    store.conflict = true;
    await play({ ...store.scenario('rollback-confirmed'), workflow: 'rollback', input: { migration: store.view.ref.migration, tier: 'immediate' } }, async ({ handle, until: untilRun, world }) => {
      await until(() => Promise.resolve(world.named('forecastRollback').length > 0));
      await expect(handle.executeUpdate('approve', { args: [{ gate: 'go_live', by: 'ann' }] })).rejects.toThrow();
      expect(world.named('beginRollback')).toEqual([]);
      await handle.executeUpdate('approve', { args: [{ gate: 'rollback', by: 'ann', reason: 'read it' }] });
      await untilRun(({ blocked }) => blocked.length > 0);
      await handle.cancel();
      await expect(handle.executeUpdate('resolveStep', { args: [{ action: 'abort', by: 'ann' }] })).rejects.toThrow();
      store.conflict = false;
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry', by: 'ann' }] });
      expect(await handle.result()).toMatchObject({ status: 'rolled_back' });
      expect(world.named('beginRollback')).toMatchObject([{ by: 'ann', reason: 'read it' }]);
      expect(store.taken).toEqual(COURSE);
    });
  });
});
