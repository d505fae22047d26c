import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { Client, type Connection } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { parse as parseYaml } from 'yaml';
import { amendPlan, proposeAmendment } from '../activities/amend-plan';
import { connectorFor } from '../activities/connectors/registry';
import { carriableObjects } from '../activities/connectors/postgres/carried-objects';
import { inventory } from '../activities/connectors/postgres/inventory';
import { asPostgres } from '../activities/connectors/postgres/system';
import type { ActivityDependencies } from '../activities/dependencies';
import { checkPlanLive, planGrants } from '../activities/plan-preflight';
import { previewDataset } from '../activities/preview';
import { readMigrationReport, readStatus } from '../activities/status-reading';
import { forgetSubject } from '../activities/forgetting/forget-subject';
import { forgetUndo, keptUndo } from '../activities/forgetting/forget-undo';
import { forecastRollback } from '../activities/undoing/forecast-rollback';
import { planHash } from '../activities/stores/plan-store';
import { workflowLink } from '../activities/stores/lease';
import { isMigrationError, MigrationError } from '../migration/errors';
import { parsePlan } from '../migration/plan/parse';
import type { Plan } from '../migration/plan/schema';
import { readConnections, type ConnectionBook } from './connections';
import { buildDependencies } from './dependencies';
import type { ConnectionInventory, Door, DoorOptions, LoadedPlan, RunningWorker, TemporalDoor, WorkerRequest } from './door-contract';
import { listDifferent, listQuarantined, replayQuarantined, waiveQuarantined } from './door-quarantine';
import { rollBackOffline } from './door-rollback';
import { ownersOf } from './owners';
import { registerSearchAttributes } from './search-attributes';
import { createLog, installTelemetry } from './telemetry';
import { connectClient, connectWorker, temporalAddress } from './temporal';
import { startWorkers } from './worker';

export type * from './door-contract';

/**
 * Opens the one door to the systems. Nothing is connected before it is needed.
 * @throws MigrationError `CONNECTION_UNKNOWN` for a connections file that is wrong, `PLAN_INVALID` for a transforms module that cannot be loaded.
 */
export function openDoor(options: DoorOptions = {}): Promise<Door> {
  return Promise.resolve().then(() => new OpenDoor(options));
}

class OpenDoor implements Door {
  private readonly env;
  private readonly level;
  private readonly log;
  private readonly book: ConnectionBook;
  private readonly deps: ActivityDependencies;
  private readonly where;
  private client: Promise<{ connection: Connection; door: TemporalDoor }> | null = null;
  private readonly closing: (() => Promise<void>)[] = [];

  constructor(private readonly options: DoorOptions) {
    this.env = options.env ?? process.env;
    this.level = options.logLevel ?? 'warn';
    this.log = createLog(this.level);
    this.book = readConnections({ file: options.connectionsFile, env: this.env });
    this.where = temporalAddress(options.temporal, this.env);
    this.deps = this.dependencies();
    this.closing.push(() => this.deps.systems.close());
  }

  private dependencies(more: Pick<ActivityDependencies, 'searchAttributes'> & { owners?: ActivityDependencies['owners'] } = {}): ActivityDependencies {
    const { plansFolder, transformsFile, stagingFolder } = this.options;
    return buildDependencies({ connections: this.book, env: this.env, log: this.log, plansFolder, transformsFile, stagingFolder, ...more });
  }

  connections() {
    return Promise.resolve(this.book.list().map(({ name, address, url, from }) => {
      const scheme = url.split(':')[0] ?? '';
      return { name, scheme, address, connector: connectorName(name, url), from };
    }));
  }

  async inventory(connection: string): Promise<ConnectionInventory> {
    const { tables, objects } = await asPostgres(this.deps.systems.open(connection)).use(async (client) => {
      const found = await inventory(client);
      return { tables: found, objects: await carriableObjects(client, found) };
    });
    return {
      connection, objects,
      tables: tables.map(({ schema, name, kind, columns, primaryKey, key, foreignKeys, rowsEstimate, bytes, obstacle }) => ({
        schema, table: name, kind, columns, primaryKey, key, rowsEstimate, bytes, obstacle,
        foreignKeys: foreignKeys.map((fk) => ({ columns: fk.columns, schema: fk.refSchema, table: fk.refTable, referencedColumns: fk.refColumns })),
      })),
      problems: tables.flatMap((table) => table.problems.map((message) => ({ severity: 'warning' as const, place: `${table.schema}.${table.name}`, message }))),
    };
  }

  async loadPlan(plan: string | object): Promise<LoadedPlan> {
    const { text, path: file } = typeof plan === 'string' ? await this.planText(plan) : { text: plan, path: null };
    const { plan: parsed, warnings } = parsePlan(text, { transforms: this.deps.transforms });
    // The text is sent as it was written: the worker that admits it applies the defaults of its own version.
    return { path: file, input: typeof text === 'string' ? (parseYaml(text) as object) : text, plan: parsed, hash: planHash(parsed), problems: warnings };
  }

