import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client as TemporalClient, Connection, type WorkflowHandle } from '@temporalio/client';
import { Client } from 'pg';
import type { BlockedStep, RunProgress } from '../../migration/protocol';
import { startTemporal, type TemporalService } from '../../scripts/stack/start-stack';
import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';
import { Marks, type Hit } from '../fixtures/leak-marks';
import { leakyTables } from '../fixtures/leak-scenarios';
import { createDatabase, type TestDatabase } from '../fixtures/stack';

jest.setTimeout(600_000);

/**
 * Where a row's values or a plan's literals may be, and why. Everywhere else, and for secrets everywhere, the search must find nothing.
 * Not searched: the tables of both systems themselves, and the databases' own logs, which belong to their administrators.
 */
const ALLOWED: Record<string, { kind: 'row' | 'plan'; why: string }> = {
  'new.caravan.quarantine.content': { kind: 'row', why: 'the row that may not be written, for replay; PUBLIC has no access' },
  'new.caravan.quarantine.source_key': { kind: 'row', why: 'names the quarantined row' },
  'new.caravan.split.after_key': { kind: 'row', why: 'where a split begins' },
  'new.caravan.split.upto_key': { kind: 'row', why: 'where a split ends' },
  'new.caravan.split.cursor_key': { kind: 'row', why: 'how far a split is' },
  'new.caravan.commit.from_key': { kind: 'row', why: 'which rows a commit holds, for undo' },
  'new.caravan.commit.to_key': { kind: 'row', why: 'which rows a commit holds, for undo' },
  'new.caravan.before_image.target_key': { kind: 'row', why: 'which row a merge replaced' },
  'new.caravan.before_image.image': { kind: 'row', why: 'what a merge replaced, for undo' },
  'new.caravan.merged_key.target_key': { kind: 'row', why: 'which keys a merge has written' },
  'new.caravan.difference.source_key': { kind: 'row', why: 'names the row that a comparison found different, for repair' },
  'new.caravan.difference.target_key': { kind: 'row', why: 'names the row that a comparison found different, for repair' },
  'new.caravan.rollback_conflict.key': { kind: 'row', why: 'names a row that a rollback left alone' },
  'new.caravan.rollback_conflict.content': { kind: 'row', why: 'a row that a rollback left alone, for whoever decides about it' },
  'new.caravan.exported_row.key': { kind: 'row', why: 'names a row that the new side wrote' },
  'new.caravan.exported_row.content': { kind: 'row', why: 'what the new side wrote, for whoever brings it home' },
  'new.caravan.plan.body': { kind: 'plan', why: 'the plan that was admitted' },
};

const marks = new Marks();
const secret = (planted: string): string => marks.text('secret', planted);
const found: Hit[] = [];
const searched: string[] = [];

let dir: string;
let temporal: TemporalService;
let client: TemporalClient;
let legacy: TestDatabase;
let target: TestDatabase;
let folder: CommandFolder;
let worker: ReturnType<CommandFolder['start']>;
let pager: Server;
const told: string[] = [];

/** Looks through one place. `speaksOf`: a word that must be there, so that an empty place cannot pass for a clean one. */
function search(place: string, content: Buffer | string, speaksOf: string | null = 'leaky'): void {
  searched.push(place);
  if (speaksOf !== null && !content.includes(speaksOf)) throw new Error(`${place} says nothing of ${speaksOf}: it is not what was meant to be searched\n${content.toString().slice(0, 2000)}`);
  found.push(...marks.find(place, content));
}

