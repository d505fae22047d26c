import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import type { Notifiers } from '../activities/dependencies';
import { MigrationError } from '../migration/errors';
import { envSuffix, type Environment } from './connections';

const WEBHOOK_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 30_000;
const TRIES = 3;
const PAUSE_MS = 500;

/**
 * Sends to webhooks (`CARAVAN_WEBHOOK_<NAME>` is the address) as a JSON POST, and to commands (`CARAVAN_COMMAND_<NAME>` is a shell line) as JSON on stdin.
 * With `CARAVAN_WEBHOOK_<NAME>_SECRET`, the header `x-caravan-signature: t=SECONDS,v1=HEX` holds the HMAC-SHA256 of `SECONDS.BODY`.
 * Answers are not read; redirects are refused.
 */
export function openNotifiers(env: Environment): Notifiers {
  return {
    async send({ webhook, command }, payload) {
      const body = JSON.stringify({ ...payload, at: new Date().toISOString() });
      const failures: string[] = [];
      const told = async (what: string, work: Promise<void>): Promise<void> => work.catch((error: unknown) => void failures.push(`${what}: ${error instanceof Error ? error.message : 'failed'}`));
      if (webhook !== undefined) await told(`webhook ${webhook}`, post(webhook, body, env));
      if (command !== undefined) await told(`command ${command}`, run(command, body, env));
      if (failures.length > 0) throw new MigrationError('NOTIFY_FAILED', failures.join('; '));
    },
  };
}

async function post(name: string, body: string, env: Environment): Promise<void> {
  const variable = `CARAVAN_WEBHOOK_${envSuffix(name)}`;
  const address = env[variable];
  if (!address) throw new Error(`its address is missing: set ${variable}`);
  const key = env[`${variable}_SECRET`];
  for (let attempt = 1; ; attempt++) {
    const problem = await postOnce(address, body, key);
    if (problem === null) return;
    if (attempt === TRIES) throw new Error(problem);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** (attempt - 1)));
  }
}

/** What went wrong, without the address: it may hold a token. */
async function postOnce(address: string, body: string, key: string | undefined): Promise<string | null> {
  const seconds = Math.floor(Date.now() / 1000);
  const signature: Record<string, string> = key === undefined ? {} : { 'x-caravan-signature': `t=${seconds},v1=${createHmac('sha256', key).update(`${seconds}.${body}`).digest('hex')}` };
  try {
    const answer = await fetch(address, {
      method: 'POST', body, redirect: 'manual', signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
      headers: { 'content-type': 'application/json', 'user-agent': 'caravan', ...signature },
    });
    await answer.body?.cancel();
    return answer.ok ? null : `it answered ${answer.status}`;
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? `no answer within ${WEBHOOK_TIMEOUT_MS / 1000} s` : 'it could not be reached';
  }
}

function run(name: string, body: string, env: Environment): Promise<void> {
  const variable = `CARAVAN_COMMAND_${envSuffix(name)}`;
  const line = env[variable];
  if (!line) return Promise.reject(new Error(`what it runs is missing: set ${variable}`));
  return new Promise((resolve, reject) => {
    const child = spawn(line, { shell: true, stdio: ['pipe', 'ignore', 'ignore'], timeout: COMMAND_TIMEOUT_MS });
    child.on('error', () => reject(new Error('it could not be started')));
    child.on('close', (code, signal) => (code === 0 ? resolve() : reject(new Error(signal ? `it was stopped by ${signal}` : `it ended with code ${code ?? 'unknown'}`))));
    // A command that does not read its input is fine.
    child.stdin.on('error', () => undefined);
    child.stdin.end(body);
  });
}
