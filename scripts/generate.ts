/**
 * Writes what is generated from the code: the plan reference and the plan's JSON schema. With `--check` it writes nothing and fails when a file is stale.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { planJsonSchema } from '../migration/plan/json-schema';
import { planReference } from '../migration/plan/reference';
import { ruleCatalog } from '../migration/rules';
import { builtinTransforms } from '../migration/transform';

const ROOT = join(__dirname, '..');

function generated(): Record<string, string> {
  return {
    'docs/plan-reference.md': planReference(builtinTransforms, Object.values(ruleCatalog)),
    'docs/plan.schema.json': `${JSON.stringify(planJsonSchema(), null, 2)}\n`,
  };
}

function current(file: string): string | null {
  try {
    return readFileSync(join(ROOT, file), 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return null;
  }
}

function main(check: boolean): number {
  const stale = Object.entries(generated()).filter(([file, text]) => current(file) !== text);
  if (check) {
    for (const [file] of stale) console.error(`${file} is out of date: run \`npm run generate\` and commit the result.`);
    return stale.length > 0 ? 2 : 0;
  }
  for (const [file, text] of stale) {
    mkdirSync(dirname(join(ROOT, file)), { recursive: true });
    writeFileSync(join(ROOT, file), text);
    console.log(`wrote ${file}`);
  }
  if (stale.length === 0) console.log('everything is up to date');
  return 0;
}

process.exitCode = main(process.argv.includes('--check'));
