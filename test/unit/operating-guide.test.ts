import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STATUS_WORDS } from '../../migration/dashboard';
import { ERROR_CODES, SEARCH_ATTRIBUTES } from '../../migration/protocol';

const guide = readFileSync(join(__dirname, '../../docs/operating.md'), 'utf8');
const entries = [...guide.matchAll(/^### `([A-Z_]+)`\n\n\*(\w+)\*\. .+\n\n\*\*Do:\*\* .+$/gm)];

test('every error code has an entry with cause and remedy, and every entry is a code', () => {
  expect(entries.map((entry) => entry[1]).sort()).toEqual(Object.keys(ERROR_CODES).sort());
});

test('every status of a run has a line in the table of states, and every line is a status', () => {
  const table = /^## States\n\n([\s\S]+?)\n\n/m.exec(guide)?.[1] ?? '';
  expect([...table.matchAll(/^\| `(\w+)` \| \S.+ \|$/gm)].map((line) => line[1]).sort()).toEqual(Object.keys(STATUS_WORDS).sort());
});

test('each entry names the kind of its code', () => {
  const kinds = Object.fromEntries(entries.map((entry) => [entry[1], entry[2]]));
  expect(kinds).toEqual(Object.fromEntries(Object.entries(ERROR_CODES).map(([code, { kind }]) => [code, kind])));
});

test('the search attributes are named as they are', () => {
  for (const name of Object.values(SEARCH_ATTRIBUTES)) expect(guide).toContain(`\`${name}\``);
});

test('links between the pages lead somewhere', () => {
  const root = join(__dirname, '../..');
  for (const page of ['README.md', 'docs/operating.md', 'docs/architecture.md', 'docs/decisions/README.md', 'examples/README.md']) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? page : join(page, '..', file);
      // Pictures and folders need only be there; a heading must exist in the page.
      const found = anchor === undefined ? true : headings(readFileSync(join(root, linked), 'utf8')).includes(anchor);
      expect({ page, target, there: file === '' || exists(join(root, linked)), found }).toEqual({ page, target, there: true, found: true });
    }
  }
});

function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) => (match[1] ?? '').toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'));
}

function exists(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EISDIR';
  }
}
