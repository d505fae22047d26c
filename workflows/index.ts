/** The workflows, exported under the names they are registered by. */
export { migration } from './migration';
export { preparation } from './preparation';
export { testMigration } from './test-migration';
export { productionMigration } from './production-migration';
export { datasetMigration } from './dataset-migration';
export { cutover } from './cutover';
export { validation } from './validation';
export { rollback } from './rollback';
export { retention } from './retention';
