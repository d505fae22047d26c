import { irreversible } from '../reverse-mapping';
import { fail, type Finding } from './finding';
import type { Plan } from './schema';
import { judgeMappings, type TransformCatalog } from './transformations';

/** `rollback.require: full`: what makes it impossible to bring writes of the new side home is refused while the plan is still a plan, column by column. */
export function lintRollback(plan: Plan, transforms?: TransformCatalog): Finding[] {
  if (plan.rollback.require !== 'full') return [];
  return Object.entries(plan.datasets).flatMap(([name, dataset]) => {
    const { mappings } = judgeMappings(dataset, transforms, ['datasets', name]);
    const remedy = 'Leave the value as it is, take a transform with a way back, or ask for less: `rollback: { require: partial }`';
    return [
      ...(transforms ? irreversible(mappings, transforms).map((problem) => fail(['datasets', name, 'transformations'], `\`rollback.require: full\` cannot be kept: ${problem}`, remedy)) : []),
      ...(dataset.source.query === undefined ? [] : [fail(['datasets', name, 'source', 'query'], '`rollback.require: full` cannot be kept: no row can be written home through a query', 'Read a table, or ask for less: `rollback: { require: partial }`')]),
      ...(dataset.target.on_conflict === 'update' || dataset.target.on_existing === 'append'
        ? [fail(['datasets', name, 'target'], '`rollback.require: full` cannot be kept: among rows of others, those that the new side writes cannot be told from theirs', 'Copy into an empty table, or ask for less: `rollback: { require: partial }`')] : []),
    ];
  });
}
