import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { planJsonSchema } from '../../migration/plan/json-schema';
import { parsePlan } from '../../migration/plan/parse';
import { planReference } from '../../migration/plan/reference';
import { ruleCatalog } from '../../migration/rules';
import { builtinTransforms } from '../../migration/transform';

const ROOT = join(__dirname, '../..');
const EXAMPLES = join(ROOT, 'examples');
const blocks = [...readFileSync(join(EXAMPLES, 'README.md'), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
/** Judged without a catalog: an example may use a transform of its own. */
const files = readdirSync(EXAMPLES).filter((file) => file.endsWith('.yaml') && !/connections/.test(file));

test('the plans in the page of examples parse', () => {
  expect(blocks).toHaveLength(4);
  for (const text of blocks) expect(parsePlan(text, { transforms: builtinTransforms }).plan.migration).toMatch(/^shop/);
});

test('every example file parses', () => {
  for (const file of files) expect({ file, migration: parsePlan(readFileSync(join(EXAMPLES, file), 'utf8')).plan.migration }).toMatchObject({ file });
});

test('the generated documents are up to date (else: npm run generate)', () => {
  expect(readFileSync(join(ROOT, 'docs/plan-reference.md'), 'utf8')).toBe(planReference(builtinTransforms, Object.values(ruleCatalog)));
  expect(JSON.parse(readFileSync(join(ROOT, 'docs/plan.schema.json'), 'utf8'))).toEqual(JSON.parse(JSON.stringify(planJsonSchema())));
});
