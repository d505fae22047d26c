import { offlineRollbacks } from '../fixtures/offline-rollbacks';
import { chosenSeed, seededRandom } from '../fixtures/seeded';

jest.setTimeout(1_800_000);

const seed = chosenSeed();

/** The short form is in test/faults. */
test.each(['immediate', 'partial', 'full'] as const)(`%s from ten random points of a run, its process killed in the middle: nothing is lost (seed ${seed})`, async (tier) => {
  expect(await offlineRollbacks({ tier, points: Array.from({ length: 10 }, (_, at) => at), random: seededRandom(seed) })).toBeGreaterThan(3);
});
