import { readFileSync } from 'node:fs';
import path from 'node:path';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { differences, readDatabase, type DatabaseFacts, type Difference } from '../fixtures/foreign/database-comparison';
import type { ForeignDatabase } from '../fixtures/foreign/foreign-database';
import { jobQueuesDatabase, procrastinateDatabase } from '../fixtures/foreign/job-queue-databases';
import { regressionDatabase } from '../fixtures/foreign/regression-database';
import { wagtailDatabase } from '../fixtures/foreign/wagtail-database';
import { olderCluster, type VersionedCluster } from '../fixtures/postgres-versions';
import { createDatabase, testStack, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(5_400_000);

const DATABASES: ForeignDatabase[] = [wagtailDatabase, procrastinateDatabase, jobQueuesDatabase, regressionDatabase];

interface Problem { severity: string; place: string; message: string }

let cluster: VersionedCluster;
let target: TestDatabase;
let folder: CommandFolder;

beforeAll(async () => {
  const started = await olderCluster(15);
  if ('missing' in started) throw new Error(started.missing);
  cluster = started;
});
afterAll(() => cluster?.stop());

beforeEach(async () => {
  target = await createDatabase('new', 'foreign');
  folder = commandFolder({ TEMPORAL_ADDRESS: testStack().temporal });
});
afterEach(async () => {
  folder.remove();
  await target.drop();
});

/** The database is dropped with its server. */
async function sourceOf(foreign: ForeignDatabase): Promise<string> {
  const { Client } = await import('pg');
  const client = new Client({ connectionString: cluster.url });
  await client.connect();
  const name = foreign.name.replaceAll(' ', '_');
  await client.query(`CREATE DATABASE "${name}" TEMPLATE template0`).finally(() => client.end());
  const url = new URL(cluster.url);
  url.pathname = `/${name}`;
  await foreign.fill(url.href);
  return url.href;
}

async function command(...args: string[]): Promise<string> {
  const { code, out, err } = await folder.caravan(...args);
  if (code !== 0) throw new Error(`caravan ${args.join(' ')} ended with ${String(code)}:\n${err}\n${out.slice(-4000)}`);
  return out;
}

/** Each difference that nothing declares, and each declaration that nothing shows or that was not told beforehand. */
function unexplained(found: readonly Difference[], { declared }: ForeignDatabase, told: string): string[] {
  const surprises = found.filter(({ name }) => !declared.some(({ fact }) => fact.test(name))).map(({ name, source, target: there }) => `${name}: source ${source ?? 'none'}; target ${there ?? 'none'}`);
  const shown = ({ fact }: { fact: RegExp }): boolean => found.some(({ name }) => fact.test(name));
  const due = declared.filter((one) => !one.sometimes || shown(one));
  const untold = due.filter(({ told: words }) => !words.test(told)).map(({ fact }) => `not told beforehand: ${fact.source}`);
  const idle = due.filter((one) => !shown(one)).map(({ fact }) => `declared in vain: ${fact.source}`);
  return [...surprises, ...untold, ...idle];
}

/** Objects and rows that a check would leave behind, with what the server counts up in them. */
async function traces(url: string): Promise<DatabaseFacts> {
  return readDatabase(url, 'target');
}

describe.each(DATABASES)('a database that was not made for this project: $name', (foreign) => {
  test('goes through init, check and run without an edit, and is the same by SQL', async () => {
    const source = await sourceOf(foreign);
    folder.env['CARAVAN_CONNECTION_OLD'] = source;
    folder.env['CARAVAN_CONNECTION_NEW'] = target.url;
    const before = await traces(target.url);

    await command('init', '--source', 'old', '--target', 'new', '--name', `foreign-${foreign.name.replaceAll(' ', '-')}`, '-o', 'plan.yaml');
    const checked = JSON.parse(await command('check', 'plan.yaml', '--connect', '--json')) as { ok: boolean; problems: Problem[] };
    expect(checked.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(await traces(target.url)).toEqual(before);

    const expected = await readDatabase(source, 'source');
    const ended = JSON.parse(await command('run', 'plan.yaml', '--json')) as { counts?: { quarantined: number } };
    expect(ended.counts?.quarantined ?? 0).toBe(0);

    const found = differences(expected, await readDatabase(target.url, 'target'));
    const told = [readFileSync(path.join(folder.dir, 'plan.yaml'), 'utf8'), ...checked.problems.map(({ place, message }) => `${place}: ${message}`)].join('\n');
    expect(expected.size).toBeGreaterThan(80);
    expect(unexplained(found, foreign, told)).toEqual([]);
  });
});
