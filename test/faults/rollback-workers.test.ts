import { ROLLBACK_STEPS } from '../../migration/rollback-steps';
import { killedRollbacks, rollbacksKilledInTheirSteps } from '../fixtures/killed-rollbacks';
import { seededRandom } from '../fixtures/seeded';

jest.setTimeout(900_000);

/** Its longer form is in test/soak. */
test('rollbacks of each tier from ten random points each, their worker killed in the middle again and again: nothing is lost', async () => {
  const { interrupted } = await killedRollbacks({ points: 10, kills: 2, random: seededRandom(14) });
  // Which of them a kill finds in the middle, and where, is up to the machine: a quick one has some through before all have begun.
  for (const times of Object.values(interrupted)) expect(times).toBeGreaterThanOrEqual(3);
});

test('a rollback whose worker is killed in the middle of a step carries that step out again', async () => {
  expect(await rollbacksKilledInTheirSteps(seededRandom(14))).toEqual({ 'immediate-held': ROLLBACK_STEPS.blockNew, 'partial-held': ROLLBACK_STEPS.openLegacy, 'full-held': ROLLBACK_STEPS.reverse });
});