  private async planText(plan: string): Promise<{ text: string; path: string }> {
    const file = path.resolve(plan);
    if (existsSync(file) && statSync(file).isFile()) return { text: readFileSync(file, 'utf8'), path: file };
    if (/[\\/]/.test(plan)) throw new MigrationError('PLAN_NOT_FOUND', `there is no plan file ${plan}`);
    return this.deps.plans.read(plan);
  }

  async checkPlan(plan: string | object, options: { connect: boolean; grants: boolean }) {
    const loaded = await this.loadPlan(plan);
    const live = options.connect ? await checkPlanLive(this.deps, loaded.plan) : [];
    return { plan: loaded.plan, problems: [...loaded.problems, ...live], grants: options.grants ? await planGrants(this.deps, loaded.plan) : [] };
  }

  async preview(plan: string | object, options: { dataset?: string; rows: number }) {
    const { plan: { datasets }, plan: parsed } = await this.loadPlan(plan);
    if (options.dataset !== undefined && !Object.hasOwn(datasets, options.dataset)) {
      throw new MigrationError('PLAN_INVALID', `the plan has no dataset ${options.dataset}. It has: ${Object.keys(datasets).join(', ')}`);
    }
    const previews = [];
    for (const [name, dataset] of Object.entries(datasets)) {
      if (options.dataset === undefined || options.dataset === name) previews.push(await previewDataset(this.deps, parsed, name, dataset, options.rows));
    }
    return previews;
  }

  status(migration?: string) {
    return readStatus(this.deps, this.where.uiUrl, migration);
  }

  report(migration: string) {
    return readMigrationReport(this.deps, this.where.uiUrl, migration);
  }

  async proposeAmendment(plan: Plan, again: readonly string[] = []) {
    try {
      return await proposeAmendment(this.deps, plan, again);
    } catch (error) {
      if (isMigrationError(error) && error.code === 'PLAN_NOT_FOUND') return null;
      throw error;
    }
  }

  amend(plan: Plan, request: Parameters<Door['amend']>[1]) { return amendPlan(this.deps, plan, request); }

  differences(...request: Parameters<Door['differences']>) { return listDifferent(this.deps, ...request); }
  quarantineList(...request: Parameters<Door['quarantineList']>) { return listQuarantined(this.deps, ...request); }
  quarantineReplay(...request: Parameters<Door['quarantineReplay']>) { return replayQuarantined(this.deps, ...request); }
  quarantineWaive(...request: Parameters<Door['quarantineWaive']>) { return waiveQuarantined(this.deps, ...request); }

  rollbackForecast(start: Parameters<Door['rollbackForecast']>[0]) { return forecastRollback(this.deps, start); }
  rollbackOffline(...request: Parameters<Door['rollbackOffline']>) { return rollBackOffline(this.deps, ...request); }

  keptUndo(migration: string) { return keptUndo(this.deps, migration); }
  forgetUndo(request: Parameters<Door['forgetUndo']>[0]) { return forgetUndo(this.deps, request); }
  forgetSubject(request: Parameters<Door['forgetSubject']>[0]) { return forgetSubject(this.deps, request); }

  async temporal(options: { waitMs?: number } = {}): Promise<TemporalDoor> {
    this.client ??= this.connectTemporal(options.waitMs);
    this.client.catch(() => { this.client = null; });
    return (await this.client).door;
  }

  private async connectTemporal(waitMs?: number) {
    const { address, namespace, uiUrl } = this.where;
    const { connection, close } = await connectClient(this.where, waitMs);
    this.closing.push(close);
    const client = new Client({ connection, namespace });
    return { connection, door: { client, address, namespace, uiUrl, workflowLink: (id: string) => (uiUrl === null ? null : workflowLink(uiUrl, namespace, id)) } };
  }

  async startWorker(request: WorkerRequest = {}): Promise<RunningWorker> {
    // Before anything else of the worker library: it fixes its log at the first connection.
    installTelemetry(this.log, this.level);
    const { client } = await this.temporal();
    const connection = await connectWorker(this.where);
    const deps = this.dependencies({
      owners: ownersOf(client, this.where.namespace, this.where.uiUrl),
      searchAttributes: await registerSearchAttributes(connection, this.where.namespace, this.log),
    });
    const release = async (): Promise<void> => {
      await deps.systems.close();
      await closeNative(connection);
    };
    const started = await startWorkers({
      connection, deps, namespace: this.where.namespace, migration: request.migration, copySlots: request.copySlots,
      sides: request.sides ?? (request.migration === undefined ? this.book.list().map((entry) => entry.name) : []),
    }).catch(async (error: unknown) => {
      await release();
      throw error;
    });
    let stopped: Promise<void> | null = null;
    const stop = (): Promise<void> => (stopped ??= started.stop().then(release));
    this.closing.push(stop);
    return { queues: started.queues, failed: started.failed, stop };
  }

  async close(): Promise<void> {
    for (let work = this.closing.pop(); work; work = this.closing.pop()) await work().catch(() => undefined);
  }
}

function connectorName(name: string, url: string): string {
  try {
    return connectorFor(name, url).name;
  } catch {
    return 'not built yet';
  }
}

/** A connection that its worker still holds cannot be closed: then it ends with the process. */
async function closeNative(connection: NativeConnection): Promise<void> {
  await connection.close().catch(() => undefined);
}
