import { randomUUID } from 'node:crypto';
import type { RetentionResult } from '../../migration/protocol';
import { datasetView, disconnect, play, refused, runView } from './harness';

jest.setTimeout(120_000);
afterAll(disconnect);

const soon = (): string => new Date(Date.now() + 500).toISOString();

describe('the retention of undo data', () => {
  it('waits until the time has come, is put off by another run, tries again what it could not reach, and ends when nothing is left', async () => {
    const answers = [() => Promise.resolve({ until: soon(), forgotten: 0 }), () => Promise.resolve({ until: soon(), forgotten: 3 }), () => Promise.resolve({ until: null, forgotten: 7 })];
    await play({
      name: 'retention', workflow: 'retention', view: runView([datasetView('users')]), input: { migration: 'shop' },
      activities: () => ({ forgetExpiredUndo: ({ migration }) => (migration === 'shop' ? (answers.shift() ?? (() => Promise.reject(new Error('asked once too often'))))() : Promise.reject(refused('PLAN_NOT_FOUND'))) }),
    }, async ({ result }) => {
      expect(await result() as unknown as RetentionResult).toEqual({ migration: 'shop', forgotten: 10 });
      expect(answers).toEqual([]);
    });
  });

  it('keeps waiting while a system is away, and can be cancelled to keep the undo data', async () => {
    await play({
      name: 'retention-away', workflow: 'retention', view: runView([datasetView('users')]), input: { migration: 'shop' },
      activities: () => ({ forgetExpiredUndo: () => Promise.reject(refused('SYSTEM_CHANGED')) }),
    }, async ({ handle, result, world }) => {
      while (world.named('forgetExpiredUndo').length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect((await handle.describe()).status.name).toBe('RUNNING');
      await handle.cancel();
      await expect(result()).rejects.toThrow(/cancelled/i);
      expect(world.named('forgetExpiredUndo')).toHaveLength(1);
    });
  });

  it.each([['complete', soon()], ['complete', null]] as const)('a run that ends leaves it behind only where it keeps undo data: %s, %s', async (_, undoUntil) => {
    const view = runView([datasetView('users')]);
    const migration = `shop-${randomUUID().slice(0, 8)}`;
    await play({
      name: 'retention-begun', view: { ...view, ref: { ...view.ref, migration } }, activities: () => ({ closeRun: () => Promise.resolve({ undoUntil }) }),
    }, async ({ client, result }) => {
      expect(await result()).toMatchObject({ status: 'complete' });
      const waiting = client.workflow.getHandle(`retention-${migration}`);
      if (undoUntil === null) await expect(waiting.describe()).rejects.toThrow(/not found/i);
      else {
        expect(await waiting.describe()).toMatchObject({ type: 'retention', taskQueue: 'caravan', status: { name: 'RUNNING' } });
        await waiting.terminate();
      }
    });
  });
});
