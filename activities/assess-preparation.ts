import { availableParallelism, totalmem } from 'node:os';
import type { Plan } from '../migration/plan/schema';
import { forecast } from '../migration/preparation/forecast';
import type { Findings, IndexDecision } from '../migration/preparation/findings';
import { proposeResources } from '../migration/preparation/resources';
import type { AssessedPreparation, Problem, RunRef } from '../migration/protocol';
import { indexStrategy } from './connectors/postgres/index-strategy';
import { asPostgres } from './connectors/postgres/system';
import type { ActivityDependencies } from './dependencies';
import { withHeartbeat } from './heartbeat';
import { PlannedTables } from './planned-tables';
import { assessSystems } from './preparation/assess-systems';
import { datasetFinding, describeDatasets, type DescribedDataset } from './preparation/describe-datasets';
import { findPersonalData, personalDataProblems } from './preparation/find-personal-data';
import { measuredSpeed } from './preparation/measured-speed';
import { loadRun, targetTable } from './run-context';
import { lastSpeed } from './stores/rehearsal-store';
import { storeFindings } from './stores/preparation-store';

/** Problems that the answer carries; the control store has all. */
const PROBLEMS_TOLD_MAX = 50;

/**
 * What a person should know before rows move: sizes and mapping of each dataset, personal data that is not declared, rights too many and too few, encryption,
 * resources, what becomes of each index, and a forecast. Reads both systems, changes neither. Durable in the control store when it returns; a repeat replaces it.
 * @throws MigrationError as `loadRun` and `describe`.
 */
export function assessPreparation(deps: ActivityDependencies, { ref }: { ref: RunRef }): Promise<AssessedPreparation> {
  return withHeartbeat({ step: 'findings' }, async () => {
    const { plan, control } = await loadRun(deps, ref);
    const findings = await assess(deps, ref, plan);
    await storeFindings(control, ref, findings);
    const { total } = findings.forecast;
    return {
      datasets: findings.datasets.length, personalData: findings.personal_data.filter(({ declared }) => !declared).length,
      forecastMs: total.likelyMs, lowMs: total.lowMs, highMs: total.highMs, problems: findings.problems.slice(0, PROBLEMS_TOLD_MAX),
    };
  });
}

async function assess(deps: ActivityDependencies, ref: RunRef, plan: Plan): Promise<Findings> {
  const described = await describeDatasets(deps, plan);
  const problems: Problem[] = [];
  const personal: Findings['personal_data'] = [];
  for (const one of described) {
    const found = await findPersonalData(deps, one);
    personal.push(...found);
    problems.push(...personalDataProblems(one, found));
  }
  const { systems, problems: ofSystems } = await assessSystems(deps, plan, described);
  const indexes = await decideIndexes(deps, plan, described);
  const datasets = described.map(datasetFinding);
  const foreseen = forecast({
    datasets, indexBytes: indexBytes(indexes, datasets.reduce((sum, one) => sum + one.bytes, 0)), validate: plan.checks.rows,
    lanes: plan.batch.parallel_datasets * plan.batch.parallel_workers, speed: await speedOf(deps, ref, plan, datasets),
  });
  const resources = proposeResources(plan.batch, systems, foreseen, { cores: availableParallelism(), memoryBytes: totalmem() });
  problems.push(...ofSystems, ...resources.advice.map((message): Problem => ({ severity: 'warning', place: 'batch', message })));
  return { datasets, personal_data: personal, systems, indexes, resources, forecast: foreseen, problems: worstFirst(problems) };
}

/** The indexes of the target are empty before the load: where nothing tells their size, a third of the rows' is taken. */
function indexBytes(indexes: readonly IndexDecision[], rowBytes: number): number {
  const secondary = indexes.filter(({ kind, action }) => (kind === 'index' || kind === 'unique') && action === 'dropped');
  const known = secondary.reduce((sum, { bytes }) => sum + bytes, 0);
  return Math.max(known, Math.round((rowBytes / 3) * Math.min(1, secondary.length)));
}

async function speedOf(deps: ActivityDependencies, ref: RunRef, plan: Plan, datasets: Findings['datasets']): Promise<Findings['forecast']['speed']> {
  const rehearsed = await lastSpeed(asPostgres(deps.systems.open(ref.control)), ref.migration);
  if (rehearsed) return rehearsed;
  const rows = datasets.reduce((sum, one) => sum + one.rows, 0);
  const bytes = datasets.reduce((sum, one) => sum + one.bytes, 0);
  const [first] = Object.values(plan.datasets);
  return measuredSpeed(asPostgres(deps.systems.open(first?.target.connection ?? ref.control)), rows > 0 ? bytes / rows : 0);
}

async function decideIndexes(deps: ActivityDependencies, plan: Plan, described: readonly DescribedDataset[]): Promise<IndexDecision[]> {
  const planned = PlannedTables.of(plan);
  const decisions: IndexDecision[] = [];
  for (const { name, dataset } of described) {
    const { schema, table } = targetTable(name, dataset);
    const { connection, key, on_conflict: onConflict, on_existing: onExisting } = dataset.target;
    const found = await asPostgres(deps.systems.open(connection)).use((client) => indexStrategy(client, { schema, name: table }, {
      keepsRows: onExisting !== 'replace' && (onConflict === 'update' || onExisting === 'append'),
      isLoading: (other) => planned.owner(connection, other) !== undefined, ...(key ? { arbiter: key } : {}),
    }));
    decisions.push(...found.map((decision) => ({ dataset: name, ...decision })));
  }
  return decisions;
}

function worstFirst(problems: readonly Problem[]): Problem[] {
  return [...problems].sort((a, b) => (a.severity === b.severity ? 0 : a.severity === 'error' ? -1 : 1));
}
