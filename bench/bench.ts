/**
 * Caravan's shipped copy path (rename, datetime conversion, rules, exactly-once commits, primary key in place) against a plain
 * `psql COPY | COPY` text pipe into a heap. Runs are interleaved on the same two servers; only ratios mean anything.
 *
 *   npm run bench -- [--rows 2000000] [--rounds 5]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { Client } from 'pg';
import pino from 'pino';
import { createActivities, type Activities } from '../activities';
import type { RunRef } from '../migration/protocol';
import { startStack, type Stack } from '../scripts/stack';
import { readConnections } from '../workers/connections';
import { buildDependencies } from '../workers/dependencies';
import { CREATE_PEER_TARGET, CREATE_SOURCE, CREATE_TARGET, fillSource, PLAN } from './workload';

const { values } = parseArgs({ options: { rows: { type: 'string', default: '2000000' }, rounds: { type: 'string', default: '5' } } });
const rows = Number(values.rows);
const rounds = Number(values.rounds);

interface Method { name: string; run(): Promise<void> }

async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-bench-'));
  const stack = await startStack({ dir: folder, temporal: false, onProgress: (line) => console.error(line) });
  try {
    await measure(stack, folder);
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(stack: Stack, folder: string): Promise<void> {
  const legacyUrl = urlOf(stack, 'legacy');
  const newUrl = urlOf(stack, 'new');
  await execute(legacyUrl, CREATE_SOURCE);
  console.error(`${rows} rows ...`);
  await execute(legacyUrl, `${fillSource(rows)}; VACUUM ANALYZE contacts`.split(';'));
  const env = { CARAVAN_CONNECTION_LEGACY: legacyUrl, CARAVAN_CONNECTION_NEW: newUrl };
  const reset = (table: string) => execute(newUrl, ['DROP TABLE IF EXISTS contacts', 'DROP SCHEMA IF EXISTS caravan CASCADE', table, 'CHECKPOINT']);
  const methods: Method[] = [
    { name: 'psql COPY | COPY, text, heap', run: () => timed(() => reset(CREATE_PEER_TARGET), () => pipe(legacyUrl, newUrl, 'text')) },
    { name: 'psql COPY | COPY, binary, heap', run: () => timed(() => reset(CREATE_PEER_TARGET), () => pipe(legacyUrl, newUrl, 'binary')) },
    { name: 'caravan, all stages, exactly once', run: () => timed(() => reset(CREATE_TARGET), () => caravan(env, folder)) },
  ];
  const times = new Map<string, number[]>(methods.map((method) => [method.name, []]));
  let elapsed = 0;
  async function timed(before: () => Promise<void>, work: () => Promise<void>): Promise<void> {
    await before();
    const start = performance.now();
    await work();
    elapsed = (performance.now() - start) / 1000;
  }
  for (let round = 0; round < rounds; round += 1) {
    // Every order comes up: a slow minute of the machine hits all methods alike.
    for (let at = 0; at < methods.length; at += 1) {
      const method = methods[(at + round) % methods.length]!;
      await method.run();
      const { rows: counted } = await query<{ n: string }>(newUrl, 'SELECT count(*) AS n FROM contacts');
      if (Number(counted[0]?.n) !== rows) throw new Error(`${method.name}: ${counted[0]?.n ?? 'no'} rows arrived of ${rows}`);
      times.get(method.name)?.push(elapsed);
      console.error(`round ${round + 1}  ${method.name.padEnd(36)} ${elapsed.toFixed(2)} s`);
    }
  }
  report(methods, times);
}

async function caravan(env: Record<string, string>, folder: string): Promise<void> {
  const deps = buildDependencies({ connections: readConnections({ env, cwd: folder }), env, log: pino({ level: 'silent' }), stagingFolder: path.join(folder, 'staging') });
  try {
    await copyContacts(createActivities(deps));
  } finally {
    await deps.systems.close();
  }
}

async function copyContacts(activities: Activities): Promise<void> {
  const call = <I, O>(activity: (input: I) => Promise<O>, input: I): Promise<O> => new MockActivityEnvironment().run<[I], O, (given: I) => Promise<O>>(activity, input);
  const { ref } = await call(activities.admit, { plan: PLAN, workflowId: 'bench', firstRunId: String(Date.now()) });
  const opened = await call(activities.openDataset, { ref, dataset: 'contacts' });
  const waiting = [...opened.unfinished];
  const lane = async (runRef: RunRef): Promise<void> => {
    for (let ordinal = waiting.shift(); ordinal !== undefined; ordinal = waiting.shift()) {
      for (;;) {
        const { state } = await call(activities.copySplit, { ref: runRef, dataset: 'contacts', generation: opened.generation, ordinal, sliceMs: 60_000 });
        if (state === 'done') break;
      }
    }
  };
  await Promise.all(Array.from({ length: PLAN.batch.parallel_workers }, () => lane(ref)));
  await call(activities.closeDataset, { ref, dataset: 'contacts' });
}

function pipe(from: string, to: string, format: 'text' | 'binary'): Promise<void> {
  const reader = spawn('psql', ['-qAtX', from, '-c', `COPY contacts TO STDOUT (FORMAT ${format})`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const writer = spawn('psql', ['-qAtX', to, '-c', `COPY contacts FROM STDIN (FORMAT ${format})`], { stdio: [reader.stdout, 'ignore', 'inherit'] });
  const ended = (child: typeof reader | typeof writer) => new Promise<void>((resolve, reject) => {
    child.on('error', () => reject(new Error('the peer needs `psql` on PATH (package postgresql-client)')));
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`psql ended with ${code ?? 'a signal'}`))));
  });
  return Promise.all([ended(reader), ended(writer)]).then(() => undefined);
}

function report(methods: readonly Method[], times: ReadonlyMap<string, number[]>): void {
  const base = times.get(methods[0]!.name) ?? [];
  console.log(`\n${rows} rows, ${rounds} interleaved rounds; speed as a ratio to the first line, per round`);
  for (const { name } of methods) {
    const own = times.get(name) ?? [];
    const ratios = own.map((seconds, round) => (base[round] ?? NaN) / seconds).sort((a, b) => a - b);
    console.log(`${name.padEnd(36)} median ${median(own).toFixed(2)} s   ratio ${median(ratios).toFixed(2)} [${ratios[0]?.toFixed(2) ?? ''} - ${ratios.at(-1)?.toFixed(2) ?? ''}]`);
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function urlOf(stack: Stack, name: string): string {
  const service = stack.postgres[name];
  if (!service) throw new Error(`the stack has no PostgreSQL called ${name}`);
  return service.url;
}

async function query<T extends object>(url: string, sql: string): Promise<{ rows: T[] }> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query<T>(sql);
  } finally {
    await client.end();
  }
}

async function execute(url: string, sql: string | string[]): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of typeof sql === 'string' ? [sql] : sql) await client.query(statement);
  } finally {
    await client.end();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
