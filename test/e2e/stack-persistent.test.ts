import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client as TemporalClient, Connection } from '@temporalio/client';
import { attachOrStartTemporal, environmentFile, runningTemporal, stackDown, stackStatus, stackUp, stateFile, type ProjectTemporal } from '../../scripts/stack';
import { identifyProcess, isStillRunning } from '../../scripts/stack/process-identity';
import { writePrivateFile } from '../../scripts/stack/private-file';
import { answersDescribe } from '../../scripts/stack/temporal-health';

const repository = path.resolve(__dirname, '../..');
const env: NodeJS.ProcessEnv = { ...process.env, TEMPORAL_ADDRESS: undefined };

let project: string;
beforeEach(() => (project = mkdtempSync(path.join(tmpdir(), 'caravan-persistent-'))));
afterEach(async () => {
  await stackDown(project);
  rmSync(project, { recursive: true, force: true });
});

interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `caravan stack ARGS` in a process of its own, in the project's folder. */
function stackCommand(args: string[], extra: NodeJS.ProcessEnv = {}): Finished {
  const program = `
    const { createRequire } = require('node:module');
    const inRepository = createRequire(process.argv[1] + '/package.json');
    inRepository('tsx/cjs');
    const { Command } = inRepository('commander');
    const command = new Command('caravan');
    inRepository('./scripts/stack/index.ts').registerStackCommand(command);
    command.parseAsync(['node', 'caravan', 'stack', ...process.argv.slice(2)]);`;
  return spawnSync(process.execPath, ['-e', program, '--', repository, ...args], { cwd: project, env: { ...env, ...extra }, encoding: 'utf8' });
}

describe('the command "stack"', () => {
  it('starts servers that outlive it, keeps them, and stops them', async () => {
    const up = stackCommand(['up', '--postgres', 'alpha', '--json']);
    expect({ status: up.status, stderr: up.stderr }).toEqual({ status: 0, stderr: '' });
    const before = await stackStatus(project);
    expect(before.map(({ name, state }) => [name, state])).toEqual([['temporal', 'running'], ['alpha', 'running']]);
    expect(up.stdout).not.toContain(new URL(before[1]!.url).password);
    for (const file of [stateFile(project), environmentFile(project)]) expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(environmentFile(project), 'utf8')).toContain(`export CARAVAN_CONNECTION_ALPHA='${before[1]!.url}'`);

    // A shell that read the file names our own server: it is still ours.
    expect(stackCommand(['up', '--postgres', 'alpha'], { TEMPORAL_ADDRESS: before[0]!.url }).status).toBe(0);
    expect(await stackStatus(project)).toEqual(before);
    expect(stackCommand(['logs', 'alpha', '--lines', '5']).stdout).toContain('ready to accept connections');

    expect(JSON.parse(stackCommand(['down', '--json']).stdout)).toEqual({ stopped: ['temporal', 'alpha'] });
    expect(before.filter((record) => isStillRunning(record.process!))).toEqual([]);
    expect((await stackStatus(project)).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
    expect(existsSync(environmentFile(project))).toBe(false);
  }, 180_000);

  it('answers with exit codes', () => {
    expect(stackCommand(['status']).status).toBe(0);
    expect(stackCommand(['logs', 'nobody']).status).toBe(5);
    expect(stackCommand(['logs', '--lines', 'many']).status).toBe(2);
    expect(stackCommand(['up', '--postgres', 'a/b']).status).toBe(2);
    const missing = stackCommand(['up', '--no-postgres'], { PATH: '/nowhere', CARAVAN_CACHE: path.join(project, 'empty-cache') });
    expect(missing.status).toBe(5);
    expect(missing.stderr).toMatch(/Temporal cannot be provided[^]*One of these would help/);
    expect(stackCommand(['up', '--help']).stdout).toContain('Example:');
  }, 180_000);

  it('shows by "doctor" how each server would be had', () => {
    const { status, stdout } = stackCommand(['doctor', '--json'], { CARAVAN_STACK_NEW_URL: 'postgres://given.example/postgres' });
    expect(status).toBe(0);
    const { services } = JSON.parse(stdout) as { services: { service: string; ok: boolean; rungs: { rung: string; used: boolean }[] }[] };
    expect(services.map(({ service, ok }) => [service, ok])).toEqual([['Temporal', true], ['PostgreSQL "legacy"', true], ['PostgreSQL "new"', true]]);
    expect(services[2]!.rungs.find(({ used }) => used)!.rung).toBe('given address');
    const missing = stackCommand(['doctor'], { PATH: '/nowhere', CARAVAN_CACHE: path.join(project, 'empty-cache') });
    expect(missing.status).toBe(5);
    expect(missing.stdout).toMatch(/Temporal {2}missing[^]*python3 with pip is not installed[^]*One of these would help/);
  }, 180_000);
});