async function sql(url: string, text: string): Promise<Record<string, unknown>[]> {
  const database = new Client({ connectionString: url });
  await database.connect();
  try {
    return (await database.query<Record<string, unknown>>(text)).rows;
  } finally {
    await database.end();
  }
}

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'caravan-leaks-'));
  [temporal, legacy, target] = await Promise.all([
    startTemporal({ dir, env: { ...process.env, TEMPORAL_ADDRESS: undefined }, temporal: { dbFile: path.join(dir, 'temporal.db') } }), createDatabase('legacy', 'leaks'), createDatabase('new', 'leaks'),
  ]);
  client = new TemporalClient({ connection: await Connection.connect({ address: temporal.address }) });
  pager = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => { body += part.toString(); });
    request.on('end', () => {
      told.push(`${body}\n${request.headers['user-agent'] ?? ''}`);
      response.writeHead(told.length > 3 ? 200 : 500).end(request.url);
    });
  });
  await new Promise<void>((resolve) => pager.listen(0, '127.0.0.1', resolve));
  folder = commandFolder({ TEMPORAL_ADDRESS: temporal.address, CARAVAN_TEMPORAL_UI: temporal.uiUrl });
  await plantRoles();
  plantSettings();
  const { legacy: source, target: there, datasets } = leakyTables(marks);
  await sql(legacy.url, source.join('\n'));
  await sql(target.url, there.join('\n'));
  mkdirSync(path.join(folder.dir, 'plans'));
  writeFileSync(path.join(folder.dir, 'plans', 'leaky.yaml'), planOf(datasets));
  worker = folder.start('worker');
});

afterAll(async () => {
  worker?.child.kill('SIGTERM');
  await worker?.end;
  await client?.connection.close();
  await temporal?.server?.stop();
  pager?.close();
  const roles = [legacy, target].map((database) => () => sql(new URL('/postgres', database.url).href, `DROP ROLE IF EXISTS "${database.name}_role", "${database.name}_admin"`));
  await Promise.all([legacy?.drop(), target?.drop()]);
  await Promise.all(roles.map((drop) => drop()));
  folder?.remove();
  rmSync(dir, { recursive: true, force: true });
});

/** Real roles whose passwords are marks. */
async function plantRoles(): Promise<void> {
  const passwords = { legacy: secret('password in an address'), new: secret('password in a file'), admin: secret('password of admin_url') };
  await sql(legacy.url, `CREATE ROLE "${legacy.name}_role" LOGIN SUPERUSER PASSWORD '${passwords.legacy}'`);
  await sql(target.url, `CREATE ROLE "${target.name}_role" LOGIN SUPERUSER PASSWORD '${passwords.new}'; CREATE ROLE "${target.name}_admin" LOGIN SUPERUSER PASSWORD '${passwords.admin}'`);
  const source = new URL(legacy.url);
  source.username = `${legacy.name}_role`;
  source.password = passwords.legacy;
  source.searchParams.set('application_name', secret('parameter of an address'));
  const there = new URL(target.url);
  there.username = `${target.name}_role`;
  there.password = '';
  writeFileSync(path.join(folder.dir, 'password.txt'), `${passwords.new}\n`);
  const admin = new URL(target.url);
  admin.username = `${target.name}_admin`;
  admin.password = passwords.admin;
  folder.write('caravan.connections.yaml', `
legacy_db: { url: "${source.href}" }
new_db: { url: "${there.href}", admin_url: "${admin.href}", password: { file: password.txt } }
unused_db: { url: "postgres://somebody:${secret('password of an unused connection')}@127.0.0.1:1/none?sslpassword=${secret('sslpassword of an unused connection')}" }
`);
}

/** Secrets that a worker's environment holds beside its connections. */
function plantSettings(): void {
  const { port } = pager.address() as AddressInfo;
  folder.env['CARAVAN_WEBHOOK_OPS'] = `http://127.0.0.1:${port}/hooks/${secret('path of a webhook')}?token=${secret('token of a webhook')}`;
  folder.env['CARAVAN_WEBHOOK_OPS_SECRET'] = secret('signing key of a webhook');
  folder.env['CARAVAN_COMMAND_PAGER'] = `cat >> told.txt; echo ${secret('output of a command')}; echo ${secret('errors of a command')} >&2; test -e failed-once || { touch failed-once; exit 3; }`;
  folder.env['CARAVAN_STAGING_KEY'] = Buffer.from(secret('staging key').padEnd(32, '.')).toString('base64');
  folder.env['CARAVAN_CONSTANT_PEPPER'] = secret('constant');
  folder.env['CARAVAN_CONNECTION_SPARE_DB'] = `postgres://spare:${secret('password in a variable')}@127.0.0.1:1/spare`;
  folder.env['PGPASSWORD'] = secret('PGPASSWORD');
  folder.env['AWS_SECRET_ACCESS_KEY'] = secret('a variable of something else');
  folder.write('caravan.transforms.cjs', `const { defineTransforms } = require(${JSON.stringify(path.join(__dirname, '..', '..', 'migration', 'transform', 'user.ts'))});
exports.default = defineTransforms({ throws_its_value: { help: 'throws', apply: (value) => { const error = new Error('cannot take ' + value); error.detail = value; throw error; } } });`);
  folder.env['CARAVAN_TRANSFORMS'] = 'caravan.transforms.cjs';
}

