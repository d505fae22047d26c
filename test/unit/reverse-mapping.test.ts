import { parsePlan } from '../../migration/plan/parse';
import { transformCatalog } from '../../migration/transform';

const transforms = transformCatalog({});
const plan = (transformations: object[], more: object = {}) => ({
  migration: 'm', rollback: { require: 'full' }, datasets: { users: { source: { connection: 'a' }, target: { connection: 'b' }, transformations, ...more } },
});

describe('rollback.require: full', () => {
  test.each([
    ['a hash', { old_field: 'email', transform: 'hash' }, /email is made by hash/],
    ['several into one', { old_fields: ['a', 'b'], new_field: 'c', transform: 'concat' }, /c is made of several columns/],
    ['lower case', { old_field: 'email', new_field: 'mail', transform: 'lower' }, /mail is made by lower/],
  ])('refuses %s, with the column and the reason', (_, transformation, reason) => {
    expect(() => parsePlan(plan([transformation]), { transforms })).toThrow(reason);
  });

  test('takes renames, what has an inverse, and what is left behind', () => {
    const fine = plan([
      { old_field: 'a', new_field: 'b' }, { old_field: 'note', transform: 'drop' }, { old_field: 'state', transform: 'map_values', values: { A: 'active', B: 'blocked' } }, { old_field: 'n', transform: 'to_text' },
    ]);
    expect(parsePlan(fine, { transforms }).plan.rollback.require).toBe('full');
  });

  test('refuses a merge into rows of others', () => {
    expect(() => parsePlan(plan([], { target: { connection: 'b', on_conflict: 'update' } }), { transforms })).toThrow(/cannot be told from theirs/);
  });
});
