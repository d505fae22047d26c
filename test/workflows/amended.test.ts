import { datasetView, disconnect, play, refused, runView, slowly, type World } from './harness';

jest.setTimeout(60_000);
afterAll(disconnect);

const users = datasetView('users');
const orders = datasetView('orders');
const HASH = 'amended';

/** Stands for the control store: from `amend()` on, work of the former plan is refused, as `loadRun` does. */
class Amending {
  private amended = false;
  amend(): void { this.amended = true; }
  check({ ref }: { ref: { planHash: string } }): void {
    if (this.amended && ref.planHash !== HASH) throw refused('PLAN_AMENDED');
  }
  readmit(world: World, more: Partial<World['view']> = {}) {
    return () => Promise.resolve({ ...world.view, ...more, ref: { ...world.view.ref, planHash: HASH } });
  }
}

describe('a plan amended while the migration runs', () => {
  it('stops the copy at its commit and goes on under the new plan, with the same lease', async () => {
    const plan = new Amending();
    let slow = true;
    await play({
      name: 'amended', view: runView([users], {}, { parallelWorkers: 1 }), splits: 1, slices: 2,
      activities: (world, usual) => ({
        readmit: plan.readmit(world, { removed: [orders] }),
        watchProgress(input) { plan.check(input); return usual.watchProgress({ ...input, maxWaitMs: 200 }); },
        openDataset(input) { plan.check(input); return usual.openDataset(input); },
        async copySplit(input) { if (slow) await slowly(20_000); plan.check(input); return world.slice(input.dataset, input.ordinal); },
      }),
    }, async ({ until, result, world }) => {
      await until(() => world.named('copySplit').length === 1);
      plan.amend();
      await until(() => world.named('readmit').length > 0);
      slow = false;
      expect(await result()).toMatchObject({ status: 'complete' });
      expect(world.named('readmit')).toHaveLength(1);
      expect(world.named('admit')).toHaveLength(1);
      expect(world.named('copySplit').slice(1).every((input) => (input['ref'] as { planHash: string }).planHash === HASH)).toBe(true);
      expect(world.named('restoreObjects')).toMatchObject([{ datasets: ['orders'], ref: { planHash: HASH } }]);
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'complete', ref: { planHash: HASH, lease: 1 } }]);
    });
  });

  it('takes a blocked step along: nobody has to resolve what is gone', async () => {
    const plan = new Amending();
    await play({
      name: 'amended-blocked', view: runView([users]), splits: 1, slices: 1,
      activities: (world, usual) => ({
        readmit: plan.readmit(world),
        watchProgress(input) { plan.check(input); return usual.watchProgress({ ...input, maxWaitMs: 200 }); },
        copySplit: (input) => (input.ref.planHash === HASH ? Promise.resolve(world.slice(input.dataset, 0)) : Promise.reject(refused('ROW_REFUSED'))),
      }),
    }, async ({ until, result, world }) => {
      await until(({ status }) => status === 'blocked');
      plan.amend();
      expect(await result()).toMatchObject({ status: 'complete', skipped: [] });
      expect(world.named('readmit')).toHaveLength(1);
    });
  });

  it('stays paused, and keeps waiting at a gate; what cannot be taken over blocks', async () => {
    const plan = new Amending();
    let reachable = false;
    await play({
      name: 'amended-gate', view: runView([users], { gates: ['go'] }), splits: 1, slices: 1,
      activities: (world, usual) => ({
        readmit: () => (reachable ? plan.readmit(world)() : Promise.reject(refused('CONNECTION_UNKNOWN'))),
        watchProgress(input) { plan.check(input); return usual.watchProgress({ ...input, maxWaitMs: 200 }); },
      }),
    }, async ({ handle, until, result, world }) => {
      await until(({ status }) => status === 'waiting_for_approval');
      plan.amend();
      const blocked = await until(({ status }) => status === 'blocked');
      expect(blocked.blocked).toMatchObject([{ step: 'amendment', code: 'CONNECTION_UNKNOWN' }]);
      reachable = true;
      await handle.executeUpdate('pause');
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      await until(({ status, blocked: now }) => status === 'paused' && now.length === 0);
      await handle.executeUpdate('resume');
      await until(({ status }) => status === 'waiting_for_approval');
      await handle.executeUpdate('approve', { args: [{ gate: 'go', by: 'ann' }] });
      expect(await result()).toMatchObject({ status: 'complete' });
      expect(world.named('copySplit')).toMatchObject([{ ref: { planHash: HASH } }]);
    });
  });
});
