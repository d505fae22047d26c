import { readFileSync } from 'node:fs';
import path from 'node:path';
import { closeDataset } from '../../activities/close-dataset';
import { inventory } from '../../activities/connectors/postgres/inventory';
import { settleReferences } from '../../activities/settle-references';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { catalogReport } from '../fixtures/catalog-report';
import { rowsReport } from '../fixtures/rows-report';

const VERSIONS = ['', '-14', '-15', '-18'];
const torture = (name: string): string => readFileSync(path.join(__dirname, `../fixtures/torture-${name}.sql`), 'utf8');

// A busy machine takes its time over a schema with one of everything.
jest.setTimeout(180_000);

let run: ActivitiesRun;

beforeAll(async () => {
  run = await activitiesRun('torture');
  for (const version of VERSIONS) await run.legacy.query(torture(`schema${version}`));
  await run.legacy.query(torture('rows'));
});

afterAll(() => run?.close());

it('carries a schema with one of everything: catalogs, rows and sequences are equal afterwards', async () => {
  const tables = (await inventory(run.legacy)).filter(({ kind }) => kind === 'table' || kind === 'partitioned');
  const quoted = ({ schema, name }: { schema: string; name: string }): string => `"${schema.replaceAll('"', '""')}"."${name.replaceAll('"', '""')}"`;
  const datasets = Object.fromEntries(tables.map((table, at) => [`t${at}`, { source: { connection: 'legacy', table: quoted(table) }, target: { connection: 'new', table: quoted(table) } }]));
  const { ref } = await run.admit({ migration: 'torture', schema: 'create', datasets });
  await run.call(run.activities.createSchema, ref);
  const audited = await run.target.query<{ body: { left_out: unknown[] } }>(`SELECT body FROM caravan.audit WHERE event = 'schema_created'`);
  expect(audited.rows.map(({ body }) => body.left_out)).toEqual([[]]);

  const names = Object.keys(datasets);
  for (const dataset of names) {
    await run.copy(ref, dataset);
    await run.call((input: { ref: typeof ref; dataset: string }) => closeDataset(run.deps, input), { ref, dataset });
  }
  await run.call((input: { ref: typeof ref; datasets: string[] }) => settleReferences(run.deps, input), { ref, datasets: names });

  expect(await catalogReport(run.target)).toEqual(await catalogReport(run.legacy));
  const rows = await rowsReport(run.legacy);
  expect(rows.length).toBeGreaterThan(30);
  expect(await rowsReport(run.target)).toEqual(rows);
}, 300_000);
