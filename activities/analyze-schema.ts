import type { DatasetDescription } from '../migration/connector';
import { isMigrationError, MigrationError } from '../migration/errors';
import { compileMapping } from '../migration/mapping';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import { fieldMappings } from '../migration/plan/transformations';
import type { InventorySummary, Problem, RunRef } from '../migration/protocol';
import { findRelation } from './connectors/postgres/catalog';
import { expectedTarget } from './connectors/postgres/create-request';
import { describe } from './connectors/postgres/describe';
import { parseTableName, qualified } from './connectors/postgres/sql';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { storeShape } from './dataset-mapping';
import { loadRun } from './run-context';
import { createsTable, describeSource, requestFor } from './schema-requests';

/** Datasets described at the same time: well below the connections of a pool. */
const LANES = 8;

/** `judged` hears what each dataset looks like on both sides. */
type AnalysisDependencies = Pick<ActivityDependencies, 'systems' | 'transforms' | 'constants'> & {
  judged?: (dataset: string, source: DatasetDescription, target: DatasetDescription) => Promise<void>;
};

/**
 * Describes both sides of every dataset and compiles its mapping. A table that the plan will create is judged as it will be.
 * The summary's problems are the warnings. Changes nothing in the systems; what was judged is remembered, for `openDataset` to compare with.
 * @throws MigrationError `MAPPING_INVALID` with every error of every dataset in the message; as `loadRun`.
 */
export function analyzeSchema(deps: ActivityDependencies, ref: RunRef): Promise<InventorySummary> {
  return withHeartbeat({ step: 'schema analysis' }, () => analyzeRun(deps, ref));
}

async function analyzeRun(deps: ActivityDependencies, ref: RunRef): Promise<InventorySummary> {
  const { plan, control } = await loadRun(deps, ref);
  const summary = await analyzePlan({ ...deps, judged: (name, source, target) => storeShape({ control, ref, name }, { source, target }) }, plan);
  const errors = summary.problems.filter((problem) => problem.severity === 'error');
  if (errors.length === 0) return summary;
  const lines = errors.map(({ place, message, remedy }) => `\n- ${place}: ${message}${remedy === undefined ? '' : ` ${remedy}`}`);
  throw new MigrationError('MAPPING_INVALID', `migration ${plan.migration} cannot be mapped:${lines.join('')}`, { problems: errors.length });
}

/** All that is wrong or doubtful between the two sides of every dataset; throws only what is no matter of the plan (unreachable systems). */
export async function analyzePlan(deps: AnalysisDependencies, plan: Plan, described: typeof describeSource = describeSource): Promise<InventorySummary> {
  const datasets = Object.entries(plan.datasets);
  const found: InventorySummary[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < datasets.length; at = next++) {
      const [name, dataset] = datasets[at] ?? [];
      if (name !== undefined && dataset) found[at] = await analyzeDataset(deps, plan, name, dataset, described);
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(LANES, datasets.length) }, lane));
  const broken = lanes.find((one) => one.status === 'rejected');
  if (broken) throw broken.reason;
  const sum = (pick: (one: InventorySummary) => number): number => found.reduce((total, one) => total + pick(one), 0);
  return { tables: sum((one) => one.tables), rows: sum((one) => one.rows), bytes: sum((one) => one.bytes), problems: found.flatMap((one) => one.problems) };
}

async function analyzeDataset(deps: AnalysisDependencies, plan: Plan, name: string, dataset: DatasetPlan, described: typeof describeSource): Promise<InventorySummary> {
  const summary: InventorySummary = { tables: 0, rows: 0, bytes: 0, problems: [] };
  try {
    const source = await described(deps, name, dataset);
    summary.tables = 1;
    summary.rows = source.rowsEstimate;
    summary.bytes = source.bytesEstimate;
    summary.problems.push(...(await mappingProblems(deps, plan, name, dataset, source)));
  } catch (error) {
    if (!isMigrationError(error) || error.kind !== 'config' || error.code.startsWith('CONNECTION_')) throw error;
    summary.problems.push(asProblem(`datasets.${name}`, error));
  }
  return summary;
}

async function mappingProblems(deps: AnalysisDependencies, plan: Plan, name: string, dataset: DatasetPlan, source: DatasetDescription): Promise<Problem[]> {
  const target = await targetDescription(deps, plan, name, dataset, source);
  await deps.judged?.(name, source, target);
  const { problems } = compileMapping({
    source: source.columns, target: target.columns, mappings: fieldMappings(dataset, deps.transforms), validation: dataset.validation,
    accept: dataset.accept, catalog: deps.transforms, constants: deps.constants,
  });
  const placed = problems.map((problem) => (problem.place.startsWith('datasets.') ? problem : { ...problem, place: `datasets.${name}.${problem.place}` }));
  if (source.key === null && dataset.target.on_conflict === 'update' && !dataset.target.key) {
    placed.push({
      severity: 'error', place: `datasets.${name}.target.on_conflict`, message: 'rows can be updated only by a key, and the source has none',
      remedy: 'Name the columns in target.key (and source.key for a query).',
    });
  }
  return placed;
}

/** What is there; for a table that the plan creates and that is not there yet, what will be. */
async function targetDescription(deps: AnalysisDependencies, plan: Plan, name: string, dataset: DatasetPlan, source: DatasetDescription): Promise<DatasetDescription> {
  const table = parseTableName(dataset.target.table ?? name);
  const system = asPostgres(deps.systems.open(dataset.target.connection));
  if (createsTable(plan, dataset) && !(await system.use((client) => findRelation(client, table)))) {
    return expectedTarget(requestFor(deps, plan, name, dataset, source), source);
  }
  return system.use((client) => describe(client, { table: qualified(table) }, `datasets.${name}.target`));
}

/** The message may begin with a place of its own, finer than the caller's. */
function asProblem(place: string, error: MigrationError): Problem {
  const own = /^(datasets\.[^\s:]+): (.*)$/s.exec(error.message);
  return { severity: 'error', place: own?.[1] ?? place, message: own?.[2] ?? error.message };
}
