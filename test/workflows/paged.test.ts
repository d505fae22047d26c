import type { DatasetView, RunView, WorkUnit } from '../../migration/protocol';
import { comparison, datasetView, disconnect, play, refused, runView, slowly, type Activities, type Scenario } from './harness';

jest.setTimeout(120_000);
afterAll(disconnect);

const bundle = (...names: string[]): WorkUnit => ({ ...datasetView(`2-bundle-${names[0] ?? ''}`), bundle: names });

/** Two pages: one large dataset and one bundle each. */
const PAGES: WorkUnit[][] = [[datasetView('users'), bundle('tiny_1', 'tiny_2', 'tiny_3')], [bundle('tiny_4', 'tiny_5'), datasetView('orders')]];
const DATASETS = PAGES.flat().flatMap((unit) => unit.bundle ?? [unit.name]);

const paged = (more: Partial<RunView> = {}): RunView =>
  runView([], { paged: true, routes: [datasetView('users')], groups: [{ name: 'ungrouped', datasets: [], size: DATASETS.length, gate: null }], ...more });

function without(units: WorkUnit[], leaveOut: readonly string[]): WorkUnit[] {
  const kept = (name: string) => !leaveOut.includes(name);
  return units.flatMap((unit) => (unit.bundle ? [{ ...unit, bundle: unit.bundle.filter(kept) }] : kept(unit.name) ? [unit] : []));
}

const planWork: Activities['planWork'] = ({ page, leaveOut = [] }) => Promise.resolve({ units: without(PAGES[page] ?? [], leaveOut), last: page === PAGES.length - 1 });

/** A world whose large datasets have splits, though the view does not name them. */
function scenario(name: string, activities: Scenario['activities'] = () => ({}), view = paged()): Scenario {
  return {
    name, view, splits: 1, slices: 1,
    activities: (world, usual) => {
      for (const dataset of DATASETS) world.left.set(`${dataset}/0`, 1);
      return { planWork, ...activities(world, usual) };
    },
  };
}

