import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { admit } from '../../activities/admit';
import { loadDataset, loadRun } from '../../activities/run-context';
import { LEDGER_SCHEMA } from '../../activities/stores/ledger-schema';
import { admission, ControlBench, planOf } from '../fixtures/control-bench';
import { createDatabase, query } from '../fixtures/stack';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

describe('admission', () => {
  test('a plan by name; all its problems at once; unknown connections and approaches by name', async () => {
    const deps = bench.dependencies();
    writeFileSync(path.join(bench.plans, 'shop.yaml'), 'migration: shop\ndatasets:\n  users: { source: { connection: legacy }, target: { connection: new } }\n');
    await expect(admit(deps, admission('a', { plan: 'shop' }))).resolves.toMatchObject({ ref: { migration: 'shop', control: 'new' }, datasets: [{ name: 'users' }], searchAttributes: false });
    await expect(admit(deps, admission('a', { plan: 'shap' }))).rejects.toMatchObject({ code: 'PLAN_NOT_FOUND' });
    const broken = admit(deps, admission('a', { plan: planOf({ aproach: 'x' }, { prioriti: 'high' }) }));
    await expect(broken).rejects.toMatchObject({ code: 'PLAN_INVALID' });
    await expect(broken).rejects.toThrow(/aproach[\s\S]*prioriti|prioriti[\s\S]*aproach/);
    await expect(admit(deps, admission('a', { plan: planOf({ approach: 'trickle' }) }))).rejects.toMatchObject({ code: 'APPROACH_NOT_BUILT' });
    await expect(admit(deps, admission('a', { plan: planOf({}, { source: { connection: 'old' } }) }))).rejects.toThrow('There are: legacy, new');
  });

  test('a server that is away is transient, a refused password is not; neither message has the password', async () => {
    const away = bench.dependencies({ env: { CARAVAN_CONNECTION_LEGACY: 'postgres://u:hunter2@127.0.0.1:9/x' } });
    await expect(admit(away, admission('a'))).rejects.toMatchObject({ code: 'SYSTEM_UNREACHABLE', kind: 'transient', message: expect.not.stringContaining('hunter2') });
    const url = new URL(bench.legacy.url);
    url.pathname = '/no_such_database';
    const refused = bench.dependencies({ env: { CARAVAN_CONNECTION_LEGACY: url.href } });
    await expect(admit(refused, admission('a'))).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' });
  });

  test('another database behind a connection is noticed, at admission and in a run', async () => {
    const { ref } = await admit(bench.dependencies(), admission('a'));
    const elsewhere = await createDatabase('legacy', 'elsewhere');
    try {
      const moved = bench.dependencies({ owner: 'closed', env: { CARAVAN_CONNECTION_LEGACY: elsewhere.url } });
      await expect(loadRun(moved, ref)).rejects.toMatchObject({ code: 'SYSTEM_CHANGED' });
      await expect(loadDataset(moved, { ref, dataset: 'users' })).rejects.toThrow('connection legacy');
      await expect(admit(moved, admission('b'))).rejects.toMatchObject({ code: 'SYSTEM_CHANGED' });
      await expect(loadRun(bench.dependencies(), ref)).resolves.toMatchObject({ ref });
    } finally {
      await bench.disconnect();
      await elsewhere.drop();
    }
  });

  test('a worker that knows one side only loads a dataset, and fails where it needs the other', async () => {
    const { ref } = await admit(bench.dependencies(), admission('a'));
    const oneSided = bench.dependencies({ env: { CARAVAN_CONNECTION_LEGACY: '' } });
    const context = await loadDataset(oneSided, { ref, dataset: 'users' });
    expect(context.target.config.name).toBe('new');
    expect(context.sourceSelection).toEqual({ table: 'users' });
    expect(context.targetTable).toEqual({ schema: 'public', table: 'users' });
    expect(() => context.source).toThrow('connection legacy is not known here');
    await expect(loadDataset(oneSided, { ref, dataset: 'toString' })).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
  });

  test('after rows were copied, data edits are refused by dataset and operational edits go through', async () => {
    const deps = bench.dependencies({ owner: 'closed' });
    await admit(deps, admission('a'));
    const edited = planOf({}, { transformations: [{ old_field: 'a', new_field: 'b' }] });
    await expect(admit(deps, admission('b', { plan: edited }))).resolves.toMatchObject({ ref: { lease: 2 } });
    await query(bench.target, `${LEDGER_SCHEMA}
      INSERT INTO caravan.dataset (migration, dataset, generation, state, keyed, base, target_schema, target_table, plan_hash, mapping_digest, engine_version)
        VALUES ('shop', 'users', 1, 'open', true, 'empty', 'public', 'users', 'h', 'd', 'v');
      INSERT INTO caravan.split (migration, dataset, generation, ordinal, commit_no) VALUES ('shop', 'users', 1, 0, 1)`);
    const refused = admit(deps, admission('c'));
    await expect(refused).rejects.toMatchObject({ code: 'PLAN_CHANGED' });
    await expect(refused).rejects.toThrow('users');
    const operational = { ...edited, project: 'Shop', batch: { batch_size: 7 }, alerts: { error_rate: '1%' }, gates: ['go'] };
    const view = await admit(deps, admission('d', { plan: operational }));
    expect(view.gates).toEqual(['go']);
    // A refused admission leaves the lease where it was.
    expect(view.ref.lease).toBe(3);
    await expect(admit(deps, admission('e', { plan: { ...operational, approach: 'phased' } }))).rejects.toThrow('approach');
  });
});
