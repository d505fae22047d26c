import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { admit } from '../../activities/admit';
import { notify } from '../../activities/notify';
import type { NotifyInput, RunView } from '../../migration/protocol';
import { admission, ControlBench, inActivity, planOf } from '../fixtures/control-bench';

jest.setTimeout(60_000);

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

describe('notify', () => {
  const input = (view: RunView): NotifyInput => ({ ref: view.ref, event: 'blocked', blocked: [], message: 'users is blocked' });
  const notifying = { alerts: { notify: { webhook: 'ops', command: 'pager' } } };

  test('posts signed JSON to the webhook and gives it to the command', async () => {
    const bodies: { body: string; request: IncomingMessage }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => { body += part.toString(); });
      request.on('end', () => {
        bodies.push({ body, request });
        response.writeHead(bodies.length === 1 ? 503 : 204).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const file = path.join(bench.plans, 'told');
    const deps = bench.dependencies({ env: {
      CARAVAN_WEBHOOK_OPS: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, CARAVAN_WEBHOOK_OPS_SECRET: 'key', CARAVAN_COMMAND_PAGER: `cat > '${file}'`,
    } });
    const view = await admit(deps, admission('a', { plan: planOf(notifying) }));
    await inActivity(() => notify(deps, input(view)));
    server.close();
    expect(bodies).toHaveLength(2);
    const { body, request } = bodies[1] ?? { body: '', request: undefined };
    expect(JSON.parse(body)).toMatchObject({ event: 'blocked', migration: 'shop', link: 'http://127.0.0.1:8233/namespaces/default/workflows/workflow-a' });
    const [, seconds, signature] = /^t=(\d+),v1=(.*)$/.exec(String(request?.headers['x-caravan-signature'])) ?? [];
    expect(signature).toBe(createHmac('sha256', 'key').update(`${String(seconds)}.${body}`).digest('hex'));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ message: 'users is blocked' });
  });

  test('people hear also while the control store is away', async () => {
    const deps = bench.dependencies();
    const view = await admit(deps, admission('a', { plan: planOf({ project: 'Shop', ...notifying }) }));
    expect(view.notify).toEqual({ webhook: 'ops', command: 'pager', project: 'Shop' });
    const file = path.join(bench.plans, 'told');
    const away = bench.dependencies({ env: { CARAVAN_CONNECTION_NEW: 'postgres://u@127.0.0.1:9/x', CARAVAN_COMMAND_PAGER: `cat > '${file}'` } });
    await inActivity(() => notify(away, { ...input(view), to: { command: 'pager', project: 'Shop' }, workflowId: 'workflow-a' }));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      project: 'Shop', message: 'users is blocked', workflow_id: 'workflow-a', link: 'http://127.0.0.1:8233/namespaces/default/workflows/workflow-a',
    });
    await expect(inActivity(() => notify(away, { ...input(view), to: {} }))).resolves.toBeUndefined();
    await expect(inActivity(() => notify(away, input(view)))).rejects.toMatchObject({ code: 'SYSTEM_UNREACHABLE' });
  });

  test('a message that cannot be delivered is a transient failure, however often it was tried', async () => {
    const deps = bench.dependencies({ env: { CARAVAN_COMMAND_PAGER: 'exit 3' } });
    const view = await admit(deps, admission('a', { plan: planOf({ alerts: { notify: { command: 'pager' } } }) }));
    await expect(inActivity(() => notify(deps, input(view)))).rejects.toMatchObject({ code: 'NOTIFY_FAILED', kind: 'transient' });
    await expect(inActivity(() => notify(deps, input(view)), 4)).rejects.toMatchObject({ code: 'NOTIFY_FAILED' });
  });
});
