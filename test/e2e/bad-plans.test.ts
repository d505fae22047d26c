import { commandFolder, type CommandFolder } from '../fixtures/caravan-command';

jest.setTimeout(180_000);

const dataset = (name: string, more = ''): string => `  ${name}: { source: { connection: legacy }, target: { connection: new }${more} }\n`;
const plan = (datasets: string, rest = ''): string => `migration: shop\n${rest}datasets:\n${datasets}`;
const bomb = (levels: number): string => ['a0: &a0 [x, x, x, x, x, x, x, x, x]', ...Array.from({ length: levels }, (_, at) => `a${at + 1}: &a${at + 1} [${Array.from({ length: 9 }, () => `*a${at}`).join(', ')}]`)].join('\n');

/** Plans that nobody writes by hand, or that somebody wrote to do harm, through the real command. */
describe('a plan that is no plan is refused with its place and exit code 2', () => {
  let folder: CommandFolder;
  beforeAll(() => { folder = commandFolder({ CARAVAN_CONNECTION_LEGACY: 'postgres://u@127.0.0.1:1/x', CARAVAN_CONNECTION_NEW: 'postgres://u@127.0.0.1:1/x' }); });
  afterAll(() => folder.remove());

  const cases: [name: string, text: string, says: RegExp][] = [
    ['aliases that multiply', `${bomb(9)}\n${plan(dataset('users'))}`, /repeats too much by aliases/],
    ['an alias of itself', plan(dataset('users'), 'project: &p [*p]\n'), /plan\.yaml/],
    ['the key __proto__', plan(dataset('__proto__')), /__proto__.*not allowed/],
    ['__proto__ inside a dataset', plan(dataset('users', ', validation: { formats: { __proto__: email } }')), /__proto__.*not allowed/],
    ['the key constructor where none is known', plan(dataset('users'), 'constructor: { prototype: { polluted: true } }\n'), /constructor.*unknown key/],
    ['toString as a transform', plan(dataset('users', ', transformations: [{ old_field: a, transform: toString }]')), /toString/],
    ['ten megabytes', plan(dataset('users'), `project: ${'x'.repeat(10 * 1024 * 1024)}\n`), /larger than 5 MB/],
    ['a hundred thousand brackets', `migration: ${'['.repeat(100_000)}`, /nested deeper/],
  ];
  test.each(cases)('%s', async (_, text, says) => {
    folder.write('plan.yaml', text);
    const { code, out, err } = await folder.caravan('check', 'plan.yaml');
    const said = out + err;
    expect(said).toMatch(says);
    expect(said).not.toMatch(/\n\s+at |RangeError|TypeError|heap/);
    expect(said.length).toBeLessThan(20_000);
    expect(code).toBe(2);
  });

  test('a folder in place of the plan, and a dataset called constructor, which is a name like others', async () => {
    const missing = await folder.caravan('check', '.');
    expect(missing.code).toBe(2);
    expect(missing.out + missing.err).not.toMatch(/\n\s+at /);
    folder.write('plan.yaml', plan(dataset('constructor') + dataset('toString')));
    const sound = await folder.caravan('check', 'plan.yaml');
    expect({ code: sound.code, said: sound.out + sound.err }).toMatchObject({ code: 0 });
  });
});