function planOf(datasets: string[]): string {
  return `
migration: leaky
project: What must not leak
datasets:
${datasets.join('')}
batch: { batch_size: 2, checkpoint_interval: 4, parallel_datasets: 16, parallel_workers: 2 }
alerts: { notify: { webhook: ops, command: pager, remind_every: 1m } }
checks:
  business_rules:
    differing_texts: { source: "SELECT max(bad) FROM ruled", target: "SELECT max(bad) || 'x' FROM check_constraint", on_fail: warn }
    literal: { source: "SELECT '${marks.text('plan', 'check SQL')}'", target: "SELECT '${marks.text('plan', 'check SQL')}'", on_fail: warn }
    cast: { source: "SELECT max(bad)::int FROM ruled", target: "SELECT 1" }
    division: { source: "SELECT 1", target: "SELECT count(*) FROM merged WHERE '${marks.text('plan', 'cast in check SQL')}'::int = 1" }
`;
}


test('a migration in which everything goes wrong leaves no secret, no value of a row and no literal of its plan where they do not belong', async () => {
  const handle = await client.workflow.start('migration', { workflowId: 'leaky', taskQueue: 'caravan', args: [{ plan: 'leaky' }] });
  const ended = { value: false };
  const result = handle.result().then((value: unknown) => { ended.value = true; return value; }, (error: unknown) => { ended.value = true; return error; });
  const blocks = new Map<string, BlockedStep>();
  let looked = false;
  while (!ended.value) {
    const blocked = (await handle.query<RunProgress>('progress').catch(() => null))?.blocked ?? [];
    // Several at once, before anybody decides: that is the moment at which Temporal holds most.
    if (!looked && blocked.length >= 2) {
      looked = true;
      await lookWhileBlocked();
    }
    for (const step of blocked.filter((one) => !blocks.has(`${one.step} ${one.occurrence}`) && (looked || one.dataset === undefined))) {
      blocks.set(`${step.step} ${step.occurrence}`, step);
      await handle.executeUpdate('resolveStep', { args: [{ action: 'skip', step: step.step, by: 'tester', reason: 'a test' }] });
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  search('result', JSON.stringify(await result));
  expect([...new Set([...blocks.values()].map((step) => step.code))].sort()).toEqual(BLOCKED_BY);
  await afterwards();
  await invalidPlans();
  // The rollback takes before-images away, and leaves conflicts.
  await searchStores();
  await searchCommand('forget', 'leaky');
  await searchCommand('rollback', 'leaky', '--partial', '--dataset', 'filtered', '--dataset', 'merged', '--changed-rows', 'keep_new', '--yes', '--json');
  await searchCommand('forget', 'leaky', '--json');
  await searchTemporal('at the end');
  await searchStores();
  worker.child.kill('SIGTERM');
  const { out, err } = await worker.end;
  search('worker stdout', out, 'caravan');
  search('worker stderr', err);
  searchFiles(folder.dir);
  search('notifications', told.join('\n'));
  judge();
});

/** What makes steps block here, each with a server's or a person's values behind it. */
const BLOCKED_BY = ['OBJECT_MISSING', 'PRIVILEGE_MISSING', 'ROW_REFUSED'];

/** Temporal keeps heartbeats, pending activities and the dashboard only while they are current. */
async function lookWhileBlocked(): Promise<void> {
  await searchTemporal('while blocked');
  await searchCommand('status', 'leaky');
  await searchCommand('status', 'leaky', '--json');
}

/** Every command that speaks of a migration; what it prints and what it writes. */
async function afterwards(): Promise<void> {
  await sql(target.url, `UPDATE filtered SET note = note || 'x' WHERE ctid = '(0,1)'; DELETE FROM filtered WHERE ctid = '(0,2)'; INSERT INTO filtered VALUES ('${marks.text('row', 'an extra row')}')`);
  await Promise.all([
    searchCommand('report', 'leaky', '-o', 'report.html'), searchCommand('report', 'leaky', '--json'),
    searchCommand('quarantine', 'list', 'leaky', '--limit', '1000'), searchCommand('quarantine', 'list', 'leaky', '--limit', '1000', '--json'),
  ]);
  search('report.html', readFileSync(path.join(folder.dir, 'report.html'), 'utf8'));
  await searchCommand('quarantine', 'replay', 'leaky', '--dataset', 'check_constraint');
  await searchCommand('quarantine', 'waive', 'leaky', '--dataset', 'ruled', '--reason', 'leaky', '--by', 'tester');
  await searchCommand('validate', 'leaky', '--json');
}

/** Plans that are refused, started by name: what they hold does not go into the refusal. */
async function invalidPlans(): Promise<void> {
  const literal = (where: string): string => marks.text('plan', where);
  const dataset = (more: string): string => `migration: leaky-refused\ndatasets: { ruled: { source: { connection: legacy_db }, target: { connection: new_db }, ${more} } }\n`;
  const plans: Record<string, string> = {
    'leaky-syntax': `migration: leaky\ndatasets: "${literal('broken YAML')}" "${literal('broken YAML')}"\n`,
    'leaky-type': dataset(`validation: { one_of: { bad: ${literal('a value of the wrong type')} }, length: { bad: { max: ${literal('a number that is none')} } } }`),
    'leaky-constant': dataset(`transformations: [{ new_field: same, transform: constant, value: { ${literal('a constant of the wrong type')}: 1 } }, { old_field: bad, transform: to_date, formats: ["${literal('a format')}"] }]`),
    'leaky-sql': `${dataset(`on_invalid: quarantine`)}checks: { business_rules: { broken: { source: "SELECT 'a' '${literal('SQL that cannot be read')}'", target: "SELECT 1" } } }`,
    'leaky-pattern': dataset(`validation: { pattern: { bad: "(${literal('a pattern')}" } }`),
  };
  for (const [name, text] of Object.entries(plans)) {
    writeFileSync(path.join(folder.dir, 'plans', `${name}.yaml`), text);
    const handle = await client.workflow.start('migration', { workflowId: name, taskQueue: 'caravan', args: [{ plan: name }] });
    const stopped = await endOrBlock(handle);
    expect({ name, stopped }).toEqual({ name, stopped: name === 'leaky-sql' ? 'blocked' : 'refused' });
    if (stopped === 'blocked') {
      await handle.executeUpdate('resolveStep', { args: [{ action: 'abort' }] });
      await handle.result();
    }
  }
}

/** How a run that cannot go on shows it. */
async function endOrBlock(handle: WorkflowHandle): Promise<'done' | 'refused' | 'blocked'> {
  let end: 'done' | 'refused' | null = null;
  void handle.result().then(() => { end = 'done'; }, () => { end = 'refused'; });
  for (;;) {
    if (end !== null) return end;
    if ((await handle.query<RunProgress>('progress').catch(() => null))?.blocked.length) return 'blocked';
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** What a command says is searched whole; a refusal (exit 3) is an answer, too, and so is a rollback (4). */
async function searchCommand(...args: string[]): Promise<void> {
  const { code, out, err } = await folder.caravan(...args);
  expect({ args, code: [0, 3, 4].includes(code ?? -1), err: code === 1 ? err : '' }).toEqual({ args, code: true, err: '' });
  expect(out + err).not.toBe('');
  search(`caravan ${args.join(' ')}`, out + err, null);
}

/** The server's files and log, and all that its UI and its interface show of every workflow. */
async function searchTemporal(when: string): Promise<void> {
  search(`${when}: temporal.db`, readFileSync(path.join(dir, 'temporal.db')));
  // Comes and goes with every transaction.
  if (existsSync(path.join(dir, 'temporal.db-journal'))) search(`${when}: temporal.db-journal`, readFileSync(path.join(dir, 'temporal.db-journal')), null);
  search(`${when}: server log`, readFileSync(path.join(dir, 'temporal', 'server.log'), 'utf8'), null);
  search(`${when}: metrics`, await (await fetch(temporal.metricsUrl ?? '')).text(), 'temporal');
  const api = `${temporal.uiUrl ?? ''}/api/v1/namespaces/default/workflows`;
  const list = await (await fetch(`${api}?maximumPageSize=200`)).text();
  search(`${when}: list of the UI`, list);
  for (const { execution: { workflowId } } of (JSON.parse(list) as { executions: { execution: { workflowId: string } }[] }).executions) {
    const about = encodeURIComponent(workflowId);
    search(`${when}: ${workflowId} in the UI`, await (await fetch(`${api}/${about}?`)).text());
    search(`${when}: history of ${workflowId} in the UI`, await (await fetch(`${api}/${about}/history?maximumPageSize=1000`)).text(), 'eventId');
    const described = await client.workflow.getHandle(workflowId).describe();
    search(`${when}: description of ${workflowId}`, JSON.stringify([described.memo, described.searchAttributes, described.raw], (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value)));
    const metadata = await client.workflow.getHandle(workflowId).query('__temporal_workflow_metadata').catch((error: Error) => error.message);
    search(`${when}: details of ${workflowId}`, JSON.stringify(metadata), null);
  }
}

/** Every column of every table of Caravan's own, on both sides. */
async function searchStores(): Promise<void> {
  for (const [side, url] of [['legacy', legacy.url], ['new', target.url]] as const) {
    const columns = await sql(url, `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'caravan'`);
    for (const { table_name: table, column_name: column } of columns as { table_name: string; column_name: string }[]) {
      const rows = await sql(url, `SELECT "${column}"::text AS text FROM caravan."${table}" WHERE "${column}" IS NOT NULL`);
      if (rows.length > 0) search(`${side}.caravan.${table}.${column}`, rows.map((row) => row['text']).join('\n'), null);
    }
  }
}

/** What the worker and the commands left behind, staging included; not what a person put there. */
function searchFiles(folderName: string): void {
  const own = new Set(['plans', 'caravan.connections.yaml', 'caravan.transforms.cjs', 'password.txt']);
  for (const entry of readdirSync(folderName, { withFileTypes: true, recursive: true })) {
    const file = path.relative(folder.dir, path.join(entry.parentPath, entry.name));
    if (entry.isFile() && !own.has(file.split(path.sep)[0] ?? '')) search(`file ${file}`, readFileSync(path.join(folder.dir, file)), null);
  }
}

/** No hit but in the places that exist to hold such values. */
function judge(): void {
  const leaks = found.filter(({ place, mark }) => !(mark && ALLOWED[place]?.kind === mark.kind));
  const shown = leaks.map(({ place, form, mark, around }) => `${place} (${form}): ${mark ? `${mark.kind}, ${mark.planted}` : 'a part of a mark'}: ${around}`);
  expect(shown).toEqual([]);
  // The marks did go through, and there were enough of them.
  const used = new Set(found.map(({ place }) => place));
  expect(['quarantine.content', 'split.cursor_key', 'commit.to_key', 'before_image.image', 'difference.target_key', 'rollback_conflict.content', 'plan.body'].filter((column) => !used.has(`new.caravan.${column}`))).toEqual([]);
  expect([marks.count('secret') >= 15, marks.count('row') >= 400, marks.count('plan') >= 12, new Set(searched).size >= 250]).toEqual([true, true, true, true]);
}
