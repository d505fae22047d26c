import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { createTables, type CreateRequest, type CreatedTables } from '../../activities/connectors/postgres/create-schema';
import { inventory } from '../../activities/connectors/postgres/inventory';
import { rebuild } from '../../activities/connectors/postgres/target-objects';
import { catalogReport } from '../fixtures/catalog-report';
import { olderCluster, type OlderMajor, type VersionedCluster } from '../fixtures/postgres-versions';
import { testStack } from '../fixtures/stack';

jest.setTimeout(600_000);

const clusters = new Map<number, VersionedCluster>();
const missing: string[] = [];

beforeAll(async () => {
  clusters.set(18, { url: testStack().legacyUrl, stop: () => Promise.resolve() });
  for (const major of [13, 14, 15, 16, 17] as OlderMajor[]) {
    const cluster = await olderCluster(major);
    if ('missing' in cluster) missing.push(cluster.missing);
    else clusters.set(major, cluster);
  }
});

afterAll(async () => {
  for (const cluster of clusters.values()) await cluster.stop();
});

async function freshDatabase(major: number, name: string): Promise<Client | null> {
  const url = clusters.get(major)?.url;
  if (url === undefined) return null;
  const server = new Client({ connectionString: url });
  await server.connect();
  await server.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await server.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  await server.end();
  const client = new Client({ connectionString: url.replace(/\/postgres$/, `/${name}`) });
  await client.connect();
  return client;
}

async function carry(source: Client, target: Client): Promise<CreatedTables> {
  const tables = (await inventory(source)).filter(({ kind }) => kind === 'table' || kind === 'partitioned');
  const requests = tables.map(({ schema, name }): CreateRequest => ({
    dataset: `${schema}.${name}`, source: { table: { schema, name } }, target: { schema, name }, renames: {}, dropped: [], typeOverrides: {}, plain: [], added: [],
  }));
  const inTransaction = async (): Promise<CreatedTables> => {
    await target.query('BEGIN');
    const made = await createTables(source, target, requests);
    await target.query('COMMIT');
    return made;
  };
  const made = await inTransaction();
  for (const kind of ['index', 'unique', 'foreign_key', 'check']) for (const { object } of made.deferred) if (object.kind === kind) await rebuild(target, object);
  expect(made.created).toHaveLength(tables.length);
  expect(await inTransaction()).toMatchObject({ created: [], leftOut: [], existing: { length: tables.length } });
  return made;
}

/** NOT NULL has a catalog entry from 18 on; ranges have multiranges, and casts to them, from 14 on. */
function comparable(report: string[]): string[] {
  return report.filter((line) => !/^constraint .* NOT NULL /.test(line) && !/^cast .*_multirange/.test(line)).map((line) => line.replace(/ \S+_multirange$/, ''));
}

async function pair(from: number, to: number): Promise<{ made: CreatedTables; lost: string[]; extra: string[] } | null> {
  const source = await freshDatabase(from, 'torture_from');
  const target = await freshDatabase(to, 'torture_to');
  try {
    if (!source || !target) return null;
    for (const part of ['', '-14', '-15', '-18'].filter((version) => from >= Number(version.slice(1) || 13))) {
      await source.query(readFileSync(path.join(__dirname, `../fixtures/torture-schema${part}.sql`), 'utf8'));
    }
    const made = await carry(source, target);
    const [before, after] = [comparable(await catalogReport(source)), comparable(await catalogReport(target))];
    return { made, lost: before.filter((line) => !after.includes(line)), extra: after.filter((line) => !before.includes(line)) };
  } finally {
    await source?.end();
    await target?.end();
  }
}

it('has servers of every version', () => {
  expect(missing).toEqual([]);
});

it.each([[13, 14], [13, 18], [14, 16], [15, 18], [16, 17], [17, 18]])('carries everything from version %i to %i', async (from, to) => {
  expect(await pair(from, to)).toMatchObject({ made: { leftOut: [] }, lost: [], extra: [] });
});

it.each([[18, 17], [18, 15], [18, 13], [15, 14], [14, 13]])('names what an older target lacks, from version %i to %i, and loses nothing else', async (from, to) => {
  const outcome = await pair(from, to);
  const named = outcome?.made.leftOut.map(({ name }) => name) ?? [];
  // Every line that differs speaks of an object or a column that the list names.
  const words = (text: string): string[] => text.split(/[\s(),."]+/).filter((word) => word !== '');
  const last = new Set(named.flatMap((name) => name.replace(/\(.*/, '').split(' ').map((word) => words(word).at(-1) ?? '')));
  const unnamed = outcome?.lost.filter((line) => !words(line).some((word) => last.has(word)));
  expect(unnamed).toEqual([]);
  expect(named.length).toBeGreaterThan(0);
});
