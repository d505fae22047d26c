import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const ROOT = path.join(__dirname, '../..');
const SERVERS = path.join(ROOT, '.caravan/demo/servers');
const LIMIT_MS = 240_000;

interface Ended { code: number | null; output: string }

const folder = mkdtempSync(path.join(tmpdir(), 'caravan-demo-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The demo in its small form, as `npm run demo` starts it: no terminal, nothing given. */
function startDemo(report: string, ...more: string[]): { demo: ChildProcessWithoutNullStreams; ended: Promise<Ended>; said: (text: string | RegExp) => Promise<string> } {
  const demo = spawn(process.execPath, ['scripts/run-typescript.cjs', 'scripts/demo/demo.ts', '--rows', 'small', '--report', report, ...more], {
    cwd: ROOT, env: { ...process.env, LC_ALL: 'C.UTF-8', NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  demo.stdin.end();
  let output = '';
  const listeners = new Set<() => void>();
  const take = (chunk: Buffer): void => {
    output += chunk.toString('utf8');
    for (const listener of listeners) listener();
  };
  demo.stdout.on('data', take);
  demo.stderr.on('data', take);
  const ended = new Promise<Ended>((resolve) => demo.once('close', (code) => resolve({ code, output })));
  const said = (text: string | RegExp): Promise<string> => new Promise((resolve, reject) => {
    const look = (): void => {
      if (typeof text === 'string' ? !output.includes(text) : !text.test(output)) return;
      listeners.delete(look);
      resolve(output);
    };
    listeners.add(look);
    void ended.then(() => reject(new Error(`the demo ended before it said ${String(text)}:\n${output}`)));
    look();
  });
  return { demo, ended, said };
}

function serversOf(demo: ChildProcessWithoutNullStreams): string {
  return path.join(SERVERS, String(demo.pid));
}

/** Processes whose command line names the folder of that demo's servers. */
function left(demo: ChildProcessWithoutNullStreams): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(serversOf(demo)));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

test('the demo migrates the shop, accounts for every row, proves it, and leaves nothing behind', async () => {
  const report = path.join(folder, 'report.html');
  const { demo, ended } = startDemo(report);
  const { code, output } = await ended;
  expect({ code, output }).toMatchObject({ code: 0 });

  // The address of the UI comes before anything is seeded.
  expect(output.indexOf('Temporal Web UI:')).toBeGreaterThan(0);
  expect(output.indexOf('Temporal Web UI:')).toBeLessThan(output.indexOf('The legacy shop has'));
  expect(output).toMatch(/shop is complete/);
  const [read, written, quarantined] = ['read', 'written', 'quarantined'].map((name) => Number(new RegExp(`^ +${name} +([\\d,]+)`, 'm').exec(output)?.[1]?.replaceAll(',', '')));
  expect(read).toBe((written ?? 0) + (quarantined ?? 0));
  expect(quarantined).toBeGreaterThan(50);
  for (const reason of ['format:email (email)', 'required (email)', 'unique (email)', 'orphan (customer_id)', 'parent_quarantined (order_id)', 'transform:to_iso_datetime (created_at)']) expect(output).toContain(reason);
  expect(output).toMatch(/every row by hash, both ways: [\d,]+ equal, [\d,]+ in quarantine, 0 missing, extra or different/);
  expect(output).not.toMatch(/\d failed/);
  const page = readFileSync(report, 'utf8');
  expect(page).toContain('Legacy shop to the new platform');
  // The report holds no row values.
  expect(page).not.toMatch(/@example/);

  expect(existsSync(serversOf(demo))).toBe(false);
  expect(left(demo)).toEqual([]);
}, LIMIT_MS);

test('--rollback full takes it back: what the new side wrote came home, and only the old side accepts writes', async () => {
  const { demo, ended } = startDemo(path.join(folder, 'back.html'), '--rollback', 'full');
  const { code, output } = await ended;
  expect({ code, output }).toMatchObject({ code: 4 });
  expect(output).toMatch(/team_briefed +approved by the demo, in the place of Tess Turner, technical lead/);
  expect(output).toContain('shop-reversible is rolled back (full)');
  expect(output).toContain('the old side accepts writes, the new one refuses them; the application works on legacy');
  expect(output).toMatch(/orders of the last hour +0 +1\ntheir lines +0 +1\nsum of the three prices +([\d.]+) +(?!\1)[\d.]+\nthe new category +0 +1\npayments +600 +599/);
  expect(left(demo)).toEqual([]);
}, LIMIT_MS);

test('Ctrl-C in the middle ends it with 130 and leaves nothing behind', async () => {
  const { demo, ended, said } = startDemo(path.join(folder, 'interrupted.html'));
  await said('customers: ');
  demo.kill('SIGINT');
  const { code, output } = await ended;
  expect({ code, output }).toMatchObject({ code: 130 });
  expect(output).toContain('Interrupted');
  expect(output).not.toMatch(/^\s+at /m);
  expect(existsSync(serversOf(demo))).toBe(false);
  expect(left(demo)).toEqual([]);
}, LIMIT_MS);

test('a server that dies in the middle ends it with the reason', async () => {
  if (process.platform !== 'linux') return;
  const { demo, ended, said } = startDemo(path.join(folder, 'broken.html'));
  await said('customers: ');
  const temporal = left(demo).find((pid) => commandLine(pid).includes('start-dev'));
  const postgres = left(demo).find((pid) => /postgres\0.*\/legacy\//.test(commandLine(pid)));
  expect({ temporal, postgres }).toMatchObject({ postgres: expect.stringMatching(/^\d+$/) as string });
  process.kill(Number(postgres), 'SIGKILL');
  const { code, output } = await ended;
  expect({ code, output }).toMatchObject({ code: 1 });
  expect(output).toMatch(/PostgreSQL "legacy" ended in the middle of the demo/);
  expect(left(demo)).toEqual([]);
}, LIMIT_MS);
