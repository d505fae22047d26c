import { createActivities } from '../../activities';
import type { ActivityDependencies } from '../../activities/dependencies';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

const MB = 1024 * 1024;
/** Text of about `mb` megabytes, with every character that COPY escapes. */
const text = (mb: number): string => `(SELECT repeat(string_agg(md5(g::text) || E'\\\\ \\t\\n é', ''), ${mb}) FROM generate_series(1, ${MB / 40}) g)`;
const bytes = (mb: number): string => `(SELECT decode(repeat(string_agg(md5(g::text), ''), ${mb}), 'hex') FROM generate_series(1, ${MB / 16}) g)`;

interface Huge { name: string; column: string; value: string; mb: number; encodings: ActivityDependencies['encodings'] }

describe('one huge row among small ones', () => {
  let run: ActivitiesRun;
  beforeAll(async () => { run = await activitiesRun('huge'); }, 60_000);
  afterAll(() => run.close());

  async function move({ name, column, value, encodings }: Huge): Promise<{ seconds: number; rss: number }> {
    await run.legacy.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v ${column}); ALTER TABLE ${name} ALTER v SET STORAGE EXTERNAL; INSERT INTO ${name} SELECT g, NULL FROM generate_series(1, 300) g; UPDATE ${name} SET v = ${value} WHERE id = 150`);
    await run.target.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v ${column})`);
    const { ref } = await run.admit({ migration: name.replaceAll('_', '-'), datasets: { [name]: { source: { connection: 'legacy' }, target: { connection: 'new' } } } });
    const from = Date.now();
    let rss = 0;
    const watch = setInterval(() => { rss = Math.max(rss, process.memoryUsage().rss); }, 50);
    try {
      await run.copy(ref, name, { activities: createActivities({ ...run.deps, ...(encodings && { encodings }) }) });
    } finally {
      clearInterval(watch);
    }
    const seconds = (Date.now() - from) / 1000;
    await run.call(run.activities.closeDataset, { ref, dataset: name });
    const print = column === 'jsonb' ? 'v::text' : 'v';
    const of = async (client: ActivitiesRun['legacy']) => (await client.query(`SELECT count(*)::int AS n, max(octet_length(${print})) AS bytes, md5(string_agg(coalesce(md5(${print}), '-'), '' ORDER BY id)) AS hash FROM ${name}`)).rows;
    expect(await of(run.target)).toEqual(await of(run.legacy));
    return { seconds, rss };
  }

  test.each<Huge>([
    { name: 'text_as_bytes', column: 'text', value: text(100), mb: 100, encodings: ['pgcopy'] },
    { name: 'text_as_values', column: 'text', value: text(100), mb: 100, encodings: ['values'] },
    { name: 'bytea_as_bytes', column: 'bytea', value: bytes(100), mb: 100, encodings: ['pgcopy'] },
    { name: 'bytea_as_values', column: 'bytea', value: bytes(100), mb: 100, encodings: ['values'] },
    { name: 'json_as_values', column: 'jsonb', value: `to_jsonb(${text(90)})`, mb: 90, encodings: ['values'] },
    { name: 'text_500', column: 'text', value: text(450), mb: 450, encodings: ['pgcopy'] },
  ])('$name: $mb MB', async (huge) => {
    const { seconds, rss } = await move(huge);
    process.stderr.write(`huge row: ${huge.name} of ${huge.mb} MB in ${seconds.toFixed(1)} s, ${Math.round(rss / MB)} MB of memory\n`);
    await run.legacy.query(`DROP TABLE ${huge.name}`);
    await run.target.query(`DROP TABLE ${huge.name}`);
  }, 900_000);
});
