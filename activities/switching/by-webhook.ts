import { createHmac } from 'node:crypto';
import type { Endpoint } from '../dependencies';
import { directionOf, type SwitchOrder, type SwitchWay } from './switch-way';

const TIMEOUT_MS = 10_000;
const TRIES = 3;
const PAUSE_MS = 500;
const ANSWER_BYTES_MAX = 4_096;

/**
 * A signed POST says `{"id", "migration", "application", "to": "new" | "legacy", "epoch"}`; a signed GET is answered with `{"active": "new" | "legacy"}`.
 * Headers: `x-caravan-timestamp` (seconds), `x-caravan-id` (the same for every try of one step), `x-caravan-signature: v1=HEX`, the HMAC-SHA256 of
 * `TIMESTAMP.ID.BODY` under the secret (a GET has an empty body). The receiver refuses old timestamps and lower epochs, and treats an id it knows as done.
 */
export function switchByWebhook({ address, secret, variable }: Endpoint, order: SwitchOrder): SwitchWay {
  const call = async (method: 'GET' | 'POST', body: string): Promise<string> => {
    if (secret === undefined) throw new Error(`its secret is missing: set ${variable}_SECRET`);
    for (let attempt = 1; ; attempt++) {
      const answer = await callOnce(address, { method, body, secret, order });
      if ('text' in answer) return answer.text;
      if (attempt === TRIES || !answer.again) throw new Error(answer.problem);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** (attempt - 1)));
    }
  };
  return {
    async set(to) {
      const { id, migration, application, epoch } = order;
      await call('POST', JSON.stringify({ id, migration, application, to, epoch }));
    },
    read: async () => activeOf(await call('GET', '')),
  };
}

interface Call { method: 'GET' | 'POST'; body: string; secret: string; order: SwitchOrder }

/** What went wrong is told without the address and the answer: both may hold secrets. */
async function callOnce(address: string, { method, body, secret, order }: Call): Promise<{ text: string } | { problem: string; again: boolean }> {
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', secret).update(`${timestamp}.${order.id}.${body}`).digest('hex');
  try {
    const response = await fetch(address, {
      method, redirect: 'manual', signal: AbortSignal.any([order.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      ...(method === 'POST' ? { body } : {}),
      headers: { 'content-type': 'application/json', 'user-agent': 'caravan', 'x-caravan-timestamp': String(timestamp), 'x-caravan-id': order.id, 'x-caravan-signature': `v1=${signature}` },
    });
    if (response.ok) return { text: await bounded(response) };
    await response.body?.cancel();
    return { problem: `its ${method} was answered ${response.status}`, again: response.status >= 500 || response.status === 429 };
  } catch (error) {
    order.signal.throwIfAborted();
    return { problem: error instanceof Error && error.name === 'TimeoutError' ? `its ${method} had no answer within ${TIMEOUT_MS / 1000} s` : `its ${method} could not be delivered`, again: true };
  }
}

/** The first 4 KB; more is nothing that was asked for. */
async function bounded(response: Response): Promise<string> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of response.body ?? []) {
    bytes = Buffer.concat([bytes, Buffer.from(chunk as Uint8Array)]);
    if (bytes.length > ANSWER_BYTES_MAX) break;
  }
  return bytes.toString('utf8');
}

function activeOf(text: string): ReturnType<typeof directionOf> {
  try {
    const answer = JSON.parse(text) as { active?: unknown } | null;
    return typeof answer?.active === 'string' ? directionOf(answer.active) : 'unclear';
  } catch {
    return 'unclear';
  }
}
