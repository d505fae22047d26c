import { EXPECTED_ROWS } from '../fixtures/migration-scenario';
import { campaign, planFaults, rehearse, seededRandom } from '../fixtures/fault-campaign';

/** Statements that make something durable, each with both breaks around it; `npm run test:soak` tries every statement. */
const DURABLE = /^(COMMIT|INSERT INTO caravan\.(commit|split|dataset |quarantine|migration)|UPDATE caravan\.(split|dataset|migration)|COPY "public"|SELECT pg_catalog\.setval|ALTER TABLE|DELETE FROM "public")/;

test('a migration whose durable statements fail ends as one without faults, row by row, and nobody is asked', async () => {
  const { sites, state, inspected } = await rehearse(async ({ legacy, target }) => Promise.all(
    Object.values(EXPECTED_ROWS).map(async (sql) => ({ source: (await legacy.query(sql.source)).rows, target: (await target.query(sql.target)).rows }))));
  for (const { source, target } of inspected) expect(target).toEqual(source);
  const faults = planFaults(sites.filter(({ site }) => DURABLE.test(site)), seededRandom(7)).slice(0, 32);
  const { met, unmet } = await campaign(faults, 8, state);
  expect([...met.values()].reduce((sum, count) => sum + count, 0) + unmet.length).toBe(32);
  expect(unmet.length).toBeLessThan(4);
}, 300_000);
