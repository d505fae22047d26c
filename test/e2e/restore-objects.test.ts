import type { RunRef } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(60_000);

const LEGACY = `
CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT g, 'u' || g FROM generate_series(1, 20) g;
CREATE TABLE orders (id int PRIMARY KEY, user_id int, parent_id int, code text);
INSERT INTO orders SELECT g, g % 20 + 1, NULL, 'c' || g FROM generate_series(1, 40) g;
INSERT INTO orders VALUES (50, 999, NULL, 'x'), (51, 1, 50, 'y'), (52, 1, 51, 'z')`;
const TARGET = `
CREATE TABLE users (id int PRIMARY KEY, email text, CONSTRAINT users_email UNIQUE (email));
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, parent_id int REFERENCES orders, code text);
CREATE UNIQUE INDEX orders_code ON orders (lower(code)); CREATE INDEX orders_user ON orders (user_id);
CREATE TABLE touched (what text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO touched VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER users_touch AFTER INSERT OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER orders_touch AFTER INSERT OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE orders ENABLE ALWAYS TRIGGER orders_touch`;

describe('what the load took away comes back when the copy is left', () => {
  let run: ActivitiesRun;
  let ref: RunRef;
  let before: string[];
  const names = ['users', 'orders'];
  const restore = (datasets = names) => run.call(run.activities.restoreObjects, { ref, datasets });
  const shape = async (): Promise<string[]> => {
    const { rows } = await run.target.query<{ d: string }>(`SELECT indexdef AS d FROM pg_indexes WHERE schemaname = 'public'
      UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
      UNION ALL SELECT tgname::text || ' ' || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE 'audit\\_%' ORDER BY 1`);
    return rows.map((row) => row.d);
  };
  const touched = async (): Promise<number> => (await run.target.query<{ n: number }>('SELECT count(*)::int AS n FROM touched')).rows[0]?.n ?? -1;

  beforeEach(async () => {
    run = await activitiesRun('restore');
    await run.legacy.query(LEGACY);
    await run.target.query(TARGET);
    before = await shape();
    const dataset = (more: object = {}) => ({ source: { connection: 'legacy' }, target: { connection: 'new' }, ...more });
    ({ ref } = await run.admit({ migration: 'restore', datasets: { users: dataset(), orders: dataset({ after: ['users'] }) } }));
  });
  afterEach(() => run.close());

  test('a run that ends right after it began leaves the target as it was, however often it is asked', async () => {
    for (const dataset of names) await run.call(run.activities.openDataset, { ref, dataset });
    expect((await shape()).filter((line) => / [OA]$/.test(line))).toEqual([]);
    expect(await restore()).toEqual({ restored: 7, left: [] });
    expect(await shape()).toEqual(before);
    expect(before).toEqual(expect.arrayContaining(['users_touch O', 'orders_touch A', 'orders FOREIGN KEY (user_id) REFERENCES users(id)']));
    expect(await restore()).toEqual({ restored: 0, left: [] });
    // A commit that comes late changes nothing: its rows would meet the triggers.
    expect((await run.target.query(`SELECT epoch::int FROM caravan.dataset ORDER BY dataset`)).rows).toEqual([{ epoch: 1 }, { epoch: 1 }]);
  });

  test('rows that break a foreign key leave it unproved; the run that goes on later ends as if it had never stopped', async () => {
    for (const dataset of names) {
      await run.copy(ref, dataset);
      if (dataset === 'users') await run.call(run.activities.closeDataset, { ref, dataset });
    }
    const found = await restore();
    expect(found).toEqual({ restored: 5, left: [expect.stringMatching(/^foreign key orders_user_id_fkey of public\.orders: .*not validated/) as string] });
    expect(await shape()).toEqual(before.map((line) => (line.includes('(user_id) REFERENCES') ? `${line} NOT VALID` : line)).sort());
    expect(await restore()).toEqual({ restored: 0, left: found.left });

    await run.call(run.activities.openDataset, { ref, dataset: 'orders' });
    expect((await shape()).filter((line) => line.startsWith('orders FOREIGN') || line.startsWith('orders_touch'))).toEqual(['orders_touch D']);
    await run.call(run.activities.closeDataset, { ref, dataset: 'orders' });
    // And once more between the end of the copy and the references.
    expect((await restore()).left).toHaveLength(1);
    expect(await run.call(run.activities.settleReferences, { ref, datasets: names })).toEqual({ movedToQuarantine: 3, foreignKeysBuilt: 2 });
    expect(await shape()).toEqual(before);
    expect(await touched()).toBe(0);
  });

  test('a dataset that is skipped comes back alone; keys of tables that are still to be loaded wait', async () => {
    for (const dataset of names) await run.call(run.activities.openDataset, { ref, dataset });
    const { restored, left } = await restore(['users']);
    expect(restored).toBe(2);
    expect(left).toEqual(['foreign key orders_user_id_fkey of public.orders: dataset orders is still to be loaded']);
    expect(await shape()).toEqual(expect.arrayContaining(['users_touch O', 'users UNIQUE (email)', 'orders_touch D']));
    expect(await touched()).toBe(0);
  });
});
