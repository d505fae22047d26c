import type { RollbackTier } from '../../migration/protocol';
import { activitiesRun, type ActivitiesRun } from '../fixtures/activities-run';
import { commandFolder, type CommandEnd, type CommandFolder } from '../fixtures/caravan-command';
import { drawStage, RollbackPoint } from '../fixtures/rollback-point';
import { seededRandom } from '../fixtures/seeded';

jest.setTimeout(900_000);

const POINTS = 10;

let run: ActivitiesRun;
let command: CommandFolder;
beforeEach(async () => {
  run = await activitiesRun('points');
  const url = (connection: string) => run.deps.systems.open(connection).config.url;
  command = commandFolder({ CARAVAN_CONNECTION_LEGACY: url('legacy'), CARAVAN_CONNECTION_NEW: url('new') });
});
afterEach(async () => {
  command.remove();
  await run.close();
});

/** The command, killed without a word again and again, until it comes to its end. */
async function killedRollback(name: string, tier: RollbackTier, random: () => number): Promise<{ end: CommandEnd; kills: number }> {
  const words = ['rollback', name, `--${tier}`, '--offline', '--yes', '--json', ...(tier === 'partial' ? ['--dataset', 'orders'] : [])];
  let kills = 0;
  for (let round = 0; round < 3; round += 1) {
    const started = command.start(...words);
    const timer = setTimeout(() => started.child.kill('SIGKILL'), 900 + random() * 1_800);
    const end = await started.end;
    clearTimeout(timer);
    if (end.signal !== 'SIGKILL') return { end, kills };
    kills += 1;
  }
  return { end: await command.caravan(...words), kills };
}

test.each([['immediate', 11], ['partial', 12], ['full', 13]] as const)('%s from random points of a run, its process killed in the middle: nothing is lost', async (tier, seed) => {
  const random = seededRandom(seed);
  let kills = 0;
  for (let at = 0; at < POINTS; at += 1) {
    const point = await RollbackPoint.reach(run, `${tier}-${at}`, drawStage(at, random), random);
    try {
      const { end, kills: killed } = await killedRollback(point.name, tier, random);
      kills += killed;
      if (![0, 4].includes(end.code ?? -1)) throw new Error(`point ${at} (${point.stage}): code ${String(end.code)}\n${end.out}\n${end.err}`);
      await point.expectTakenBack(tier);
    } finally {
      point.remove();
    }
  }
  expect(kills).toBeGreaterThan(3);
});
