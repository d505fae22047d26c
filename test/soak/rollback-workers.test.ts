import { killedRollbacks } from '../fixtures/killed-rollbacks';
import { chosenSeed, seededRandom } from '../fixtures/seeded';

jest.setTimeout(3_600_000);

const ROUNDS = 3;
const seed = chosenSeed();

/** The short form is in test/faults. */
test.each(Array.from({ length: ROUNDS }, (_, round) => seed + round))('rollbacks of each tier from twenty random points, their worker killed eight times: nothing is lost (seed %i)', async (chosen) => {
  const { interrupted, at } = await killedRollbacks({ points: 20, kills: 8, random: seededRandom(chosen) });
  for (const times of Object.values(interrupted)) expect(times).toBeGreaterThanOrEqual(10);
  expect(at.size).toBeGreaterThan(3);
});
