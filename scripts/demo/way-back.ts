import { Client } from 'pg';
import { WorkflowFailedError, type Client as TemporalClient } from '@temporalio/client';
import { TASK_QUEUE, WORKFLOWS, type RollbackResult, type RollbackStart, type RollbackTier } from '../../migration/protocol';
import { failureOf } from '../commands/temporal-calls';
import { formatCount } from '../terminal/quantities';
import { renderTable } from '../terminal/table';
import type { Terminal } from '../terminal/terminal';

/** What the shop does on its new database after the cutover: a new order with its line, new prices, a new category, a payment that is called back. */
const BUSINESS = `
INSERT INTO orders (order_id, customer_id, status, channel, ordered_at, total, currency) SELECT (SELECT max(order_id) + 1 FROM orders), 7, status, 'web', now(), 42.50, 'EUR' FROM orders ORDER BY order_id LIMIT 1;
INSERT INTO order_lines (order_id, line_no, product_id, quantity, unit_price) SELECT order_id, 1, 3, 2, 21.25 FROM orders WHERE ordered_at > now() - interval '1 hour';
UPDATE products SET price = price + 1 WHERE product_id IN (3, 5, 8);
INSERT INTO categories (category_id, name, sort_order) VALUES (901, 'Gifts', 9);
DELETE FROM payments WHERE payment_id = (SELECT min(payment_id) FROM payments)`;

/** Facts of the legacy side that show whether those writes came home. Each is one number. */
const HOME = {
  'orders of the last hour': 'SELECT count(*) FROM orders WHERE placed_at > now() - interval \'1 hour\'',
  'their lines': 'SELECT count(*) FROM order_lines l JOIN orders o USING (order_id) WHERE o.placed_at > now() - interval \'1 hour\'',
  'sum of the three prices': 'SELECT sum(price) FROM products WHERE product_id IN (3, 5, 8)',
  'the new category': 'SELECT count(*) FROM categories WHERE category_id = 901',
  payments: 'SELECT count(*) FROM payments',
};

export interface WayBack { result: RollbackResult; facts: { fact: string; before: string; after: string }[]; legacyWritable: boolean; newWritable: boolean; application: string }

/** Lets the shop work on the new side for a moment, takes the migration back, and asks both databases what became of it. */
export async function takeBack(temporal: TemporalClient, urls: { legacy: string; new: string }, migration: string, tier: RollbackTier): Promise<WayBack> {
  const before = await factsOf(urls.legacy);
  await run(urls.new, (client) => client.query(BUSINESS));
  const start: RollbackStart = { migration, tier, by: 'the demo', reason: 'to show the way back', confirm: migration, policy: 'restore_old' };
  const result = await temporal.workflow.execute(WORKFLOWS.rollback, { workflowId: `rollback-${migration}`, taskQueue: TASK_QUEUE, args: [start], staticSummary: `${migration}, back (${tier})` })
    .catch((error: unknown) => { throw (error instanceof WorkflowFailedError && failureOf(error)) || error; }) as RollbackResult;
  const after = await factsOf(urls.legacy);
  return {
    result, facts: Object.keys(HOME).map((fact) => ({ fact, before: before[fact] ?? '', after: after[fact] ?? '' })),
    legacyWritable: await isWritable(urls.legacy), newWritable: await isWritable(urls.new),
    application: await run(urls.new, async (client) => (await client.query<{ database: string }>('SELECT database FROM ops.shop_app')).rows[0]?.database ?? ''),
  };
}

/** True when one side, the old one, is the writing one again. */
export function isBack({ result, legacyWritable, newWritable, application }: WayBack): boolean {
  return result.status === 'rolled_back' && legacyWritable && !newWritable && application === 'legacy';
}

export function renderWayBack(back: WayBack, { color, marks }: Terminal): string[] {
  const { result, facts } = back;
  const sum = (field: 'removed' | 'restored' | 'conflicts' | 'exported'): string => formatCount(result.datasets.reduce((total, one) => total + one[field], 0));
  const mark = (good: boolean): string => (good ? color.green(marks.ok) : color.red(marks.bad));
  return [
    `${mark(isBack(back))} ${result.migration} is ${result.status.replace('_', ' ')} (${result.tier})`,
    `  ${mark(back.legacyWritable && !back.newWritable)} the old side ${back.legacyWritable ? 'accepts' : 'refuses'} writes, the new one ${back.newWritable ? 'accepts' : 'refuses'} them; the application works on ${back.application}`,
    ...(result.tier === 'full' ? [] : [`  on the new side: ${sum('removed')} rows removed, ${sum('restored')} restored; ${sum('exported')} writes of the shop kept apart in caravan.exported_row, ${sum('conflicts')} rows listed as changed since`]),
    '', ...renderTable([{ title: 'on the old side' }, { title: 'before', align: 'right' }, { title: 'now', align: 'right' }], facts.map((one) => [one.fact, one.before, one.after]), color.dim),
  ];
}

async function factsOf(url: string): Promise<Record<string, string>> {
  return run(url, async (client) => {
    const facts: Record<string, string> = {};
    for (const [fact, sql] of Object.entries(HOME)) facts[fact] = String(Object.values((await client.query<Record<string, unknown>>(sql)).rows[0] ?? {})[0]);
    return facts;
  });
}

async function isWritable(url: string): Promise<boolean> {
  return run(url, (client) => client.query('BEGIN; DELETE FROM orders WHERE false; ROLLBACK').then(() => true, () => false));
}

async function run<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
