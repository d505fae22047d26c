import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { comparison, datasetView, disconnect, play, refused, runView, slowly, type Activities, type Scenario } from './harness';

jest.setTimeout(120_000);
afterAll(disconnect);

const users = datasetView('users');
const orders = datasetView('orders', { after: ['users'] });

describe('a migration', () => {
  it('goes through its phases and moves datasets after those they depend on', async () => {
    await play({ name: 'big-bang', view: runView([users, orders], { searchAttributes: true }) }, async ({ result, world, handle, progress }) => {
      expect(await result()).toMatchObject({ migration: 'shop', status: 'complete', skipped: [], comparisons: [{ dataset: 'users' }, { dataset: 'orders' }] });
      expect(world.order('takeInventory', 'analyzeSchema', 'createSchema', 'runChecks', 'openDataset', 'closeDataset', 'settleReferences', 'closeRun')).toEqual([
        'takeInventory', 'analyzeSchema', 'createSchema', 'runChecks', 'openDataset users', 'closeDataset users', 'openDataset orders', 'closeDataset orders',
        'settleReferences', 'runChecks', 'closeRun',
      ]);
      const compared = ['compareCounts', 'compareSample', 'compareRows'] as const;
      for (const { name } of [users, orders]) expect(world.order(...compared).filter((call) => call.endsWith(name))).toEqual(compared.map((call) => `${call} ${name}`));
      expect(world.order('compareRows', 'runChecks').slice(1)).toEqual(expect.arrayContaining(['compareRows users', 'compareRows orders']));
      expect(world.order('compareRows', 'runChecks').at(-1)).toBe('runChecks');
      expect(world.named('restoreObjects')).toHaveLength(0);
      expect(world.named('copySplit')).toHaveLength(8);
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'complete' }]);
      expect(world.named('recordStatus').map((input) => `${String(input['phase'])} ${String(input['status'])}`)).toEqual(['preparation running', 'production running', 'validation running', 'validation complete']);
      expect((await progress()).status).toBe('complete');
      const { searchAttributes } = await handle.describe();
      expect(searchAttributes).toMatchObject({ CaravanMigration: ['shop'], CaravanPhase: ['validation'], CaravanStatus: ['complete'] });
    });
  });

  it('waits at the gates of the plan and of its groups', async () => {
    const view = runView([datasetView('users', { group: 'first' }), datasetView('orders', { group: 'second' })], {
      approach: 'phased', gates: ['go'], groups: [{ name: 'first', datasets: ['users'], gate: null }, { name: 'second', datasets: ['orders'], gate: 'second_wave' }],
    });
    await play({ name: 'phased', view }, async ({ handle, until, world, result }) => {
      await until((now) => now.waitingFor.includes('go'));
      await expect(handle.executeUpdate('approve', { args: [{ gate: 'nonsense', by: 'ann' }] })).rejects.toThrow();
      await expect(handle.executeUpdate('approve', { args: [{ gate: 'go' }] })).rejects.toThrow();
      expect(world.named('openDataset')).toHaveLength(0);
      await handle.executeUpdate('approve', { args: [{ gate: 'go', by: 'ann' }] });
      const waiting = await until((now) => now.waitingFor.includes('second_wave'));
      expect(waiting.status).toBe('waiting_for_approval');
      expect(world.order('openDataset')).toEqual(['openDataset users']);
      await handle.executeUpdate('approve', { args: [{ gate: 'second_wave', by: 'bob', role: 'business_owner' }] });
      expect((await result()).status).toBe('complete');
      expect(world.named('recordApproval')).toMatchObject([{ approval: { gate: 'go', by: 'ann' } }, { approval: { gate: 'second_wave', by: 'bob' } }]);
      expect(world.named('settleReferences')).toMatchObject([{ datasets: ['users'] }, { datasets: ['orders'] }]);
    });
  });

  it('opens a gate for its role only, and not for a signature that does not fit', async () => {
    const view = runView([users], { gates: ['go'], life: { gates: [{ gate: 'go', stage: 'production', role: 'data_owner', people: ['ann'], signed: true }] } });
    const activities = (_: unknown, usual: Activities): Partial<Activities> => ({
      recordApproval: (input) => (input.approval.signature === 'good' ? usual.recordApproval(input) : Promise.resolve({ refused: 'the signature is not one of the role data_owner' })),
    });
    await play({ name: 'roles', view, activities }, async ({ handle, until, world, result }) => {
      const approve = (approval: object) => handle.executeUpdate('approve', { args: [{ gate: 'go', ...approval }] });
      const refusal = (approval: object) => approve(approval).then(() => 'accepted', (error: { cause?: Error }) => error.cause?.message);
      expect(await until((now) => now.waitingFor.includes('go'))).toMatchObject({ waitingRole: 'data_owner' });
      expect(await refusal({ by: 'ann' })).toContain('add "role": "data_owner". It is held by ann.');
      expect(await refusal({ by: 'ann', role: 'intern' })).toContain('is given by the role "data_owner"');
      expect(await refusal({ by: 'eve', role: 'data_owner' })).toBe('eve does not hold the role "data_owner". It is held by ann.');
      await approve({ by: 'ann', role: 'data_owner', signature: 'bad' });
      expect((await until((now) => now.note !== null && now.waitingFor.includes('go'))).note).toContain('does not count (APPROVAL_REFUSED): the signature is not one of the role data_owner');
      expect(world.named('openDataset')).toEqual([]);
      await approve({ by: 'ann', role: 'data_owner', signature: 'good' });
      expect(await result()).toMatchObject({ status: 'complete' });
    });
  });

  it('passes gates that were approved in an earlier run', async () => {
    await play({ name: 'approved-before', view: runView([users], { gates: ['go'], approved: ['go'] }) }, async ({ result }) => {
      expect((await result()).status).toBe('complete');
    });
  });

  it('fails at once when admission refuses it, and leaves no trace', async () => {
    await play({ name: 'refused', view: runView([users]), activities: () => ({ admit: () => Promise.reject(refused('LEASE_HELD', 'held by run-1')) }) }, async ({ result, world }) => {
      const error = await result().then(() => null, (reason: unknown) => reason);
      expect(error).toBeInstanceOf(WorkflowFailedError);
      expect((error as WorkflowFailedError).cause).toMatchObject({ type: 'LEASE_HELD', message: 'held by run-1' });
      expect(world.order('closeRun', 'recordStatus')).toEqual([]);
    });
  });

  it('refuses a start without a plan', async () => {
    await play({ name: 'no-plan', view: runView([users]), input: { plan: undefined } }, async ({ result }) => {
      await expect(result()).rejects.toMatchObject({ cause: { type: 'PLAN_INVALID' } });
    });
  });

  it('finds nothing to do when an earlier run was complete', async () => {
    await play({ name: 'nothing-to-do', view: runView([users], { complete: true }) }, async ({ result, world }) => {
      expect((await result()).status).toBe('nothing_to_do');
      expect(world.order('takeInventory', 'openDataset', 'closeRun')).toEqual(['closeRun']);
    });
  });

  it('stops after the slices in flight when cancelled, and gives the lease back', async () => {
    await play({ name: 'cancelled', view: runView([users]), activities: (world) => ({ async copySplit({ dataset, ordinal }) { await slowly(20_000); return world.slice(dataset, ordinal); } }) }, async ({ handle, world, result, until }) => {
      await until(() => world.named('copySplit').length === 2);
      await handle.cancel();
      const error = await result().then(() => null, (reason: unknown) => reason);
      expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'cancelled' }]);
      expect(world.named('closeDataset')).toHaveLength(0);
      expect(world.named('restoreObjects')).toMatchObject([{ datasets: ['users'] }]);
      expect(world.order('restoreObjects', 'closeRun')).toEqual(['restoreObjects', 'closeRun']);
    });
  });

  it('ends in bounded time when the control store is away after a cancel', async () => {
    let away = false;
    const gone = () => Promise.reject(ApplicationFailure.retryable('away', 'SYSTEM_UNREACHABLE'));
    await play({
      name: 'cancelled-store-away', view: runView([users]),
      activities: (world, usual) => ({
        async copySplit({ dataset, ordinal }) { await slowly(20_000); return world.slice(dataset, ordinal); },
        recordStatus: (input) => (away ? gone() : usual.recordStatus(input)), closeRun: gone, restoreObjects: gone, notify: gone,
        watchProgress: (input) => (away ? gone() : usual.watchProgress(input)),
      }),
    }, async ({ handle, world, result, until }) => {
      await until(() => world.named('copySplit').length === 2);
      away = true;
      await handle.executeUpdate('pause');
      const before = Date.now();
      await handle.cancel();
      const error = await result().then(() => null, (reason: unknown) => reason);
      expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
      expect(world.named('closeRun').length).toBeGreaterThan(1);
      expect(Date.now() - before).toBeLessThan(80_000);
    });
  });

  it('does not wait for ever for the last look at the ledger', async () => {
    await play({
      name: 'last-look', view: runView([users], { complete: true }),
      activities: () => ({ watchProgress: () => Promise.reject(ApplicationFailure.retryable('away', 'SYSTEM_UNREACHABLE')) }),
    }, async ({ result }) => {
      expect((await result()).status).toBe('nothing_to_do');
    });
  });

  it('is patient with a lease whose owner cannot be asked', async () => {
    let busy = 6;
    await play({
      name: 'busy', view: runView([users]),
      activities: (world) => ({ admit: () => (busy-- > 0 ? Promise.reject(ApplicationFailure.retryable('heard of a moment ago', 'SYSTEM_BUSY')) : Promise.resolve(world.view)) }),
    }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      // More attempts than one round of retries has.
      expect(world.named('admit')).toHaveLength(7);
    });
  });

  it('lets looks at the ledger wait in their activity, never in the workflow', async () => {
    let slow = true;
    await play({
      name: 'many-looks', view: runView([users]),
      activities: (world, usual) => ({
        async copySplit({ dataset, ordinal }) { while (slow) await slowly(200); return world.slice(dataset, ordinal); },
        watchProgress: (input) => { if (slow) world.version++; return usual.watchProgress(input); },
      }),
    }, async ({ handle, world, result, until }) => {
      await until(() => world.named('watchProgress').length > 203, 1_000);
      const looks = world.named('watchProgress');
      expect(looks[0]).toMatchObject({ minWaitMs: 0 });
      expect(looks[202]).toMatchObject({ minWaitMs: 12_000 });
      const { events } = await handle.fetchHistory();
      expect(events?.filter((event) => event.timerStartedEventAttributes)).toEqual([]);
      slow = false;
      expect((await result()).status).toBe('complete');
    });
  });

  it('pauses: slices end, nothing new starts, resume goes on', async () => {
    let slow = true;
    await play({
      name: 'paused', view: runView([users, orders]),
      activities: (world) => ({ async copySplit({ dataset, ordinal }) { if (slow) await slowly(20_000); return world.slice(dataset, ordinal); } }),
    }, async ({ handle, world, result, until }) => {
      await until(() => world.named('copySplit').length === 2);
      await expect(handle.executeUpdate('resume')).rejects.toThrow();
      await handle.executeUpdate('pause', { args: [{ by: 'ann' }] });
      await until((now) => now.status === 'paused');
      await expect(handle.executeUpdate('pause')).rejects.toThrow();
      slow = false;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      expect(world.named('copySplit')).toHaveLength(2);
      await handle.signal('resumeSignal');
      expect((await result()).status).toBe('complete');
      expect(world.named('recordStatus').some((input) => input['status'] === 'paused')).toBe(true);
    });
  });

  it('survives a resume that comes before the slices have stopped', async () => {
    await play({
      name: 'paused-briefly', view: runView([users]), splits: 1,
      activities: (world) => ({ async copySplit({ dataset, ordinal }) { await slowly(1_000); return world.slice(dataset, ordinal); } }),
    }, async ({ handle, world, result, until }) => {
      await until(() => world.named('copySplit').length === 1);
      await handle.signal('pauseSignal');
      await handle.signal('resumeSignal');
      await handle.executeUpdate('pause');
      await handle.executeUpdate('resume');
      expect((await result()).status).toBe('complete');
      expect(world.named('notify')).toMatchObject([{ event: 'complete' }]);
    });
  });

  it('stops without closing the run when another one took its lease', async () => {
    await play({ name: 'lease-lost', view: runView([users]), activities: () => ({ copySplit: () => Promise.reject(refused('LEASE_LOST')) }) }, async ({ result, world }) => {
      const error = await result().then(() => null, (reason: unknown) => reason) as WorkflowFailedError;
      expect(error.cause).toBeInstanceOf(ApplicationFailure);
      expect(error.cause).toMatchObject({ type: 'LEASE_LOST' });
      expect(world.named('closeRun')).toHaveLength(0);
    });
  });

  it('pauses and asks when an alert blocks', async () => {
    let alarmed = true;
    await play({
      name: 'alert', view: runView([users]), slices: 4,
      activities: (world, usual) => ({
        async copySplit({ dataset, ordinal }) { await slowly(alarmed ? 400 : 0); return world.slice(dataset, ordinal); },
        async watchProgress(input) { return { ...(await usual.watchProgress(input)), alerts: [{ alert: 'error_rate', active: alarmed, blocks: true, message: 'error rate 2% is above 1%' }] }; },
      }),
    }, async ({ handle, until, result, world }) => {
      const blocked = await until((now) => now.blocked.length > 0);
      expect(blocked.blocked).toMatchObject([{ step: 'alert:error_rate', code: 'ERROR_RATE_EXCEEDED' }]);
      alarmed = false;
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry' }] });
      expect((await result()).status).toBe('complete');
      expect(world.named('notify').map((input) => String(input['event'])).sort()).toEqual(['alert', 'blocked', 'complete']);
    });
  });
});

