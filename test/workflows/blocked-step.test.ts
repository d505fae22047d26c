import { ApplicationFailure } from '@temporalio/common';
import { ERROR_CODES, type ErrorCode } from '../../migration/protocol';
import { remediesFor } from '../../workflows/remedies';
import { datasetView, disconnect, play, refused, runView, slowly, type Scenario } from './harness';

jest.setTimeout(90_000);
afterAll(disconnect);

const view = () => runView([datasetView('users'), datasetView('orders')], { notify: { webhook: 'ops' } });

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
      for (const wrong of [{ action: 'jump' }, { action: 'retry', step: 'copy:orders' }, { action: 'retry', overrides: { batchSize: 0 } }, { action: 'retry', overrides: { batchsize: 5 } }, { action: 'retry', by: 5 }]) {
        await expect(handle.executeUpdate('resolveStep', { args: [wrong] })).rejects.toThrow();
      }
      heal();
      expect(await handle.executeUpdate('resolveStep', { args: [{ action: 'retry', step: 'copy:users', overrides: { batchSize: 7 } }] })).toBe('retry: copy:users');
      expect((await result()).status).toBe('complete');
      expect(world.named('copySplit').filter((input) => input['dataset'] === 'users').at(-1)).toMatchObject({ overrides: { batchSize: 7 } });
      expect(world.named('notify').map((input) => input['event'])).toEqual(['blocked', 'complete']);
      expect(world.named('notify')).toEqual(expect.arrayContaining([expect.objectContaining({ to: { webhook: 'ops' }, workflowId: handle.workflowId })]));
      expect(world.named('recordDecision')).toMatchObject([{ decision: { action: 'retry', step: 'copy:users', occurrence: 1, overrides: { batchSize: 7 } } }]);
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
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip', by: 'ann', reason: 'not needed' }] });
      const ended = await result();
      expect(ended).toMatchObject({ status: 'complete', skipped: ['copy:users'], notRestored: [], decisions: [{ action: 'skip', step: 'copy:users', by: 'ann', reason: 'not needed' }] });
      expect(world.named('settleReferences')).toMatchObject([{ datasets: ['orders'] }]);
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'complete', skipped: [{ step: 'copy:users', by: 'ann', reason: 'not needed' }] }]);
      expect(world.named('recordDecision')).toMatchObject([{ decision: { action: 'skip', step: 'copy:users', by: 'ann', reason: 'not needed' } }]);
      // The table of the skipped dataset gets back what the copy took away, before the references between the others are built.
      expect(world.named('restoreObjects')).toMatchObject([{ datasets: ['users'] }]);
      expect(world.order('restoreObjects', 'settleReferences')).toEqual(['restoreObjects', 'settleReferences']);
      expect(world.order('compareCounts', 'compareSample', 'compareRows')).toEqual(['compareCounts orders', 'compareSample orders', 'compareRows orders']);
      expect(ended.checks.filter((check) => check.dataset === 'users')).toMatchObject([{ verdict: 'warned', detail: 'not validated: skipped' }]);
      expect(ended.comparisons.map((one) => one.dataset)).toEqual(['orders']);
    });
  });

  it('may be skipped at its finish too; what the target then lacks is told and does not block', async () => {
    await play({
      name: 'not-restored', view: view(),
      activities: (_world, usual) => ({
        closeDataset: (input) => (input.dataset === 'users' ? Promise.reject(refused('ROW_REFUSED')) : usual.closeDataset(input)),
        restoreObjects: () => Promise.resolve({ restored: 1, left: ['index users_email_key: duplicate keys'] }),
      }),
    }, async ({ handle, until, result, world }) => {
      const now = await until(({ status }) => status === 'blocked');
      expect(now.blocked).toMatchObject([{ step: 'finish:users', skippable: true }]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip' }] });
      const ended = await result();
      expect(ended).toMatchObject({ status: 'complete', skipped: ['finish:users'], notRestored: ['index users_email_key: duplicate keys'] });
      expect(ended.comparisons.map((one) => one.dataset)).toEqual(['orders']);
      expect(world.named('notify').map((input) => String(input['message'])).filter((message) => message.includes('users_email_key'))).toHaveLength(1);
      expect(world.named('recordStatus').some((input) => String(input['detail']).includes('users_email_key'))).toBe(true);
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
      expect(world.named('restoreObjects')).toMatchObject([{ datasets: ['users', 'orders'] }]);
      expect(world.order('restoreObjects', 'closeRun')).toEqual(['restoreObjects', 'closeRun']);
      expect(world.named('recordDecision')).toMatchObject([{ decision: { action: 'abort', step: 'copy:users', by: 'ann', reason: 'wrong plan' } }]);
    });
  });

  it('gives back what waited for a later group when that group has its rows', async () => {
    const groups = [{ name: 'first', datasets: ['users'], gate: null }, { name: 'second', datasets: ['orders'], gate: null }];
    await play({
      name: 'skipped-in-group', view: runView([datasetView('users', { group: 'first' }), datasetView('orders', { group: 'second' })], { approach: 'phased', groups }),
      activities: (world) => ({
        copySplit: ({ dataset, ordinal }) => (dataset === 'users' ? Promise.reject(refused('ROW_REFUSED')) : Promise.resolve(world.slice(dataset, ordinal))),
        restoreObjects: () => Promise.resolve(world.done.has('orders') ? { restored: 1, left: [] } : { restored: 0, left: ['foreign key of orders: dataset orders is still to be loaded'] }),
      }),
    }, async ({ handle, until, result, world }) => {
      await until(({ status }) => status === 'blocked');
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip' }] });
      expect(await result()).toMatchObject({ status: 'complete', notRestored: [] });
      expect(world.named('restoreObjects')).toMatchObject([{ datasets: ['users'] }, { datasets: ['users'] }]);
      expect(world.named('notify').map((input) => input['event'])).toEqual(['blocked', 'complete']);
    });
  });

  it('tells after an abort what could not be given back', async () => {
    await play({
      name: 'abort-not-restored', view: view(),
      activities: () => ({ copySplit: () => Promise.reject(refused('ROW_REFUSED')), restoreObjects: () => Promise.reject(refused('PRIVILEGE_MISSING', 'not the owner')) }),
    }, async ({ handle, until, result, world }) => {
      const now = await until(({ blocked }) => blocked.length > 0);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'abort', step: now.blocked[0]?.step }] });
      const ended = await result();
      expect(ended.status).toBe('aborted');
      expect(ended.notRestored).toEqual(['what users, orders had (PRIVILEGE_MISSING: not the owner)']);
      expect(world.named('notify').find((input) => input['event'] === 'aborted')?.['message']).toContain('PRIVILEGE_MISSING');
    });
  });

  it('calls for people until they can be reached, without holding up anything else', async () => {
    let attempts = 0;
    await play({
      name: 'patient-notice', view: runView([datasetView('users')], {}, { remindEveryMs: 5_000 }),
      activities: () => ({
        copySplit: () => Promise.reject(refused('ROW_REFUSED')),
        notify: ({ event }) => (event === 'blocked' && ++attempts < 6 ? Promise.reject(ApplicationFailure.retryable('away', 'NOTIFY_FAILED')) : Promise.resolve()),
      }),
    }, async ({ until, world }) => {
      // The sixth attempt comes after half a minute.
      await until(() => attempts === 6, 1_000);
      expect(world.named('notify').filter((input) => input['event'] === 'reminder').length).toBeGreaterThan(0);
    });
  });

  it('has remedies that name only what can be done', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const text = remediesFor(code).join(' ');
      expect(text).not.toMatch(/caravan rollback|caravan sync/);
      expect(text.length).toBeGreaterThan(0);
    }
    expect(remediesFor('NO_PROGRESS').join(' ')).toMatch(/--set checkpoint_interval=.*batch_size/);
    expect(remediesFor('MAPPING_INVALID').join(' ')).toMatch(/caravan amend PLAN/);
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