describe('a plan of very many datasets', () => {
  it('moves page by page, tiny datasets in bundles, each exactly once; one run of production and validation for each page', async () => {
    let slices = 0;
    await play(scenario('paged', (_, usual) => ({
      // The first slice has time for one dataset only.
      moveBundle: (input) => (slices++ === 0 ? Promise.resolve({ done: input.datasets.slice(0, 1), left: [] }) : usual.moveBundle(input)),
    })), async ({ result, world, client, handle }) => {
      const end = await result();
      expect(end.status).toBe('complete');
      expect([...world.done].sort()).toEqual(DATASETS.filter((name) => name.startsWith('tiny') ? name !== 'tiny_1' : true).sort());
      expect(world.named('moveBundle').map((input) => input['datasets'])).toEqual(expect.arrayContaining([['tiny_1', 'tiny_2', 'tiny_3'], ['tiny_2', 'tiny_3'], ['tiny_4', 'tiny_5']]));
      expect(world.named('openDataset').map((input) => input['dataset']).sort()).toEqual(['orders', 'users']);
      // Names stay in the control store: references are settled by group, once, after the last page.
      expect(world.named('settleReferences')).toEqual([{ ref: world.view.ref, group: 'ungrouped' }]);
      expect(world.order('planWork', 'settleReferences').slice(0, 3)).toEqual(['planWork', 'planWork', 'settleReferences']);
      expect(end.checks.map(({ name }) => name)).toContain('counts and samples of 7 datasets');
      expect(end.comparisons).toEqual([expect.objectContaining({ dataset: '7 datasets', compared: 70, verdict: 'passed' })]);
      for (const child of ['2-production-ungrouped', '3-validation']) {
        const { events } = await client.workflow.getHandle(`${handle.workflowId}/${child}`).fetchHistory();
        expect(events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId).toBeTruthy();
      }
    });
  });

  it('gives a dataset that does not pass steps of its own, blocks there, and leaves it out when a person says so', async () => {
    await play(scenario('paged-skipped', (_, usual) => ({
      moveBundle: async (input) => {
        const { done } = await usual.moveBundle({ ...input, datasets: input.datasets.filter((name) => name !== 'tiny_2') });
        return { done, left: input.datasets.filter((name) => name === 'tiny_2') };
      },
      openDataset: (input) => (input.dataset === 'tiny_2' ? Promise.reject(refused('TARGET_NOT_EMPTY')) : usual.openDataset(input)),
      compareBundle: async (input) => {
        const proof = await usual.compareBundle({ ...input, datasets: input.datasets.filter((name) => name !== 'tiny_5') });
        return { ...proof, left: input.datasets.filter((name) => name === 'tiny_5') };
      },
      compareRows: ({ dataset }) => Promise.resolve(comparison(dataset, dataset === 'tiny_5' ? { verdict: 'explained', explained: 1, compared: 9 } : {})),
    })), async ({ handle, until, result, world }) => {
      const now = await until(({ status }) => status === 'blocked');
      expect(now.blocked).toMatchObject([{ step: 'copy:tiny_2', code: 'TARGET_NOT_EMPTY', dataset: 'tiny_2', skippable: true }]);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip', step: 'copy:tiny_2', by: 'ann' }] });
      const end = await result();
      expect(end).toMatchObject({ status: 'complete', skipped: ['copy:tiny_2'] });
      expect(world.named('restoreObjects')).toEqual([{ ref: world.view.ref, datasets: ['tiny_2'] }]);
      expect(world.named('compareBundle').flatMap((input) => input['datasets'])).not.toContain('tiny_2');
      expect(end.comparisons).toMatchObject([{ dataset: 'tiny_5', explained: 1 }, { dataset: '5 datasets', compared: 50 }]);
      expect(end.checks).toEqual(expect.arrayContaining([expect.objectContaining({ dataset: 'tiny_2', verdict: 'warned' })]));
    });
  });

  it('moves the datasets of a bundle one by one when the bundle itself cannot be moved', async () => {
    await play(scenario('paged-one-by-one', () => ({ moveBundle: () => Promise.reject(refused('SYSTEM_UNREACHABLE')) })), async ({ result, world }) => {
      expect((await result()).status).toBe('complete');
      expect(world.named('openDataset').map((input) => input['dataset']).sort()).toEqual([...DATASETS].sort());
    });
  });

  it('stops a bundle for a pause and goes on after it', async () => {
    let slow = true;
    await play(scenario('paged-paused', (_, usual) => ({ moveBundle: async (input) => (slow ? slowly(30_000).then(() => usual.moveBundle(input)) : usual.moveBundle(input)) })), async ({ handle, until, result, world }) => {
      await until(() => world.named('moveBundle').length > 0);
      await handle.executeUpdate('pause', { args: [{ by: 'ann' }] });
      await until(({ status, pausingAfter }) => status === 'paused' && (pausingAfter ?? []).length === 0);
      slow = false;
      const before = world.named('moveBundle').length;
      await handle.executeUpdate('resume', { args: [{ by: 'ann' }] });
      expect((await result()).status).toBe('complete');
      expect(world.named('moveBundle').length).toBeGreaterThan(before);
    });
  });

  it('gives everything back when it is cancelled, without naming it', async () => {
    await play(scenario('paged-cancelled', () => ({ moveBundle: () => slowly(60_000).then(() => ({ done: [], left: [] })) })), async ({ handle, until, result, world }) => {
      await until(() => world.named('moveBundle').length > 0);
      await handle.cancel();
      await expect(result()).rejects.toThrow();
      expect(world.named('restoreObjects')).toEqual([{ ref: world.view.ref }]);
    });
  });

  it('hands group after group out, each behind its gate', async () => {
    const groups = [{ name: 'first', datasets: [], size: 5, gate: null }, { name: 'second', datasets: [], size: 2, gate: 'go' }];
    const view: DatasetView[] = [datasetView('users')];
    await play(scenario('paged-groups', () => ({
      planWork: ({ group, page }) => Promise.resolve(group === undefined ? { units: [], last: true } : { units: PAGES[group === 'first' ? 0 : 1] ?? [], last: page === 0 }),
    }), paged({ groups, routes: view, approach: 'phased' })), async ({ handle, until, result, world }) => {
      await until(({ status }) => status === 'waiting_for_approval');
      expect(world.named('settleReferences')).toEqual([{ ref: world.view.ref, group: 'first' }]);
      await handle.executeUpdate('approve', { args: [{ gate: 'go', by: 'ann' }] });
      expect((await result()).status).toBe('complete');
      expect(world.named('settleReferences')).toHaveLength(2);
    });
  });
});