describe('the persistent stack', () => {
  it('never stops a process that it did not start', async () => {
    const innocent = spawn('sleep', ['60']);
    const identity = identifyProcess(innocent.pid!)!;
    const record = { service: 'postgres', name: 'alpha', provider: 'x', url: 'postgres://postgres:x@127.0.0.1:1/postgres', logFile: '/none', process: { ...identity, startedAt: 'before the last boot' } };
    writePrivateFile(stateFile(project), JSON.stringify({ services: [record] }));
    expect((await stackStatus(project))[0]!.state).toBe('stopped');
    expect(await stackDown(project)).toEqual([]);
    expect(isStillRunning(identity)).toBe(true);
    innocent.kill();
  });

  it('starts again what was killed, on the same data and port', async () => {
    const [first] = await stackUp(project, { temporal: false, postgres: ['alpha'], env });
    process.kill(first!.process!.pid, 'SIGKILL');
    while (isStillRunning(first!.process!)) await new Promise((resolve) => setTimeout(resolve, 20));
    const [again] = await stackUp(project, { temporal: false, postgres: ['alpha'], env });
    expect(again).toMatchObject({ state: 'running', url: first!.url });
    expect(again!.process).not.toEqual(first!.process);
  }, 180_000);
});

describe('the Temporal of a project', () => {
  let opened: ProjectTemporal[];
  beforeEach(() => (opened = []));
  afterEach(async () => {
    for (const temporal of opened) await temporal.stop();
  });
  const open = async (): Promise<ProjectTemporal> => {
    const temporal = await attachOrStartTemporal(project, { env });
    opened.push(temporal);
    return temporal;
  };

  it('is started once, attached to, and keeps its workflows over a restart', async () => {
    const [one, two] = await Promise.all([open(), open()]);
    expect([one.attached, two.attached].sort()).toEqual([false, true]);
    expect(two.address).toBe(one.address);
    await withClient(one.address, (client) => client.workflow.start('migration', { workflowId: 'kept', taskQueue: 'nobody-serves-this' }));
    await Promise.all([one.stop(), two.stop()]);
    expect(runningTemporal(project)).toBeUndefined();
    const again = await open();
    expect(again).toMatchObject({ attached: false, address: one.address, uiUrl: one.uiUrl });
    const status = await withClient(again.address, async (client) => (await client.workflow.getHandle('kept').describe()).status.name);
    expect(status).toBe('RUNNING');
  }, 180_000);

  it('is taken over, on the same address, when the command that started it is killed', async () => {
    const program = `
      require('tsx/cjs');
      require('./scripts/stack/index.ts').attachOrStartTemporal(process.argv[1]).then(() => { console.log('up'); setInterval(() => {}, 1000); });`;
    const starter = spawn(process.execPath, ['-e', program, project], { cwd: repository, env, stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => starter.stdout.once('data', resolve));
    const attached = await open();
    expect(attached.attached).toBe(true);
    const before = runningTemporal(project)!;
    starter.kill('SIGKILL');
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline && [undefined, before.process.pid].includes(runningTemporal(project)?.process.pid)) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(runningTemporal(project)).toMatchObject({ address: before.address, uiUrl: before.uiUrl });
    expect(await answersDescribe(attached.address)).toBe(true);
    await attached.stop();
    expect(runningTemporal(project)).toBeUndefined();
  }, 180_000);
});

async function withClient<T>(address: string, use: (client: TemporalClient) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await use(new TemporalClient({ connection }));
  } finally {
    await connection.close();
  }
}
