import fc from 'fast-check';
import { PostgresSource } from '../../activities/connectors/postgres/source';
import { asPostgres } from '../../activities/connectors/postgres/system';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { KEY_TYPES_SETUP } from '../fixtures/generated-tables';
import { productReader, splitsCover } from '../fixtures/split-property';

describe('tables, at length', () => {
  let run: ActivitiesRun;
  beforeAll(async () => {
    run = await activitiesRun('soak_tables');
    await run.legacy.query(KEY_TYPES_SETUP);
  }, 60_000);
  afterAll(() => run.close());

  test('splits of three thousand generated tables hold every row exactly once', async () => {
    const source = new PostgresSource(asPostgres(run.deps.systems.open('legacy')), 'datasets.d.source');
    await fc.assert(splitsCover(run.legacy, source, productReader(source)), { numRuns: 3_000 });
  }, 3_600_000);
});