describe('validation', () => {
  it('stands alone, repairs when asked, and takes the lease to validate only', async () => {
    const repaired = (input: { dataset: string; repair: boolean }) => Promise.resolve(comparison(input.dataset, { repaired: input.repair ? 3 : 0 }));
    await play({ name: 'validation-alone', view: runView([users]), workflow: 'validation', input: { repair: true }, activities: () => ({ compareRows: repaired }) }, async ({ handle, world }) => {
      expect(await handle.result()).toMatchObject({ comparisons: [{ repaired: 3 }] });
      expect(world.named('admit')).toMatchObject([{ plan: 'shop', purpose: 'validate' }]);
      expect(world.order('openDataset', 'closeRun')).toEqual(['closeRun']);
    });
  });

  it('blocks on a difference, and a retry may repair it', async () => {
    await play({
      name: 'repair', view: runView([users]),
      activities: () => ({ compareRows: ({ dataset, repair }) => Promise.resolve(comparison(dataset, repair ? { repaired: 2 } : { missing: 2, verdict: 'failed', detail: '2 rows missing' })) }),
    }, async ({ handle, until, result, world }) => {
      const now = await until(({ status }) => status === 'blocked');
      expect(world.order('compareCounts', 'compareSample', 'compareRows')).toEqual(['compareCounts users', 'compareSample users', 'compareRows users']);
      expect(now.blocked).toMatchObject([{ step: 'rows:users', code: 'VALIDATION_FAILED', skippable: true }]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry', overrides: { repair: true } }] });
      expect(await result()).toMatchObject({ status: 'complete', comparisons: [{ repaired: 2, verdict: 'passed' }] });
    });
  });

  it('repairs before it counts when the plan says so, and when a failed count is retried with a repair', async () => {
    let mended = false;
    const activities: Scenario['activities'] = (_world, usual) => ({
      compareRows: ({ dataset, repair }) => { mended ||= repair; return Promise.resolve(comparison(dataset, mended ? {} : { missing: 2, verdict: 'failed' })); },
      compareCounts: async (input) => ({ ...(await usual.compareCounts(input)), verdict: mended ? 'passed' : 'failed' }),
    });
    await play({ name: 'repairing-plan', view: runView([users], {}, { repair: true }), activities }, async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.order('compareCounts', 'compareRows')).toEqual(['compareRows users', 'compareCounts users']);
    });
    mended = false;
    await play({ name: 'count-repaired', view: runView([users]), activities }, async ({ handle, until, result }) => {
      expect((await until(({ status }) => status === 'blocked')).blocked).toMatchObject([{ step: 'counts:users' }]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'retry', overrides: { repair: true } }] });
      expect((await result()).status).toBe('complete');
    });
  });

  it('leaves out what it is told to, and refuses names it does not know', async () => {
    await play({ name: 'leave-out', view: runView([users, orders]), workflow: 'validation', input: { leaveOut: ['users'] } }, async ({ handle, world }) => {
      expect(await handle.result()).toMatchObject({ comparisons: [{ dataset: 'orders' }], checks: expect.arrayContaining([expect.objectContaining({ dataset: 'users', detail: 'not validated: skipped' })]) as unknown });
      expect(world.order('compareCounts', 'compareSample', 'compareRows').filter((call) => call.includes('users'))).toEqual([]);
    });
    await play({ name: 'leave-out-unknown', view: runView([users]), workflow: 'validation', input: { leaveOut: ['nobody'] } }, async ({ result, world }) => {
      await expect(result()).rejects.toMatchObject({ cause: { type: 'PLAN_INVALID' } });
      expect(world.named('closeRun')).toMatchObject([{ outcome: 'failed' }]);
    });
  });
});
