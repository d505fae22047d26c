import { Client } from 'pg';
import type { SeedStep } from './legacy-shop';

/** Runs the steps on one session, in order. Answers how many rows they made. */
export async function seedDatabase(url: string, steps: SeedStep[], onStep: (label: string, rows: number) => void): Promise<number> {
  // Nobody needs these rows after a crash of the server.
  const client = new Client({ connectionString: url, options: '-c synchronous_commit=off' });
  // A server that ends is told by its own watch; without a listener it would end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    let rows = 0;
    for (const step of steps) {
      const answer: unknown = await client.query(step.sql);
      const made = insertedRows(answer);
      rows += made;
      onStep(step.label, made);
    }
    return rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** One statement answers one result, several answer a list. */
function insertedRows(answer: unknown): number {
  const results = (Array.isArray(answer) ? answer : [answer]) as { command?: string; rowCount?: number | null }[];
  return results.reduce((sum, result) => sum + (result.command === 'INSERT' ? (result.rowCount ?? 0) : 0), 0);
}
