import type { RehearsalResult } from '../../migration/protocol';
import { datasetView, disconnect, play, runView, type Scenario } from './harness';

jest.setTimeout(90_000);
afterAll(disconnect);

const view = () => runView([datasetView('users'), datasetView('orders')], { gates: ['team_briefed'], life: { gates: [{ gate: 'team_briefed', stage: 'production' }], backup: true, rehearsal: { maxAgeMs: 1_000 } } });

/** The rehearsal is not fresh until one passed. `results`: of the rehearsals in turn; the last one goes on. */
function rehearsing(name: string, results: RehearsalResult[], fresh: { open: boolean } = { open: false }): Scenario {
  return {
    name, view: view(),
    activities: () => ({
      rehearsalState: () => Promise.resolve(fresh.open ? { open: true, why: null } : { open: false, why: 'there was no rehearsal yet' }),
      waiveRehearsal() {
        fresh.open = true;
        return Promise.resolve();
      },
      closeRehearsal() {
        const result = results.length > 1 ? results.shift()! : results[0]!;
        if (result.passed) fresh.open = true;
        return Promise.resolve(result);
      },
    }),
  };
}

const PASSED: RehearsalResult = { passed: true, rows: 10, failures: [] };
const FAILED: RehearsalResult = { passed: false, rows: 10, failures: ['users: rows differ (1 different)'] };
const approve = { args: [{ gate: 'team_briefed', by: 'Ann' }] as [object] };

describe('a rehearsal', () => {
  it('goes before the gates of production, by the same steps as production, and is looked at again when the gates are open', async () => {
    await play(rehearsing('rehearsed', [PASSED]), async ({ handle, until, world, result }) => {
      await until(({ status }) => status === 'waiting_for_approval');
      expect(world.order('backUp', 'rehearsalState', 'openRehearsal', 'measureRehearsal', 'rehearseRollback', 'closeRehearsal', 'copySplit').filter((call, at, all) => call !== all[at - 1])).toEqual([
        'backUp', 'rehearsalState', 'openRehearsal', 'copySplit users', 'measureRehearsal', 'rehearseRollback', 'closeRehearsal',
      ]);
      expect(world.named('openDataset')).toEqual([{ ref: expect.objectContaining({ migration: 'shop-rehearsal' }) as object, dataset: 'users' }]);
      world.done.clear();
      await handle.executeUpdate('approve', approve);
      expect((await result()).status).toBe('complete');
      expect(world.named('rehearsalState')).toHaveLength(2);
      expect(world.named('openRehearsal')).toHaveLength(1);
      expect(world.named('openDataset').map((input) => (input['ref'] as { migration: string }).migration)).toEqual(['shop-rehearsal', 'shop', 'shop']);
    });
  });

  it('that fails keeps production closed; a retry rehearses again; only a named person with a reason may waive it', async () => {
    await play(rehearsing('rehearsal-failed', [FAILED]), async ({ handle, until, world, result }) => {
      const now = await until(({ status }) => status === 'blocked');
      expect(now).toMatchObject({ phase: 'test', blocked: [{ step: 'rehearsal', code: 'REHEARSAL_FAILED', skippable: true, named: true, message: expect.stringContaining('users: rows differ') as string }] });
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      await until(({ blocked }) => blocked[0]?.occurrence === 2);
      expect(world.named('openRehearsal')).toHaveLength(2);
      for (const wrong of [{ action: 'skip' }, { action: 'skip', by: 'Ann' }, { action: 'skip', reason: 'late' }, { action: 'skip', by: ' ', reason: 'late' }]) {
        await expect(handle.executeUpdate('resolveStep', { args: [wrong] })).rejects.toThrow();
      }
      await handle.signal('resolveStepSignal', { action: 'skip' });
      expect((await until(() => true)).status).toBe('blocked');
      expect(world.named('waiveRehearsal')).toEqual([]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip', by: 'Ann', reason: 'rehearsed elsewhere' }] });
      await handle.executeUpdate('approve', approve);
      expect((await result()).status).toBe('complete');
      expect(world.named('waiveRehearsal')).toMatchObject([{ by: 'Ann', reason: 'rehearsed elsewhere' }]);
      expect(world.named('closeRun')).toMatchObject([{ skipped: [{ step: 'rehearsal', by: 'Ann', reason: 'rehearsed elsewhere' }] }]);
    });
  });

  it('that went stale while the gates were waiting blocks production and says why', async () => {
    const fresh = { open: true };
    await play(rehearsing('rehearsal-stale', [PASSED], fresh), async ({ handle, until, world, result }) => {
      await until(({ status }) => status === 'waiting_for_approval');
      fresh.open = false;
      await handle.executeUpdate('approve', approve);
      const now = await until(({ status }) => status === 'blocked');
      expect(now.blocked).toMatchObject([{ step: 'rehearsal', code: 'REHEARSAL_STALE', message: expect.stringContaining('there was no rehearsal yet') as string }]);
      expect(world.named('openDataset')).toEqual([]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      expect((await result()).status).toBe('complete');
      expect(world.named('openRehearsal')).toHaveLength(1);
    });
  });
});
