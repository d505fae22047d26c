import { z } from 'zod';
import { createActivities } from '../../activities';
import { replayQuarantine } from '../../activities/quarantine';
import { openMapping } from '../../activities/dataset-mapping';
import { compareSides, type Comparison } from '../../activities/reconciliation/compare-sides';
import { openSides } from '../../activities/reconciliation/open-sides';
import { loadDataset } from '../../activities/run-context';
import type { RunRef } from '../../migration/protocol';
import { onValue, type TransformDefinition } from '../../migration/transform/definition';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { createEdgeTable, differing, fillEdgeTable, fingerprints, JUDGE_SESSION, rowsOf, setOddly } from '../fixtures/edge-tables';
import { EDGE_TYPES, edgeSchema, type EdgeType } from '../fixtures/edge-values';

/** Takes every value apart and puts it together again. */
const same: TransformDefinition = {
  name: 'same', help: 'The value itself.', params: z.strictObject({}), inputs: 'one', outputs: 'one', lossy: false,
  compile: (_, context) => onValue(context.input[0]?.kind ?? 'opaque', (value) => value),
};

const GROUPS = ['coded', 'bytes', 'text'] as const;
const typesOf = (group: EdgeType['way']): EdgeType[] => EDGE_TYPES.filter(({ way }) => way === group);
const WAYS = ['as it is', 'as values', 'decoded', 'decoded as values', 'staged', 'without a key'] as const;
type WayName = (typeof WAYS)[number];

