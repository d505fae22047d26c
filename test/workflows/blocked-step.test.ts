import { datasetView, disconnect, play, refused, runView, slowly, type Scenario } from './harness';

jest.setTimeout(60_000);
afterAll(disconnect);

const view = () => runView([datasetView('users'), datasetView('orders')]);

/** Users cannot be copied until `heal` is called. */
function brokenUsers(name: string): { scenario: Scenario; heal(): void } {
  let broken = true;
  return {
    heal() {
      broken = false;
    },
    scenario: {
      name, view: view(),
      activities: (world) => ({
        copySplit: ({ dataset, ordinal }) => (broken && dataset === 'users' ? Promise.reject(refused('ROW_REFUSED', 'users: a row was refused')) : Promise.resolve(world.slice(dataset, ordinal))),
      }),
    },
  };
}

describe('a step that cannot go on', () => {
  it('blocks with reason and remedies, refuses decisions that make no sense, and goes on with overrides', async () => {
    const { scenario, heal } = brokenUsers('blocked-update');
    await play(scenario, async ({ handle, until, world, result }) => {
      await expect(handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] })).rejects.toThrow();
      const now = await until(({ status }) => status === 'blocked');
      expect(now.blocked).toMatchObject([{ step: 'copy:users', occurrence: 1, code: 'ROW_REFUSED', kind: 'data', message: 'users: a row was refused', dataset: 'users', skippable: true }]);
      expect(now.blocked[0]?.remedies.length).toBeGreaterThan(0);
      for (const wrong of [{ action: 'jump' }, { action: 'retry', step: 'copy:orders' }, { action: 'retry', overrides: { batchSize: 0 } }, { action: 'retry', overrides: { batchsize: 5 } }]) {
        await expect(handle.executeUpdate('resolveStep', { args: [wrong] })).rejects.toThrow();
      }
      heal();
      expect(await handle.executeUpdate('resolveStep', { args: [{ action: 'retry', step: 'copy:users', overrides: { batchSize: 7 } }] })).toBe('retry: copy:users');
      expect((await result()).status).toBe('complete');
      expect(world.named('copySplit').filter((input) => input['dataset'] === 'users').at(-1)).toMatchObject({ overrides: { batchSize: 7 } });
      expect(world.named('notify').map((input) => input['event'])).toEqual(['blocked', 'complete']);
      expect(world.named('recordStatus').find((input) => input['status'] === 'blocked')).toMatchObject({ blocked: [{ step: 'copy:users' }] });
    });
  });

  it('counts its occurrences when it blocks again', async () => {
    const { scenario, heal } = brokenUsers('blocked-twice');
    await play(scenario, async ({ handle, until, result }) => {
      await until(({ blocked }) => blocked[0]?.occurrence === 1);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      await until(({ blocked }) => blocked[0]?.occurrence === 2);
      heal();
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      expect((await result()).status).toBe('complete');
    });
  });

  it('wakes by the signal twin, which means every blocked step', async () => {
    let broken = true;
    await play({
      name: 'blocked-signal', view: view(),
      activities: (world) => ({ copySplit: ({ dataset, ordinal }) => (broken ? Promise.reject(refused('ROW_REFUSED')) : Promise.resolve(world.slice(dataset, ordinal))) }),
    }, async ({ handle, until, result }) => {
      await until(({ blocked }) => blocked.length === 2);
      await expect(handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] })).rejects.toThrow();
      broken = false;
      await handle.signal('resolveStepSignal', { action: 'retry' });
      expect((await result()).status).toBe('complete');
    });
  });

  it('may be skipped where the migration is sound without it', async () => {
    const { scenario } = brokenUsers('skipped');
    await play(scenario, async ({ handle, until, result, world }) => {
      await until(({ status }) => status === 'blocked');
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip', by: 'ann' }] });
      expect(await result()).toMatchObject({ status: 'complete', skipped: ['copy:users'] });
      expect(world.named('settleReferences')).toMatchObject([{ datasets: ['orders'] }]);
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'complete', skipped: ['copy:users'] }]);
    });
  });

  it('aborts the run: work in flight ends, the lease is given back, the result says who', async () => {
    await play({
      name: 'aborted', view: view(),
      activities: (world) => ({
        async copySplit({ dataset, ordinal }) {
          if (dataset === 'users') throw refused('ROW_REFUSED');
          await slowly(20_000);
          return world.slice(dataset, ordinal);
        },
      }),
    }, async ({ handle, until, result, world }) => {
      await until(({ status }) => status === 'blocked');
      await handle.executeUpdate('resolveStep', { args: [{ action: 'abort', by: 'ann', reason: 'wrong plan' }] });
      expect(await result()).toMatchObject({ status: 'aborted', aborted: { step: 'copy:users', by: 'ann', reason: 'wrong plan' } });
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'aborted' }]);
      expect(world.named('compareRows')).toHaveLength(0);
    });
  });

  it('blocks when a child was terminated by hand; a retry starts it again', async () => {
    let slow = true;
    await play({
      name: 'terminated-child', view: runView([datasetView('users')]),
      activities: (world) => ({ async copySplit({ dataset, ordinal }) { if (slow) await slowly(20_000); return world.slice(dataset, ordinal); } }),
    }, async ({ handle, client, until, result, world }) => {
      await until(() => world.named('copySplit').length > 0);
      slow = false;
      await client.workflow.getHandle(`${handle.workflowId}/users`).terminate();
      const now = await until(({ status }) => status === 'blocked');
      expect(now.blocked).toMatchObject([{ step: 'dataset:users' }]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      expect((await result()).status).toBe('complete');
    });
  });
});
