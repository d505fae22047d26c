import { killedRollbacks } from '../fixtures/killed-rollbacks';
import { seededRandom } from '../fixtures/seeded';

jest.setTimeout(900_000);

/** Its longer form is in test/soak. */
test('rollbacks of each tier from ten random points each, their worker killed in the middle again and again: nothing is lost', async () => {
  const { interrupted } = await killedRollbacks({ points: 10, kills: 2, random: seededRandom(14) });
  // Which of them a kill finds in the middle, and where, is up to the machine: a quick one has some through before all have begun.
  for (const times of Object.values(interrupted)) expect(times).toBeGreaterThanOrEqual(3);
});
