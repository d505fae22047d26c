import { createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { switchApplication } from '../../activities/switching/application-switch';
import { parsePlan } from '../../migration/plan/parse';
import type { Plan } from '../../migration/plan/schema';
import { openEndpoints } from '../../workers/endpoints';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';

jest.setTimeout(120_000);

describe('applications are switched', () => {
  let run: ActivitiesRun;
  const folder = mkdtempSync(path.join(tmpdir(), 'caravan-switch-'));
  const env: Record<string, string> = {};
  beforeAll(async () => {
    run = await activitiesRun('switch');
    run.deps.endpoints = openEndpoints(env);
    await run.target.query(`CREATE TABLE routing (app text PRIMARY KEY, side text, hits int DEFAULT 0); INSERT INTO routing VALUES ('shop', 'legacy')`);
  });
  afterAll(() => run.close());
  const planOf = (way: object): Plan =>
    parsePlan(JSON.stringify({ migration: 'switching', datasets: { a: { source: { connection: 'legacy' }, target: { connection: 'new' } } }, cutover: { switch: [{ name: 'shop', ...way }] } })).plan;
  const there = (plan: Plan, to: 'new' | 'legacy') => switchApplication(run.deps, plan, 'shop', to, { epoch: 7, attempt: 2 });

  test('by SQL, again and back; what the statement says is not repeated', async () => {
    const sql = { connection: 'new', to_new: `UPDATE routing SET side = 'new' WHERE app = 'shop'`, to_legacy: `UPDATE routing SET side = 'legacy' WHERE app = 'shop'`, read_back: `SELECT side FROM routing WHERE app = 'shop'` };
    for (const to of ['new', 'new', 'legacy'] as const) {
      expect(await there(planOf({ sql }), to)).toMatchObject({ active: to, way: 'sql' });
      expect((await run.target.query(`SELECT side FROM routing`)).rows).toEqual([{ side: to }]);
    }
    await expect(there(planOf({ sql: { ...sql, to_new: `DO $$ BEGIN RAISE EXCEPTION 'secret-in-answer'; END $$` } }), 'new')).rejects.toMatchObject({ code: 'SWITCH_FAILED', message: expect.not.stringContaining('secret-in-answer') as string });
    await expect(there(planOf({ sql: { ...sql, to_new: 'SELECT 1' } }), 'new')).rejects.toMatchObject({ code: 'SWITCH_FAILED', message: expect.stringContaining('read-back still says "legacy"') as string });
  });

  test('by a file, as a whole, keeping its mode and leaving nothing beside it', async () => {
    const file = path.join(folder, 'upstream.conf');
    writeFileSync(file, 'server old;\n');
    chmodSync(file, 0o640);
    const plan = planOf({ file: { path: file, new: 'server new;\n', legacy: 'server old;\n' } });
    await there(plan, 'new');
    await there(plan, 'new');
    expect(readFileSync(file, 'utf8')).toBe('server new;\n');
    expect(statSync(file).mode & 0o777).toBe(0o640);
    await there(plan, 'legacy');
    expect(readFileSync(file, 'utf8')).toBe('server old;\n');
    expect(readdirSync(folder)).toEqual(['upstream.conf']);
    await expect(there(planOf({ file: { path: path.join(folder, 'no', 'such.conf'), new: 'a', legacy: 'b' } }), 'new')).rejects.toMatchObject({ code: 'SWITCH_FAILED', message: expect.stringContaining('ENOENT') as string });
  });

  test('by a command, with what it prints kept to itself', async () => {
    const state = path.join(folder, 'state');
    env['CARAVAN_COMMAND_ROUTE'] = `sh -c 'if [ "$1" = read ]; then cat "${state}"; else echo "$1" > "${state}"; echo "$CARAVAN_SWITCH_ID" > "${state}.id"; fi' route`;
    await there(planOf({ command: 'route' }), 'new');
    expect(readFileSync(state, 'utf8')).toBe('new\n');
    expect(readFileSync(`${state}.id`, 'utf8')).toBe('switching/shop/2/new/7\n');
    env['CARAVAN_COMMAND_BROKEN'] = 'echo secret-in-answer; exit 3 #';
    await expect(there(planOf({ command: 'broken' }), 'new')).rejects.toMatchObject({ code: 'SWITCH_FAILED', message: expect.stringMatching(/^(?!.*secret-in-answer).*ended with code 3.*Run the command broken/) as string });
    await expect(there(planOf({ command: 'unknown' }), 'new')).rejects.toMatchObject({ code: 'SWITCH_FAILED', message: expect.stringContaining('CARAVAN_COMMAND_UNKNOWN') as string });
  });

  describe('by a webhook', () => {
    let server: Server;
    let answer: (request: IncomingMessage, body: string) => { status: number; body?: string };
    const seen: { method: string; body: string; headers: IncomingMessage['headers'] }[] = [];
    beforeAll(async () => {
      server = createServer((request, response) => {
        let body = '';
        request.on('data', (chunk: Buffer) => { body += chunk.toString(); });
        request.on('end', () => {
          seen.push({ method: request.method ?? '', body, headers: request.headers });
          const { status, body: text } = answer(request, body);
          response.writeHead(status).end(text);
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      env['CARAVAN_WEBHOOK_ROUTER'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token-in-path`;
      env['CARAVAN_WEBHOOK_ROUTER_SECRET'] = 'the secret';
    });
    afterAll(() => new Promise((resolve) => server.close(resolve)));
    beforeEach(() => { seen.length = 0; });
    const plan = () => planOf({ webhook: 'router' });

    test('signed, with the same id for every try, and read back', async () => {
      let active = 'legacy';
      let failures = 1;
      answer = ({ method }, body) => {
        if (failures-- > 0) return { status: 503 };
        if (method === 'POST') active = (JSON.parse(body) as { to: string }).to;
        return { status: 200, body: JSON.stringify({ active }) };
      };
      expect(await there(plan(), 'new')).toMatchObject({ active: 'new', way: 'webhook' });
      const posts = seen.filter(({ method }) => method === 'POST');
      expect(posts.map(({ body }) => JSON.parse(body) as unknown)).toEqual(Array(2).fill({ id: 'switching/shop/2/new/7', migration: 'switching', application: 'shop', to: 'new', epoch: 7 }));
      for (const { headers, body } of seen) {
        const expected = createHmac('sha256', 'the secret').update(`${headers['x-caravan-timestamp'] as string}.${headers['x-caravan-id'] as string}.${body}`).digest('hex');
        expect(headers['x-caravan-signature']).toBe(`v1=${expected}`);
      }
    });

    test('a receiver that fails, forwards, or answers nonsense is told without address and answer', async () => {
      for (const [wrong, words] of [[{ status: 500, body: 'secret-in-answer' }, 'answered 500'], [{ status: 302 }, 'answered 302'], [{ status: 200, body: 'secret-in-answer' }, 'neither "new" nor "legacy"']] as const) {
        answer = () => wrong;
        const message = await there(plan(), 'new').then(() => '', (error: Error) => error.message);
        expect(message).toContain(words);
        expect(message).toContain('webhook router');
        expect(message).not.toMatch(/secret-in-answer|the secret|token-in-path|127\.0\.0\.1/);
      }
    });
  });
});
