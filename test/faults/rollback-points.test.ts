import { offlineRollbacks } from '../fixtures/offline-rollbacks';
import { seededRandom } from '../fixtures/seeded';

jest.setTimeout(600_000);

/** Each late stage of a run once, where most is at stake; ten points of each tier are in test/soak. */
test.each([['immediate', 11], ['partial', 12], ['full', 13]] as const)('%s from late points of a run, its process killed in the middle: nothing is lost', async (tier, seed) => {
  expect(await offlineRollbacks({ tier, points: [5, 6, 7, 8], random: seededRandom(seed) })).toBeGreaterThan(1);
});
