import path from 'node:path';
import { misfit } from '../sabotage/planting';
import { SABOTAGES } from '../sabotage/sabotages';

const ROOT = path.resolve(__dirname, '../..');

/** Whether each is caught takes real servers and half an hour: `npm run test:sabotage`. */
describe('the table of planted bugs', () => {
  it.each(SABOTAGES.map((sabotage) => [sabotage.name, sabotage] as const))('%s: fits the code as it is', (_, sabotage) => {
    expect(misfit(ROOT, sabotage)).toBeNull();
  });

  it('names each of them once', () => {
    expect(new Set(SABOTAGES.map(({ name }) => name)).size).toBe(SABOTAGES.length);
  });

  it('tells what does not fit: a snippet that moved or is there twice, a change that changes nothing, a suite that is gone', () => {
    const file = 'test/sabotage/planting.ts';
    const suite = 'test/unit/sabotage-table.test.ts';
    const told = (edit: { file?: string; find: string; replace?: string }, given = suite) => misfit(ROOT, { name: 'n', suite: given, test: '', edits: [{ file, replace: '', ...edit }] });
    expect(told({ find: 'export interface Sabotage {' })).toBeNull();
    expect(told({ find: 'no such line' })).toBe(`${file} holds this 0 times, not once: no such line`);
    expect(told({ find: 'const ' })).toMatch(/holds this \d+ times, not once/);
    expect(told({ find: 'export interface Sabotage {', replace: 'export interface Sabotage {' })).toBe(`nothing is changed in ${file}`);
    expect(told({ find: 'x', file: 'gone.ts' })).toBe('there is no file gone.ts');
    expect(told({ find: 'export interface Sabotage {' }, 'test/unit/gone.test.ts')).toBe('there is no suite test/unit/gone.test.ts');
  });
});
