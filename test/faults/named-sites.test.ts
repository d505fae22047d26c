import { FaultCampaign, type FaultSite } from '../fixtures/fault-campaign';
import { FAULT_SHAPES } from '../fixtures/fault-shapes';
import { NAMED_SITES } from '../fixtures/fault-sites';
import { chosenSeed, seededRandom } from '../fixtures/seeded';
import { FAULTS, type Fault } from '../fixtures/wire-proxy';

/** The short form of test/soak/faults-at-sites.test.ts: a few places of each shape, drawn anew each time, and the named ones that a second fault makes. */
const PER_SHAPE = 4;
const QUICK = FAULTS.filter((fault) => fault !== 'held');
const seed = chosenSeed();

describe(`faults at statements that change something (CARAVAN_FAULT_SEED=${seed})`, () => {
  let campaign: FaultCampaign;
  beforeAll(async () => { campaign = await FaultCampaign.start('sites'); }, 60_000);
  afterAll(() => campaign.close());

  test.each(FAULT_SHAPES)('$name', async (shape) => {
    const random = seededRandom(seed);
    const sites = await campaign.sites(shape);
    expect(sites.length).toBeGreaterThan(30);
    for (let i = 0; i < PER_SHAPE; i += 1) {
      const site = sites[Math.floor(random() * sites.length)] as FaultSite;
      const fault = QUICK[Math.floor(random() * QUICK.length)] as Fault;
      await campaign.strike(shape, site, fault).then(
        (struck) => expect([site, struck]).toEqual([site, true]),
        (error: unknown) => { throw new Error(`seed ${seed}, ${fault} at ${site.side} #${site.nth} ${site.sql}`, { cause: error }); });
    }
  }, 180_000);

  test.each(NAMED_SITES.filter(({ name, blows }) => blows.length > 1 || /^a (generation|worker) /.test(name)))('$name', async ({ shape, blows }) => {
    expect(await campaign.strikeAll(FAULT_SHAPES.find((one) => one.name === shape)!, blows)).toBe(blows.length);
  }, 180_000);

  test('a worker that stalls while it opens a dataset does not hold the table for ever', async () => {
    const shape = FAULT_SHAPES.find(({ name }) => name === 'keyless, appended')!;
    const [site] = (await campaign.sites(shape)).filter(({ sql }) => sql.startsWith('INSERT INTO caravan.dataset '));
    expect(await campaign.strike(shape, site!, 'held')).toBe(true);
  }, 180_000);
});
