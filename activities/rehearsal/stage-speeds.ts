import type { Batch } from '../../migration/batch';
import type { StageSpeed } from '../../migration/preparation/rehearsal';
import { copyIn } from '../connectors/postgres/copy-in';
import { batchSections } from '../connectors/postgres/sink';
import { columnList, qualified } from '../connectors/postgres/sql';
import type { Pipeline } from '../dataset-pipeline';
import { readRows } from '../read-batch';
import { transformRows } from '../transform-batch';
import { validateRows } from '../validate-batch';

interface Spent { rows: number; bytes: number; ms: number }
export type StageTimes = Record<StageSpeed['stage'], Spent>;
export const noTimes = (): StageTimes => ({ read: { rows: 0, bytes: 0, ms: 0 }, transform: { rows: 0, bytes: 0, ms: 0 }, validate: { rows: 0, bytes: 0, ms: 0 }, write: { rows: 0, bytes: 0, ms: 0 } });

/** Rows of one dataset that are measured: enough to say something, few enough to hold. */
const ROWS_MAX = 50_000;

/**
 * Leads a dataset's rows through the four stages once more, each stage alone and timed; the writing into a table of the target's columns that is never committed.
 * Adds to `times`.
 */
export async function timeStages(pipeline: Pipeline, times: StageTimes, signal: AbortSignal): Promise<void> {
  const batches = await timed(times.read, async () => {
    const read: Batch[] = [];
    let rows = 0;
    for await (const { batch } of readRows(pipeline, { after: null, upTo: null }, null, signal)) {
      read.push(batch);
      rows += batch.rowCount;
      if (rows >= ROWS_MAX) break;
    }
    return read;
  });
  const transformed = await timed(times.transform, () => Promise.resolve(batches.map((batch) => transformRows(pipeline, batch).batch)));
  const validated = await timed(times.validate, () => Promise.resolve(transformed.map((batch) => validateRows(pipeline, batch).batch)));
  await timeWriting(pipeline, times.write, validated);
}

async function timeWriting(pipeline: Pipeline, spent: Spent, batches: Batch[]): Promise<void> {
  const { context, mapping } = pipeline;
  if (mapping.write.length === 0) return;
  const client = await context.target.connect();
  try {
    await client.query('BEGIN');
    // Columns only: rows that a key or a rule of the table refuses are the copy's to set aside, and would end the measurement here.
    await client.query(`CREATE TEMPORARY TABLE caravan_timed ON COMMIT DROP AS SELECT * FROM ${qualified({ schema: context.targetTable.schema, name: context.targetTable.table })} LIMIT 0`);
    await timed(spent, async () => {
      for (const batch of batches) {
        const format = batch.encoding === 'pgcopy' ? 'binary' : 'text';
        await copyIn(client, `COPY caravan_timed (${columnList(mapping.write.map(({ name }) => name))}) FROM STDIN (FORMAT ${format})`, format, batchSections(batch, 0, batch.rowCount, mapping.write));
      }
      return batches;
    });
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
    await client.end().catch(() => undefined);
  }
}

async function timed(spent: Spent, work: () => Promise<Batch[]>): Promise<Batch[]> {
  const begun = performance.now();
  const batches = await work();
  spent.ms += performance.now() - begun;
  for (const { rowCount, byteCount } of batches) {
    spent.rows += rowCount;
    spent.bytes += byteCount;
  }
  return batches;
}
