import { FaultCampaign, type FaultSite } from '../fixtures/fault-campaign';
import { FAULT_SHAPES } from '../fixtures/fault-shapes';
import { NAMED_SITES } from '../fixtures/fault-sites';
import { FaultTable } from '../fixtures/fault-table';
import { chosenSeed, seededRandom } from '../fixtures/seeded';
import { FAULTS, PASSING_STATES, type Fault } from '../fixtures/wire-proxy';

/** Zombies of each shape. They wait for the time limits of what they hold, so there are fewer of them. */
const ZOMBIES = Number(process.env['CARAVAN_FAULT_ZOMBIES'] ?? 6);
const QUICK = FAULTS.filter((fault) => fault !== 'held');
/** Faults per distinct statement and shape, of four kinds. */
const KINDS = Number(process.env['CARAVAN_FAULT_KINDS'] ?? 1);
const seed = chosenSeed();

describe(`a fault at every statement that changes something, in every shape (CARAVAN_FAULT_SEED=${seed})`, () => {
  const table = new FaultTable();
  let campaign: FaultCampaign;
  beforeAll(async () => { campaign = await FaultCampaign.start('sites'); }, 60_000);
  afterAll(async () => {
    table.print(`Faults at statements (seed ${seed})`);
    await campaign.close();
  });

  test.each(FAULT_SHAPES)('$name', async (shape) => {
    const random = seededRandom(seed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const sites = await campaign.sites(shape);
    const bySql = new Map<string, FaultSite[]>();
    for (const site of sites) bySql.set(site.side + site.sql, [...(bySql.get(site.side + site.sql) ?? []), site]);
    const strike = async (site: FaultSite, fault: Fault): Promise<void> => {
      const sqlState = pick(PASSING_STATES);
      const kind = `${fault}${fault === 'error-though-done' ? ` ${sqlState}` : ''} (${site.side === 'new' ? 'target' : 'source'})`;
      try {
        const struck = await campaign.strike(shape, site, fault, sqlState);
        table.note(kind, struck ? 'exact' : 'did not happen');
      } catch (error) {
        table.fail(kind, `${shape.name}: seed ${seed}, #${site.nth} of ${site.sql.slice(0, 200)}`, error);
      }
    };
    const failed = table.failures.length;
    for (const same of bySql.values()) {
      const first = Math.floor(random() * QUICK.length);
      for (let kind = 0; kind < KINDS; kind += 1) await strike(pick(same), QUICK[(first + kind) % QUICK.length] as Fault);
    }
    for (let i = 0; i < ZOMBIES; i += 1) await strike(pick(sites), 'held');
    process.stderr.write(`${shape.name}: ${table.total} faults so far, ${table.failures.length} failed\n`);
    expect(table.failures.slice(failed)).toEqual([]);
  }, 1_800_000);

  test.each(NAMED_SITES)('$name', async ({ name, shape, blows }) => {
    try {
      expect(await campaign.strikeAll(FAULT_SHAPES.find((one) => one.name === shape)!, blows)).toBe(blows.length);
      for (const { fault } of blows) table.note(`${fault} (named site)`, 'exact');
    } catch (error) {
      table.fail('named site', name, error);
      throw error;
    }
  }, 300_000);

  test('at least 200 faults', () => { expect(table.total).toBeGreaterThanOrEqual(200); });
});
