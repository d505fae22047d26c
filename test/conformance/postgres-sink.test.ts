import type { Client } from 'pg';
import { mergeRows, mergeTarget, prepareMerge } from '../../activities/connectors/postgres/merge';
import type { Column } from '../../migration/value';
import { installLedger } from '../../activities/stores/ledger';
import type { PostgresSystem } from '../../activities/connectors/postgres/system';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

const side = { source: { connection: 'legacy' }, target: { connection: 'new' } };
const small = { batch_size: 40, checkpoint_interval: 120 };

describe('the PostgreSQL sink', () => {
  let run: ActivitiesRun;
  beforeAll(async () => { run = await activitiesRun('sink'); }, 60_000);
  afterAll(() => run.close());

  /** Makes `name` on both sides and fills the source with ids 1..rows. */
  async function tables(name: string, columns: string, fill: string, target = columns): Promise<void> {
    await run.legacy.query(`CREATE TABLE ${name} (${columns}); INSERT INTO ${name} ${fill}`);
    await run.target.query(`CREATE TABLE ${name} (${target})`);
  }
  async function migrate(name: string, dataset: object = {}, batch: object = small) {
    const plan = { source: { ...side.source }, target: { ...side.target }, ...dataset };
    const { ref } = await run.admit({ migration: `sink-${name}`, batch, datasets: { [name]: plan } });
    await run.copy(ref, name);
    return ref;
  }
  async function counts(name: string) {
    const { rows } = await run.target.query(`SELECT sum(read_rows)::int AS read, sum(written_rows)::int AS written, sum(unchanged_rows)::int AS unchanged, sum(quarantined_rows)::int AS quarantined FROM caravan.split WHERE dataset = $1`, [name]);
    return rows[0];
  }
  async function quarantined(name: string): Promise<{ key: string; rules: string[]; content: string[] }[]> {
    const { rows } = await run.target.query(`SELECT source_key[1] AS key, (SELECT array_agg(r ->> 'rule') FROM jsonb_array_elements(reasons) r) AS rules, content FROM caravan.quarantine WHERE dataset = $1 ORDER BY source_key[1]::bigint`, [name]);
    return rows;
  }
  const rowsIn = async (client: Client, sql: string): Promise<unknown[]> => (await client.query(sql)).rows;

  test('rows that constraints of the target refuse are found one by one; the rest is written', async () => {
    await tables('refused', 'id int PRIMARY KEY, n int, u int, amount numeric, note text', `SELECT g, g, g, g, 'n' || g FROM generate_series(1, 500) g`,
      'id int PRIMARY KEY, n int CHECK (n < 1000), u int UNIQUE, amount numeric CHECK (amount >= 0), note text');
    await run.legacy.query(`UPDATE refused SET n = 2000 WHERE id IN (1, 120, 121, 500); UPDATE refused SET amount = -1 WHERE id IN (77, 240); UPDATE refused SET n = 5000, amount = -5 WHERE id = 300`);
    await migrate('refused');
    const bad = [1, 77, 120, 121, 240, 300, 500];
    expect(await counts('refused')).toEqual({ read: 500, written: 493, unchanged: 0, quarantined: 7 });
    const held = await quarantined('refused');
    expect(held.map((row) => [Number(row.key), row.rules])).toEqual(bad.map((id) => [id, ['target:23514']]));
    expect(held[0]?.content).toEqual(['1', '2000', '1', '1', 'n1']);
    const sql = `SELECT id, n, u, amount::text, note FROM refused WHERE id <> ALL ('{${bad.join(',')}}') ORDER BY id`;
    expect(await rowsIn(run.target, sql.replace(/WHERE.*ORDER/, 'ORDER'))).toEqual(await rowsIn(run.legacy, sql));
  }, 60_000);

  test('a whole commit of refused rows', async () => {
    await tables('allbad', 'id int PRIMARY KEY', 'SELECT g FROM generate_series(1, 300) g', 'id int PRIMARY KEY CHECK (id > 250)');
    await migrate('allbad');
    expect(await counts('allbad')).toEqual({ read: 300, written: 50, unchanged: 0, quarantined: 250 });
  }, 60_000);

  test('a deferred constraint fails at COMMIT; its rows are found all the same', async () => {
    await tables('deferred', 'id int PRIMARY KEY, code int', 'SELECT g, g FROM generate_series(1, 300) g');
    await run.legacy.query('UPDATE deferred SET code = 7 WHERE id IN (150, 290)');
    await run.target.query(`CREATE FUNCTION no_sevens() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.code = 7 AND NEW.id <> 7 THEN RAISE unique_violation; END IF; RETURN NULL; END $$;
      INSERT INTO deferred VALUES (-1, -1); CREATE CONSTRAINT TRIGGER sevens AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no_sevens()`);
    await migrate('deferred', { target: { connection: 'new', on_existing: 'append' } });
    expect((await quarantined('deferred')).map((row) => [row.key, row.rules])).toEqual([['150', ['target:23505']], ['290', ['target:23505']]]);
    expect(await counts('deferred')).toEqual({ read: 300, written: 298, unchanged: 0, quarantined: 2 });
  }, 60_000);

  test('RAISE in a trigger, a value too long for an index, numeric overflow and text the target type cannot read', async () => {
    await tables('odd', 'id int PRIMARY KEY, note text, amount text, addr text', `SELECT g, 'n' || g, g::text, '10.0.0.1' FROM generate_series(1, 200) g`, 'id int PRIMARY KEY, note text, amount numeric(5,2), addr inet');
    await run.legacy.query(`UPDATE odd SET note = 'bad' WHERE id = 20; UPDATE odd SET amount = '99999.5' WHERE id = 60; UPDATE odd SET addr = 'nowhere' WHERE id = 199;
      UPDATE odd SET note = (SELECT string_agg(md5(g::text || random()), '') FROM generate_series(1, 400) g) WHERE id = 100`);
    await run.target.query(`CREATE FUNCTION no_bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'bad' THEN RAISE EXCEPTION 'bad note %', NEW.note; END IF; RETURN NEW; END $$;
      INSERT INTO odd VALUES (-1); CREATE INDEX ON odd (note); CREATE TRIGGER bad BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION no_bad()`);
    await migrate('odd', { target: { connection: 'new', on_existing: 'append' }, transformations: [{ old_field: 'amount', transform: 'to_decimal' }] });
    expect((await quarantined('odd')).map((row) => [row.key, row.rules])).toEqual([
      ['20', ['target:P0001']], ['60', ['fits:numeric(5,2)']], ['100', ['target:54000']], ['199', ['target:22P02']],
    ]);
    expect(await counts('odd')).toEqual({ read: 200, written: 196, unchanged: 0, quarantined: 4 });
  }, 60_000);

  test('on_invalid: fail keeps nothing of the commit and names no value', async () => {
    await tables('strict', 'id int PRIMARY KEY, n int', 'SELECT g, g FROM generate_series(1, 300) g', 'id int PRIMARY KEY, n int CHECK (n <> 200)');
    const failure = await migrate('strict', { on_invalid: 'fail' }).then(() => null, (error: unknown) => error as Error & { code: string });
    expect(failure).toMatchObject({ code: 'ROW_REFUSED' });
    expect(failure?.message).not.toContain('200');
    expect(await rowsIn(run.target, 'SELECT max(id) AS n FROM strict')).toEqual([{ n: 120 }]);
    expect(await counts('strict')).toEqual({ read: 120, written: 120, unchanged: 0, quarantined: 0 });
  }, 60_000);

  test('a trigger that swallows a row ends the commit: COPY_INCOMPLETE, nothing kept', async () => {
    await tables('swallow', 'id int PRIMARY KEY', 'SELECT g FROM generate_series(1, 300) g', 'id int');
    await run.target.query(`CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 200 THEN RETURN NULL; END IF; RETURN NEW; END $$;
      INSERT INTO swallow VALUES (-1); CREATE TRIGGER swallow BEFORE INSERT ON swallow FOR EACH ROW EXECUTE FUNCTION swallow()`);
    await expect(migrate('swallow', { target: { connection: 'new', on_existing: 'append' } })).rejects.toMatchObject({ code: 'COPY_INCOMPLETE' });
    expect(await rowsIn(run.target, 'SELECT max(id) AS n, count(*)::int AS c FROM swallow')).toEqual([{ n: 120, c: 121 }]);
  }, 60_000);

  test('a merge swallows no rows either', async () => {
    await tables('mswallow', 'id int PRIMARY KEY, v int', 'SELECT g, g FROM generate_series(1, 300) g');
    await run.target.query(`CREATE FUNCTION mswallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 200 THEN RETURN NULL; END IF; RETURN NEW; END $$;
      INSERT INTO mswallow VALUES (-1, 0); CREATE TRIGGER s BEFORE INSERT ON mswallow FOR EACH ROW EXECUTE FUNCTION mswallow()`);
    await expect(migrate('mswallow', { target: { connection: 'new', on_conflict: 'update' } })).rejects.toMatchObject({ code: 'COPY_INCOMPLETE' });
    expect(await counts('mswallow')).toEqual({ read: 120, written: 120, unchanged: 0, quarantined: 0 });
  }, 60_000);

  test('a merge counts what the target says, journals the first image once, and leaves foreign rows alone', async () => {
    const columns = 'id int PRIMARY KEY, v text, amount numeric, box box';
    await tables('merged', columns, `SELECT g, 'new' || g, 1.00, '(1,1),(0,0)' FROM generate_series(1, 300) g`);
    await run.target.query(`INSERT INTO merged SELECT g, CASE WHEN g <= 100 THEN 'new' || g ELSE 'old' || g END, 1.00, '(1,1),(0,0)' FROM generate_series(1, 200) g; INSERT INTO merged VALUES (9999, 'foreign', 0);
      UPDATE merged SET amount = 1.0 WHERE id = 5; UPDATE merged SET box = '(2,1),(1,0)' WHERE id = 6`);
    const ref = await migrate('merged', { target: { connection: 'new', on_conflict: 'update' } });
    // 1..100 equal but 5 (scale) and 6 (another box of the same area); 101..200 updated; 201..300 inserted.
    expect(await counts('merged')).toEqual({ read: 300, written: 202, unchanged: 98, quarantined: 0 });
    const sql = 'SELECT id, v, amount::text, box::text FROM merged WHERE id < 9999 ORDER BY id';
    expect(await rowsIn(run.target, sql)).toEqual(await rowsIn(run.legacy, sql));
    expect(await rowsIn(run.target, 'SELECT v FROM merged WHERE id = 9999')).toEqual([{ v: 'foreign' }]);
    expect(await rowsIn(run.target, `SELECT count(*)::int AS n, min(split_part(btrim(image #>> '{}', '()'), ',', 2)) AS v FROM caravan.before_image WHERE dataset = 'merged' AND target_key[1]::int > 100`)).toEqual([{ n: 100, v: 'old101' }]);
    await run.copy(ref, 'merged');
    expect(await counts('merged')).toEqual({ read: 300, written: 202, unchanged: 98, quarantined: 0 });
  }, 60_000);

  test('the first before-image of a row stays, whoever changes the row later and however often it is merged', async () => {
    await installLedger(run.deps.systems.open('new') as PostgresSystem);
    await run.target.query(`CREATE TABLE imaged (id int PRIMARY KEY, v text); INSERT INTO imaged VALUES (1, 'theirs')`);
    const columns: Column[] = [{ name: 'id', kind: 'integer', type: 'integer', nullable: false }, { name: 'v', kind: 'text', type: 'text', nullable: true }];
    const merge = mergeTarget({ schema: 'public', name: 'imaged' }, ['id'], columns, 'update', false);
    await prepareMerge(run.target, merge);
    for (const value of ['first', 'second']) {
      await run.target.query(`BEGIN; INSERT INTO caravan_stage VALUES (1, '${value}')`);
      await mergeRows(run.target, { migration: 'sink-imaged', dataset: 'imaged', generation: 1, ordinal: 0 }, merge, columns);
      await run.target.query('COMMIT');
      expect(await rowsIn(run.target, 'SELECT v FROM imaged')).toEqual([{ v: value }]);
    }
    expect(await rowsIn(run.target, `SELECT split_part(btrim(image #>> '{}', '()'), ',', 2) AS v FROM caravan.before_image WHERE dataset = 'imaged'`)).toEqual([{ v: 'theirs' }]);
    await run.target.query('DROP TABLE pg_temp.caravan_stage');
  }, 60_000);

  test('a commit that is lost leaves no before-image: what others write before the next try is what a rollback gives back', async () => {
    await installLedger(run.deps.systems.open('new') as PostgresSystem);
    await run.target.query(`CREATE TABLE unkept (id int PRIMARY KEY, v text); INSERT INTO unkept VALUES (1, 'theirs')`);
    const columns: Column[] = [{ name: 'id', kind: 'integer', type: 'integer', nullable: false }, { name: 'v', kind: 'text', type: 'text', nullable: true }];
    const merge = mergeTarget({ schema: 'public', name: 'unkept' }, ['id'], columns, 'update', false);
    await prepareMerge(run.target, merge);
    const images = () => rowsIn(run.target, `SELECT split_part(btrim(image #>> '{}', '()'), ',', 2) AS v FROM caravan.before_image WHERE dataset = 'unkept'`);
    for (const ending of ['ROLLBACK', 'COMMIT']) {
      await run.target.query(`BEGIN; INSERT INTO caravan_stage VALUES (1, 'ours')`);
      expect(await mergeRows(run.target, { migration: 'sink-unkept', dataset: 'unkept', generation: 1, ordinal: 0 }, merge, columns)).toMatchObject({ written: 1 });
      await run.target.query(ending);
      if (ending === 'ROLLBACK') {
        expect(await images()).toEqual([]);
        await run.target.query(`UPDATE unkept SET v = 'theirs again'`);
      }
    }
    expect(await rowsIn(run.target, 'SELECT v FROM unkept')).toEqual([{ v: 'ours' }]);
    expect(await images()).toEqual([{ v: '"theirs again"' }]);
    await run.target.query('DROP TABLE pg_temp.caravan_stage');
  }, 60_000);

  test('source rows that meet in one target key: the first stays, the others go to quarantine, across commits and splits too', async () => {
    await tables('meeting', 'id int PRIMARY KEY, email text, v int', `SELECT g, 'u' || g || '@x', g FROM generate_series(1, 400) g`, 'id int, email text UNIQUE, v int CHECK (v <> 333)');
    await run.legacy.query(`UPDATE meeting SET email = 'U10@X' WHERE id IN (11, 350); UPDATE meeting SET email = NULL WHERE id IN (20, 21, 360)`);
    await run.target.query(`INSERT INTO meeting VALUES (-5, 'u10@x', -5), (-6, 'foreign@x', -6)`);
    await migrate('meeting', { target: { connection: 'new', on_conflict: 'update', key: ['email'] }, transformations: [{ old_field: 'email', transform: 'lower' }] });
    expect((await quarantined('meeting')).map((row) => [row.key, row.rules])).toEqual([['11', ['unique']], ['333', ['target:23514']], ['350', ['unique']]]);
    expect(await counts('meeting')).toEqual({ read: 400, written: 397, unchanged: 0, quarantined: 3 });
    expect(await rowsIn(run.target, `SELECT id, v FROM meeting WHERE email = 'u10@x' OR email IS NULL ORDER BY id`)).toEqual([{ id: 10, v: 10 }, { id: 20, v: 20 }, { id: 21, v: 21 }, { id: 360, v: 360 }]);
    expect(await rowsIn(run.target, `SELECT split_part(btrim(image #>> '{}', '()'), ',', 3) AS v FROM caravan.before_image WHERE dataset = 'meeting'`)).toEqual([{ v: '-5' }]);
  }, 60_000);

  test('an outsider who changes rows during a merge is waited for, journalled and merged; nothing is lost', async () => {
    await tables('outside', 'id int PRIMARY KEY, v text', `SELECT g, 'new' FROM generate_series(1, 100) g`);
    await run.target.query(`INSERT INTO outside SELECT g, 'old' FROM generate_series(1, 50) g`);
    await run.target.query(`BEGIN; UPDATE outside SET v = 'outsider' WHERE id = 7; INSERT INTO outside VALUES (70, 'outsider')`);
    const copying = migrate('outside', { target: { connection: 'new', on_conflict: 'update' } }).then(() => null, (error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await run.target.query('COMMIT');
    // The row that nobody could lock beforehand is not overwritten unseen: the attempt ends, and the next one journals it.
    const first = await copying;
    if (first) {
      expect(first).toMatchObject({ code: 'SYSTEM_BUSY' });
      const { rows } = await run.target.query(`SELECT count(*)::int AS n FROM outside WHERE v = 'new'`);
      expect(rows[0].n).toBe(0);
      await migrate('outside', { target: { connection: 'new', on_conflict: 'update' } });
    }
    expect(await rowsIn(run.target, `SELECT split_part(btrim(image #>> '{}', '()'), ',', 2) AS v FROM caravan.before_image WHERE dataset = 'outside' AND target_key[1] IN ('7', '70')`)).toEqual([{ v: 'outsider' }, { v: 'outsider' }]);
    expect(await rowsIn(run.target, `SELECT count(*)::int AS n FROM outside WHERE v = 'new'`)).toEqual([{ n: 100 }]);
  }, 60_000);

  test('refuse, append, replace, and a table that belongs to another dataset', async () => {
    await tables('parent', 'id int PRIMARY KEY', 'SELECT g FROM generate_series(1, 50) g');
    await tables('child', 'id int PRIMARY KEY, parent int', 'SELECT g, g FROM generate_series(1, 50) g', 'id int PRIMARY KEY, parent int REFERENCES parent');
    await run.target.query('INSERT INTO parent VALUES (1000); INSERT INTO child VALUES (1000, 1000)');
    const plan = (existing: string, migration = 'matrix') => ({ migration, datasets: { parent: { ...side, target: { connection: 'new', on_existing: existing } }, child: { ...side, after: ['parent'], target: { connection: 'new', on_existing: existing } } } });
    const refused = await run.admit(plan('refuse'));
    await expect(run.copy(refused.ref, 'parent')).rejects.toMatchObject({ code: 'TARGET_NOT_EMPTY' });
    expect(await rowsIn(run.target, `SELECT FROM caravan.owned_table WHERE table_name = 'parent'`)).toEqual([]);
    // A parent whose child is in the migration too: the foreign key goes first, so the rows may go.
    const replaced = await run.admit(plan('replace'));
    await run.copy(replaced.ref, 'parent');
    await run.copy(replaced.ref, 'child');
    expect(await rowsIn(run.target, 'SELECT count(*)::int AS n, max(id) AS m FROM parent')).toEqual([{ n: 50, m: 50 }]);
    expect(await rowsIn(run.target, 'SELECT count(*)::int AS n, max(id) AS m FROM child')).toEqual([{ n: 50, m: 50 }]);
    const other = await run.admit(plan('append', 'another'));
    await expect(run.copy(other.ref, 'parent')).rejects.toMatchObject({ code: 'TARGET_OWNED' });
  }, 60_000);

  test('append keeps what is there; a keyless append is all or nothing', async () => {
    await run.legacy.query(`CREATE TABLE heap (v int, w int); INSERT INTO heap SELECT g, g FROM generate_series(1, 500) g; UPDATE heap SET w = -1 WHERE v = 300`);
    await run.target.query('CREATE TABLE heap (v int, w int CONSTRAINT positive CHECK (w > 0)); INSERT INTO heap VALUES (0, 1)');
    await migrate('heap', { target: { connection: 'new', on_existing: 'append' } });
    expect(await rowsIn(run.target, 'SELECT count(*)::int AS n, sum(v)::int AS s FROM heap')).toEqual([{ n: 500, s: 500 * 501 / 2 - 300 }]);
    expect(await counts('heap')).toEqual({ read: 500, written: 499, unchanged: 0, quarantined: 1 });
  }, 60_000);

  test('a keyless append with a deferred constraint finds its rows before the end', async () => {
    await run.legacy.query(`CREATE TABLE heapd (v int); INSERT INTO heapd SELECT g FROM generate_series(1, 500) g`);
    await run.target.query(`CREATE TABLE heapd (v int); INSERT INTO heapd VALUES (0);
      CREATE FUNCTION no_300() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.v = 300 THEN RAISE unique_violation; END IF; RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER d AFTER INSERT ON heapd DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no_300()`);
    await migrate('heapd', { target: { connection: 'new', on_existing: 'append' } });
    expect(await counts('heapd')).toEqual({ read: 500, written: 499, unchanged: 0, quarantined: 1 });
  }, 60_000);

  test('identity ALWAYS keeps the source ids; generated columns are computed by the target', async () => {
    await tables('ident', 'id bigint PRIMARY KEY, a int, twice int', 'SELECT g * 10, g, 0 FROM generate_series(1, 200) g', 'id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED');
    await migrate('ident', { transformations: [{ old_field: 'twice', transform: 'drop' }] });
    expect(await rowsIn(run.target, 'SELECT count(*)::int AS n FROM ident WHERE id = a * 10 AND twice = a * 2')).toEqual([{ n: 200 }]);
  }, 60_000);

  test('one row of 30 MB in each encoding, and 1,500 columns', async () => {
    await tables('huge', 'id int PRIMARY KEY, v bytea, t text', `SELECT g, CASE WHEN g = 2 THEN decode(repeat('00ff5c0a', 7500000), 'hex') END, CASE WHEN g = 2 THEN repeat(E'a\\t\\\\\\n', 7500000) END FROM generate_series(1, 3) g`);
    await migrate('huge', {}, { memory_limit: '64MB' });
    // A rule on a type without binary form sends the same rows as values.
    await run.legacy.query('ALTER TABLE huge ADD span interval; CREATE VIEW huge_values AS SELECT * FROM huge');
    await run.target.query('CREATE TABLE huge_values (id int PRIMARY KEY, v bytea, t text, span interval)');
    await migrate('huge_values', { source: { connection: 'legacy', key: ['id'] }, validation: { pattern: { span: '.*' } } });
    const sql = (table: string) => `SELECT id, md5(v) AS v, length(v)::int AS l, md5(t) AS t FROM ${table} ORDER BY id`;
    expect(await rowsIn(run.target, sql('huge'))).toEqual(await rowsIn(run.legacy, sql('huge')));
    expect(await rowsIn(run.target, sql('huge_values'))).toEqual(await rowsIn(run.legacy, sql('huge')));

    const names = Array.from({ length: 1_499 }, (_, i) => `c${i}`);
    await tables('broad', `id int PRIMARY KEY, ${names.map((name, i) => `${name} ${i % 2 ? 'int' : 'boolean'}`).join(', ')}`, `SELECT g, ${names.map((_, i) => (i % 2 ? `CASE WHEN g % 3 = 0 THEN g * ${i} END` : 'true')).join(', ')} FROM generate_series(1, 100) g`);
    await migrate('broad', { transformations: [{ old_field: 'c1498', new_field: 'c0' }, { old_field: 'c0', new_field: 'c1498' }], validation: { range: { c1497: { min: 0 } } } });
    expect(await rowsIn(run.target, 'SELECT md5(string_agg(t::text, $$|$$ ORDER BY id)) AS d FROM broad t')).toEqual(await rowsIn(run.legacy, 'SELECT md5(string_agg(t::text, $$|$$ ORDER BY id)) AS d FROM broad t'));
  }, 180_000);

  test('memory_limit bounds what one commit holds', async () => {
    await tables('bounded', 'id int PRIMARY KEY, v text', `SELECT g, repeat(md5(g::text), 320) FROM generate_series(1, 2000) g`);
    await migrate('bounded', {}, { memory_limit: '32MB', parallel_workers: 4, parallel_datasets: 2, batch_size: 10_000, checkpoint_interval: 1_000_000 });
    // 32 MB / (4 commits held x 4 workers x 2 datasets) = 1 MB, and a batch of an eighth of it; a row takes about 10 kB.
    const { rows } = await run.target.query<{ most: string }>(`SELECT max(read_rows) AS most FROM caravan.commit WHERE dataset = 'bounded'`);
    expect(Number(rows[0]?.most)).toBeGreaterThan(50);
    expect(Number(rows[0]?.most)).toBeLessThanOrEqual(120);
  }, 60_000);
});
