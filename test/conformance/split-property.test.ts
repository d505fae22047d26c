import fc from 'fast-check';
import { PostgresSource } from '../../activities/connectors/postgres/source';
import { asPostgres } from '../../activities/connectors/postgres/system';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { KEY_TYPES_SETUP } from '../fixtures/generated-tables';
import { naiveReader, productReader, splitsCover } from '../fixtures/split-property';

describe('splits of generated tables', () => {
  let run: ActivitiesRun;
  let source: PostgresSource;
  beforeAll(async () => {
    run = await activitiesRun('splits');
    await run.legacy.query(KEY_TYPES_SETUP);
    source = new PostgresSource(asPostgres(run.deps.systems.open('legacy')), 'datasets.d.source');
  }, 60_000);
  afterAll(() => run.close());

  test('splits hold every row exactly once, and every cursor resumes, whatever the key', async () => {
    await fc.assert(splitsCover(run.legacy, source, productReader(source)), { numRuns: 100 });
  }, 180_000);

  test('the property has teeth: a composite key compared column by column is found out', async () => {
    const outcome = await fc.check(splitsCover(run.legacy, source, naiveReader(run.legacy)), { numRuns: 100, endOnFailure: true });
    expect(outcome.failed).toBe(true);
  }, 180_000);
});
