import { ApplicationFailure } from '@temporalio/common';
import { datasetView, disconnect, play, refused, runView, slowly } from './harness';

jest.setTimeout(60_000);
afterAll(disconnect);

const users = datasetView('users');

describe('datasetMigration', () => {
  it('grows its slices up to the limit', async () => {
    await play({ name: 'growing', view: runView([users], {}, { parallelWorkers: 1 }), splits: 1, slices: 6 }, async ({ result, world }) => {
      await result();
      expect(world.named('copySplit').map((input) => input['sliceMs'])).toEqual([100, 200, 400, 800, 1_000, 1_000]);
    });
  });

  it('blocks after slices in a row without a commit', async () => {
    let stuck = true;
    await play({
      name: 'idle', view: runView([users]), splits: 1,
      activities: (world) => ({ copySplit: ({ dataset, ordinal }) => Promise.resolve(stuck ? { ...world.slice('none', 0), state: 'more', commits: 0 } : world.slice(dataset, ordinal)) }),
    }, async ({ handle, until, result, world }) => {
      const now = await until(({ status }) => status === 'blocked');
      expect(now.blocked).toMatchObject([{ step: 'copy:users', code: 'NO_PROGRESS' }]);
      expect(world.named('copySplit')).toHaveLength(3);
      stuck = false;
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      expect((await result()).status).toBe('complete');
    });
  });

  it('tries a transient failure again by itself', async () => {
    let failures = 2;
    await play({
      name: 'transient', view: runView([users]), splits: 1,
      activities: (world) => ({
        copySplit: ({ dataset, ordinal }) => (failures-- > 0 ? Promise.reject(ApplicationFailure.retryable('away', 'SYSTEM_UNREACHABLE')) : Promise.resolve(world.slice(dataset, ordinal))),
      }),
    }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.named('notify')).toMatchObject([{ event: 'complete' }]);
    });
  });

  it('looks at the ledger again when a slice is fenced, and blocks when that does not help', async () => {
    let fenced = 2;
    await play({
      name: 'fenced', view: runView([users]), splits: 1,
      activities: (world) => ({ copySplit: ({ dataset, ordinal }) => (fenced-- > 0 ? Promise.reject(refused('FENCED')) : Promise.resolve(world.slice(dataset, ordinal))) }),
    }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.named('openDataset')).toHaveLength(3);
      expect(world.named('notify')).toMatchObject([{ event: 'complete' }]);
    });
    await play({ name: 'fenced-for-good', view: runView([users]), splits: 1, activities: () => ({ copySplit: () => Promise.reject(refused('FENCED')) }) }, async ({ until }) => {
      expect((await until(({ status }) => status === 'blocked')).blocked).toMatchObject([{ code: 'FENCED' }]);
    });
  });

  it('moves segments through the four stages in staged mode', async () => {
    await play({ name: 'staged', view: runView([datasetView('users', { mode: 'staged' })], {}, { parallelWorkers: 1 }), splits: 1, slices: 2 }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      const round = ['readBatch users', 'transformBatch users', 'validateBatch users', 'writeBatch users'];
      expect(world.order('readBatch', 'transformBatch', 'validateBatch', 'writeBatch', 'copySplit')).toEqual([...round, ...round]);
      expect(world.named('writeBatch')).toMatchObject([{ segment: { stage: 'validated' } }, { segment: { stage: 'validated' } }]);
    });
  });

  it('copies a dataset without a key as one generation', async () => {
    await play({
      name: 'generation', view: runView([users]), splits: 1, slices: 1,
      activities: (_world, usual) => ({ openDataset: async (input) => ({ ...(await usual.openDataset(input)), keyed: false }) }),
    }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.order('copyGeneration', 'copySplit', 'closeDataset')).toEqual(['copyGeneration users', 'closeDataset users']);
    });
  });

  it('does not interrupt a generation for a pause: it could not go on in the middle', async () => {
    let interrupted = false;
    await play({
      name: 'generation-paused', view: runView([users]), splits: 1, slices: 1,
      activities: (world, usual) => ({
        openDataset: async (input) => ({ ...(await usual.openDataset(input)), keyed: false }),
        async copyGeneration({ dataset }) {
          await slowly(3_000).catch((error: unknown) => { interrupted = true; throw error; });
          return world.slice(dataset, 0);
        },
      }),
    }, async ({ handle, until, result, world }) => {
      await until(() => world.named('copyGeneration').length === 1);
      await handle.executeUpdate('pause');
      await until((now) => now.status === 'paused' && (now.pausingAfter ?? []).includes('users'));
      await until((now) => now.status === 'paused' && now.pausingAfter?.length === 0);
      expect({ interrupted, closed: world.named('closeDataset').length }).toEqual({ interrupted: false, closed: 0 });
      expect(world.named('recordStatus').some((input) => input['detail'] === 'pausing after users')).toBe(true);
      await handle.executeUpdate('resume');
      expect((await result()).status).toBe('complete');
      expect(world.order('openDataset', 'copyGeneration', 'closeDataset')).toEqual(['openDataset users', 'copyGeneration users', 'closeDataset users']);
    });
  });

  it('does nothing for a dataset that is done', async () => {
    await play({
      name: 'done-before', view: runView([users]),
      activities: (_world, usual) => ({ openDataset: async (input) => ({ ...(await usual.openDataset(input)), done: true, unfinished: [] }) }),
    }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.order('copySplit', 'closeDataset')).toEqual([]);
    });
  });

  it('continues as new between slices, and forgets nothing', async () => {
    await play({ name: 'continued', view: runView([users], {}, { historyEventsMax: 25 }), splits: 6, slices: 3 }, async ({ handle, client, result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.named('copySplit')).toHaveLength(18);
      expect(world.named('openDataset')).toHaveLength(1);
      const runs = await client.workflow.getHandle(`${handle.workflowId}/users`).describe();
      const first = runs.raw.workflowExecutionInfo?.firstRunId;
      expect(first).toBeTruthy();
      expect(first).not.toBe(runs.runId);
    });
  });
});
