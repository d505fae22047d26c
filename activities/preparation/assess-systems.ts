import type { Plan } from '../../migration/plan/schema';
import type { SystemFinding } from '../../migration/preparation/findings';
import type { Problem } from '../../migration/protocol';
import { checkLedgerRights, checkSource, checkTarget } from '../connectors/postgres/preflight';
import { readServerFacts, surplusRights, type RightsUse } from '../connectors/postgres/server-facts';
import { parseTableName } from '../connectors/postgres/sql';
import { CheckClients } from '../check-clients';
import type { ActivityDependencies } from '../dependencies';
import { controlConnection } from '../plan-reading';
import { planConnections, sourceSelection, targetTable } from '../run-context';
import type { DescribedDataset } from './describe-datasets';

/** Every connection of the plan as the worker meets it: encryption, limits, rights too many and too few. */
export async function assessSystems(deps: ActivityDependencies, plan: Plan, described: readonly DescribedDataset[]): Promise<{ systems: SystemFinding[]; problems: Problem[] }> {
  const live = new CheckClients(deps);
  try {
    const systems: SystemFinding[] = [];
    const problems: Problem[] = [];
    const control = controlConnection(plan);
    for (const connection of new Set([...planConnections(plan), control])) {
      const lacks = await missingRights(live, plan, described, connection, control);
      const system = await live.on(connection, async (client): Promise<SystemFinding> => ({
        connection, roles: rolesOf(plan, connection, control), ...(await readServerFacts(client)),
        surplus: await surplusRights(client, useOf(plan, connection, control)), missing: lacks.map(({ message }) => message),
      }));
      systems.push(system);
      problems.push(...lacks, ...systemProblems(system));
    }
    return { systems, problems };
  } finally {
    await live.close();
  }
}

function rolesOf(plan: Plan, connection: string, control: string): SystemFinding['roles'] {
  const datasets = Object.values(plan.datasets);
  return [
    ...(datasets.some(({ source }) => source.connection === connection) ? ['source' as const] : []),
    ...(datasets.some(({ target }) => target.connection === connection) ? ['target' as const] : []),
    ...(connection === control ? ['control' as const] : []),
  ];
}

function useOf(plan: Plan, connection: string, control: string): RightsUse {
  const datasets = Object.entries(plan.datasets);
  return {
    reads: datasets.filter(([, { source }]) => source.connection === connection && source.query === undefined).map(([name, { source }]) => parseTableName(source.table ?? name)),
    writes: datasets.filter(([, { target }]) => target.connection === connection).map(([name, dataset]) => { const { schema, table } = targetTable(name, dataset); return { schema, name: table }; }),
    ledger: connection === control,
  };
}

/** What the checks of `caravan check --connect` say about the rights on this connection. */
async function missingRights(live: CheckClients, plan: Plan, described: readonly DescribedDataset[], connection: string, control: string): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const { name, dataset, source } of described) {
    if (dataset.source.connection === connection) problems.push(...(await live.on(connection, (client) => checkSource(client, sourceSelection(name, dataset), `datasets.${name}.source`, () => Promise.resolve(source)))));
    if (dataset.target.connection !== connection) continue;
    const { schema, table } = targetTable(name, dataset);
    const needs = { create: false, truncate: dataset.target.on_existing === 'replace' };
    problems.push(...(await live.on(connection, (client) => checkTarget(client, { schema, name: table }, needs, `datasets.${name}.target`))));
  }
  if (rolesOf(plan, connection, control).some((role) => role !== 'source')) problems.push(...(await live.on(connection, (client) => checkLedgerRights(client, `connection ${connection}`))));
  // Other findings of these checks are told by the schema analysis.
  return problems.filter(({ remedy }) => remedy?.includes('--grants'));
}

function systemProblems({ connection, encryption, surplus, user }: SystemFinding): Problem[] {
  const place = `connection ${connection}`;
  const problems = surplus.map(({ right, remedy }): Problem => ({ severity: 'warning', place, message: right === 'superuser' ? `${user} is a superuser: the migration needs far less` : `${user} ${right}`, remedy }));
  if (encryption.state === 'plain') {
    problems.unshift({ severity: 'warning', place, message: 'the connection is not encrypted: rows and passwords can be read on the way', remedy: 'Give the connection tls: { ca: PATH }, or ?sslmode=verify-full in its address.' });
  }
  return problems;
}
