import fc from 'fast-check';
import { createActivities } from '../../activities';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { copyPairs, judgePairs, type TypePair } from '../fixtures/conversion-cases';
import { JUDGE_SESSION } from '../fixtures/edge-tables';
import { edgeSchema } from '../fixtures/edge-values';

const SEED = Number(process.env['CARAVAN_PROPERTY_SEED'] ?? Date.now() % 2 ** 31);
const SHORT = 160;

describe('types of one side into other types', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('conversions');
    for (const client of [run.legacy, run.target]) {
      await client.query(edgeSchema(client === run.target ? 3 : 0));
      await client.query(JUDGE_SESSION);
    }
  }, 60_000);
  afterAll(() => run.close());

  test('a value gives itself back, or its row is in quarantine, or the plan is refused', async () => {
    const { pairs, refused } = await judgePairs(run);
    const has = (from: string, to: string): TypePair | undefined => pairs.find((pair) => pair.from.type === from && pair.to.type === to);
    for (const [from, to] of [['timestamp', 'timestamptz'], ['numeric', 'double precision'], ['bigint', 'timestamptz'], ['integer[]', 'text[]'], ['edge.pair', 'edge.nested'], ['numeric[]', 'edge.price[]'], ['bytea', 'text']] as const) expect(has(from, to)).toBeUndefined();
    for (const [from, to] of [['text', 'varchar(5)'], ['double precision', 'real'], ['bigint', 'integer'], ['numeric', 'edge.price'], ['timestamptz', 'edge.moment'], ['text', 'name'], ['text', '"char"'], ['double precision', 'edge.single']] as const) expect(has(from, to)?.narrows).toBe(true);
    for (const [from, to] of [['integer', 'bigint'], ['bigint', 'numeric'], ['json', 'jsonb'], ['jsonb', 'json'], ['char(6)', 'text'], ['edge.mood', 'text'], ['text', 'edge.mood'], ['date', 'timestamp'], ['real', 'double precision']] as const) expect(has(from, to)?.narrows).toBe(false);

    const chosen = fc.sample(fc.shuffledSubarray(pairs, { minLength: SHORT, maxLength: SHORT }), { seed: SEED, numRuns: 1 })[0] ?? [];
    const outcome = await copyPairs(run, 'short', chosen, SEED, SEED % 2 === 0 ? null : createActivities({ ...run.deps, encodings: ['values'] }));
    process.stderr.write(`conversions: seed ${SEED}, ${pairs.length} pairs of types let through, ${refused} refused; ${outcome.written} values written, ${outcome.quarantined} in quarantine\n`);
    expect(outcome.wrong).toEqual([]);
    expect(outcome.written).toBeGreaterThan(SHORT);
  }, 120_000);
});