describe('every type of PostgreSQL', () => {
  let run: ActivitiesRun;
  /** The same without the native encoding. */
  let valuesOnly: Pick<ActivitiesRun, 'deps' | 'activities'>;
  beforeAll(async () => {
    run = await activitiesRun('types', { userTransforms: { same } });
    const deps = { ...run.deps, encodings: ['values'] as const };
    valuesOnly = { deps, activities: createActivities(deps) };
    await run.legacy.query(edgeSchema(0));
    await run.target.query(edgeSchema(7));
    for (const client of [run.legacy, run.target]) await client.query(JUDGE_SESSION);
    await setOddly(run.legacy, 'source', 'DATABASE');
    await setOddly(run.target, 'target', 'ROLE');
    for (const group of GROUPS) {
      await createEdgeTable(run.legacy, group, typesOf(group));
      await fillEdgeTable(run.legacy, group, typesOf(group));
      await run.legacy.query(`CREATE TABLE ${group}_loose AS SELECT * FROM ${group}`);
    }
  }, 120_000);
  afterAll(() => run.close());

  test('the corpus covers every type of the server that a column can be written with', async () => {
    const { rows } = await run.legacy.query<{ type: string }>(
      `SELECT format_type(t.oid, NULL) AS type FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A'
       AND t.typname NOT IN ('pg_node_tree', 'gtsvector', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary')`);
    const { rows: known } = await run.legacy.query<{ type: string }>('SELECT format_type(t::regtype, NULL) AS type FROM unnest($1::text[]) t', [EDGE_TYPES.map(({ type }) => type)]);
    expect(rows.map(({ type }) => type).filter((type) => !known.some((other) => other.type === type))).toEqual([]);
    const values = EDGE_TYPES.reduce((sum, type) => sum + type.values.length, 0);
    process.stderr.write(`types: ${EDGE_TYPES.length} types, ${values} edge values\n`);
    expect(values).toBeGreaterThanOrEqual(300);
  });

  interface Copied { ref: RunRef; dataset: string; by: Pick<ActivitiesRun, 'deps' | 'activities'> }

  async function copy(group: EdgeType['way'], way: WayName, purpose = '', constraint = ''): Promise<Copied> {
    const types = typesOf(group);
    const dataset = `${group}_${way.replaceAll(' ', '_')}${purpose}`;
    const by = way.endsWith('values') ? valuesOnly : run;
    const loose = way === 'without a key';
    await createEdgeTable(run.target, dataset, types, `${loose ? '' : 'PRIMARY KEY'} ${constraint}`);
    const { ref } = await run.admit({
      migration: `types-${dataset.replaceAll('_', '-')}`, batch: { batch_size: 7, checkpoint_interval: 10 },
      datasets: {
        [dataset]: {
          source: { connection: 'legacy', table: loose ? `${group}_loose` : group }, target: { connection: 'new', table: dataset }, ...(way === 'staged' && { mode: 'staged' }),
          ...(way.startsWith('decoded') && { transformations: types.map((_, at) => ({ old_field: `c${at}`, new_field: `c${at}`, transform: 'same' })) }),
        },
      },
    });
    await run.copy(ref, dataset, { staged: way === 'staged', activities: by.activities });
    return { ref, dataset, by };
  }

  async function encodingOf({ ref, dataset, by }: Copied): Promise<string> {
    return (await openMapping(by.deps, await loadDataset(by.deps, { ref, dataset }))).encoding;
  }

  async function compare({ ref, dataset, by }: Copied): Promise<Comparison> {
    return compareSides(await openSides(by.deps, await loadDataset(by.deps, { ref, dataset })), { signal: new AbortController().signal });
  }

  async function quarantined(dataset: string): Promise<unknown[]> {
    return (await run.target.query('SELECT reasons, source_key FROM caravan.quarantine WHERE dataset = $1', [dataset])).rows;
  }

  async function wrongValues(group: EdgeType['way'], dataset: string): Promise<string[]> {
    const types = typesOf(group);
    return differing(types, await fingerprints(run.legacy, group, types), await fingerprints(run.target, dataset, types));
  }

  describe.each(GROUPS)('%s types', (group) => {
    test.each(WAYS)('arrive %s, exactly as the server had them', async (way) => {
      const copied = await copy(group, way);
      expect(await quarantined(copied.dataset)).toEqual([]);
      expect(await wrongValues(group, copied.dataset)).toEqual([]);
      const native = group !== 'text' && !way.endsWith('values') && !(group === 'bytes' && (way === 'decoded' || way === 'without a key'));
      expect(await encodingOf(copied)).toBe(native ? 'pgcopy' : 'values');
      expect(await compare(copied)).toMatchObject({ missing: 0, extra: 0, different: 0, unreadable: 0, expected: rowsOf(typesOf(group)) });
    }, 120_000);

    test('a comparison tells every value from its neighbour in the list, as the server does', async () => {
      const types = typesOf(group);
      const copied = await copy(group, 'as it is', '_neighbours');
      const before = await fingerprints(run.target, copied.dataset, types);
      await run.target.query(`UPDATE ${copied.dataset} t SET ${types.map((_, at) => `c${at} = o.c${at}`).join(', ')} FROM (SELECT * FROM ${copied.dataset}) o WHERE o.id = t.id + 1`);
      const after = await fingerprints(run.target, copied.dataset, types);
      const changed = types.map((_, at) => (before[at] ?? []).filter((print, row) => print !== after[at]?.[row]).length);
      const { columns } = await compare(copied);
      expect(types.map(({ type }, at) => `${type}: ${columns.get(`c${at}`) ?? 0}`)).toEqual(types.map(({ type }, at) => `${type}: ${changed[at] ?? 0}`));
    }, 120_000);

    test.each(['as it is', 'as values', 'without a key'] as const)('are kept by quarantine and replayed %s', async (way) => {
      const types = typesOf(group);
      const copied = await copy(group, way, '_refused', 'CHECK (id < 0)');
      expect(await quarantined(copied.dataset)).toHaveLength(rowsOf(types));
      await run.target.query(`ALTER TABLE ${copied.dataset} DROP CONSTRAINT "${copied.dataset}_id_check"`);
      await run.call(run.activities.closeDataset, { ref: copied.ref, dataset: copied.dataset });
      expect(await replayQuarantine(run.deps, { ref: copied.ref, by: 'test' })).toMatchObject({ replayed: rowsOf(types), refused: 0 });
      expect(await wrongValues(group, copied.dataset)).toEqual([]);
    }, 120_000);
  });
});
