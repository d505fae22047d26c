import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Context } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode, makeTelemetryFilterString, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { noCounts } from '../../migration/accounting';
import {
  QUERIES, WORKFLOWS,
  type CheckOutcome, type CompareResult, type ControlActivities, type CopyActivities, type DatasetView, type ErrorCode, type LifeStep, type MigrationResult, type RunProgress,
  type PreparationActivities, type RollbackActivities, type RunView, type SegmentRef, type SliceResult,
} from '../../migration/protocol';
import { rollbackWorkflowId } from '../../migration/rollback-steps';
import { testStack } from '../fixtures/stack';

export type Activities = ControlActivities & CopyActivities;
export interface Call { name: keyof Activities; input: Record<string, unknown> }

/** What the fake activities know. They stand for the ledger only as far as the decisions of the workflows need: the decisions are under test here, not the data. */
export class World {
  readonly calls: Call[] = [];
  version = 0;
  /** Slices that each split still needs, by `dataset/ordinal`. */
  readonly left = new Map<string, number>();
  readonly done = new Set<string>();

  constructor(readonly view: RunView, readonly splits: number, readonly slices: number) {
    for (const { name } of view.datasets) for (let ordinal = 0; ordinal < splits; ordinal++) this.left.set(`${name}/${ordinal}`, slices);
  }

  named(name: keyof Activities): Record<string, unknown>[] {
    return this.calls.filter((call) => call.name === name).map((call) => call.input);
  }

  order(...names: (keyof Activities)[]): string[] {
    return this.calls.filter((call) => names.includes(call.name)).map(({ name, input }) => (typeof input['dataset'] === 'string' ? `${name} ${input['dataset']}` : name));
  }

  unfinished(dataset: string): number[] {
    return Array.from({ length: this.splits }, (_, ordinal) => ordinal).filter((ordinal) => (this.left.get(`${dataset}/${ordinal}`) ?? 0) > 0);
  }

  slice(dataset: string, ordinal: number): SliceResult {
    const key = `${dataset}/${ordinal}`;
    const left = (this.left.get(key) ?? 1) - 1;
    this.left.set(key, left);
    this.version++;
    return { state: left > 0 ? 'more' : 'done', counts: { ...noCounts(), read: 10, written: 10 }, commits: 1 };
  }
}

export function refused(code: ErrorCode, message = `${code} in a test`): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message, nonRetryable: true });
}

export function datasetView(name: string, more: Partial<DatasetView> = {}): DatasetView {
  return { name, after: [], group: null, mode: 'fused', sourceSide: 'legacy', targetSide: 'new', ...more };
}

export function runView(datasets: DatasetView[], more: Partial<RunView> = {}, settings: Partial<RunView['settings']> = {}): RunView {
  return {
    ref: { migration: 'shop', planHash: 'hash', control: 'new_db', lease: 1 },
    approach: 'big_bang', datasets, groups: [], gates: [], complete: false, searchAttributes: false,
    settings: { parallelWorkers: 2, parallelDatasets: 2, onAbort: 'keep', sliceMs: 100, sliceMaxMs: 1_000, idleSlicesMax: 3, validate: true, repair: false, ...settings },
    ...more,
  };
}

/** Preparation and rehearsal as they go when all is well. */
const preparing: PreparationActivities = {
  assessPreparation: () => Promise.resolve({ datasets: 1, personalData: 0, forecastMs: 1_000, lowMs: 500, highMs: 2_000, problems: [] }),
  backUp: () => Promise.resolve({ backups: 2, rows: 20, bytes: 200, left: [] }),
  rehearsalState: () => Promise.resolve({ open: true, why: null }), waiveRehearsal: () => Promise.resolve(),
  openRehearsal: ({ ref }) => Promise.resolve({ id: 1, ref: { ...ref, migration: `${ref.migration}-rehearsal` }, view: runView([datasetView('users')]), rows: 10 }),
  measureRehearsal: () => Promise.resolve(), rehearseRollback: () => Promise.resolve({ rows: 10, milliseconds: 5, equal: true, different: [] }),
  closeRehearsal: () => Promise.resolve({ passed: true, rows: 10, failures: [] }),
};

/** Activities that succeed; each call is noted in the world. */
function succeeding(world: World): Activities {
  const outcome = (name: string, kind: CheckOutcome['kind'], dataset?: string): CheckOutcome => ({ name, kind, verdict: 'passed', detail: '', dataset });
  const segment = (from: { dataset: string; generation: number; ordinal: number }, stage: SegmentRef['stage']): SegmentRef =>
    ({ dataset: from.dataset, generation: from.generation, ordinal: from.ordinal, commitNo: 1, stage, file: 'segment', sha256: '', rows: 10, last: false });
  const inventory = { tables: 1, rows: 10, bytes: 10, problems: [] };
  return {
    lifeSteps: () => Promise.resolve([]),
    blockWrites: stepDone, allowWrites: stepDone, proveWriters: stepDone, switchApplication: stepDone, forwardSequences: stepDone, measureBaseline: stepDone, recordStep: stepDone,
    undoStep: ({ id }) => stepDone({ attempt: 1, step: `step ${id}` }),
    openCutover: () => Promise.resolve({ attempt: 1, complete: false, leftovers: [], unclaimed: 0 }),
    watchProbes: ({ seen }) => Promise.resolve({ ...seen, looks: seen.looks + 1 }),
    dryRunCutover: () => Promise.resolve([]),
    ...({} as RollbackActivities),
    ...preparing,
    admit: () => Promise.resolve(world.view), readmit: () => Promise.resolve(world.view),
    recordStatus: () => Promise.resolve(), recordApproval: () => Promise.resolve({}), recordDecision: () => Promise.resolve(), closeRun: () => Promise.resolve(undefined), forgetExpiredUndo: () => Promise.resolve({ until: null, forgotten: 0 }), notify: () => Promise.resolve(),
    async watchProgress({ seen, maxWaitMs }) {
      const until = Date.now() + Math.min(maxWaitMs, 3_000);
      while (String(world.version) === seen && Date.now() < until) await Context.current().sleep(50);
      const counts = { ...noCounts(), read: world.version * 10, written: world.version * 10 };
      const datasets = world.view.datasets.map(({ name }) => ({ dataset: name, state: world.done.has(name) ? 'done' as const : 'copying' as const, total: 100, counts: noCounts() }));
      return { datasets, total: 100, counts, openQuarantine: 0, rowsPerSecond: 5, alerts: [], version: String(world.version) };
    },
    takeInventory: () => Promise.resolve(inventory), analyzeSchema: () => Promise.resolve(inventory),
    createSchema: () => Promise.resolve({ created: [] }), runChecks: () => Promise.resolve({ outcomes: [outcome('orders_have_users', 'integrity')], failed: 0 }),
    openDataset: ({ dataset }) => Promise.resolve({ generation: 1, splitCount: world.splits, keyed: true, done: world.done.has(dataset), unfinished: world.unfinished(dataset) }),
    copySplit: ({ dataset, ordinal }) => Promise.resolve(world.slice(dataset, ordinal)),
    copyGeneration: ({ dataset }) => Promise.resolve(world.slice(dataset, 0)),
    readBatch: (input) => Promise.resolve(segment(input, 'read')),
    transformBatch: (input) => Promise.resolve({ ...input.segment, stage: 'transformed' }),
    validateBatch: (input) => Promise.resolve({ ...input.segment, stage: 'validated' }),
    writeBatch: ({ dataset, segment: { ordinal } }) => Promise.resolve(world.slice(dataset, ordinal)),
    closeDataset({ dataset }) {
      world.done.add(dataset);
      world.version++;
      return Promise.resolve({ counts: noCounts(), movedToQuarantine: 0, indexesBuilt: 1 });
    },
    isServed: () => Promise.resolve(false),
    planWork: () => Promise.resolve({ units: [], last: true }),
    moveBundle({ datasets }) {
      for (const dataset of datasets) world.done.add(dataset);
      world.version++;
      return Promise.resolve({ done: datasets, left: [] });
    },
    compareBundle: ({ datasets }) => Promise.resolve({ done: datasets, left: [], tally: { passed: datasets.length, compared: 10 * datasets.length, checks: [], comparisons: [], more: 0 } }),
    settleReferences: () => Promise.resolve({ movedToQuarantine: 0, foreignKeysBuilt: 1 }),
    restoreObjects: ({ datasets }) => Promise.resolve({ restored: datasets?.length ?? 0, left: [] }),
    compareCounts: ({ dataset }) => Promise.resolve(outcome('counts', 'count', dataset)),
    compareSample: ({ dataset }) => Promise.resolve(outcome('sample', 'sample', dataset)),
    compareRows: ({ dataset }) => Promise.resolve(comparison(dataset)),
  };
}

function stepDone({ attempt, step }: { attempt: number; step: string }): Promise<LifeStep> {
  const at = new Date().toISOString();
  return Promise.resolve({ id: 1, attempt, step, state: 'done', epoch: 1, undo: { do: 'none' }, evidence: { what: step }, openedAt: at, closedAt: at });
}

export function comparison(dataset: string, more: Partial<CompareResult> = {}): CompareResult {
  return { dataset, compared: 10, missing: 0, extra: 0, different: 0, unreadable: 0, explained: 0, repaired: 0, verdict: 'passed', detail: '', ...more };
}

/** A slice that takes its time and hears of cancellation, as a real one does. */
export async function slowly(ms: number): Promise<void> {
  const until = Date.now() + ms;
  while (Date.now() < until) {
    Context.current().heartbeat();
    await Context.current().sleep(50);
  }
}

export interface Scenario {
  /** Names the recorded histories. */
  name: string;
  view: RunView;
  splits?: number;
  slices?: number;
  activities?: (world: World, usual: Activities) => Partial<Activities>;
  workflow?: keyof typeof WORKFLOWS;
  input?: Record<string, unknown>;
}

export interface Started { handle: WorkflowHandle; world: World; client: Client; result(): Promise<MigrationResult>; progress(): Promise<RunProgress>; until(state: (progress: RunProgress) => boolean, looks?: number): Promise<RunProgress> }

let bundle: Promise<WorkflowBundleWithSourceMap> | undefined;
let connections: Promise<{ worker: NativeConnection; client: Connection }> | undefined;

export function workflowBundle(): Promise<WorkflowBundleWithSourceMap> {
  bundle ??= bundleWorkflowCode({ workflowsPath: require.resolve('../../workflows/index.ts'), logger: new DefaultLogger('WARN') });
  return bundle;
}

async function connect() {
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }), forward: {} } } });
  const address = testStack().temporal;
  return { worker: await NativeConnection.connect({ address }), client: await Connection.connect({ address }) };
}

export async function disconnect(): Promise<void> {
  const open = await connections;
  await open?.client.close();
  await open?.worker.close();
  connections = undefined;
}

/** Starts the scenario on a queue of its own with its own worker, and hands it to `body`. Whatever still runs afterwards is terminated. */
export async function play(scenario: Scenario, body: (started: Started) => Promise<void>): Promise<void> {
  connections ??= connect();
  const connection = await connections;
  const world = new World(scenario.view, scenario.splits ?? 2, scenario.slices ?? 2);
  const usual = succeeding(world);
  const queue = `test-${randomUUID()}`;
  const worker = await Worker.create({
    connection: connection.worker, taskQueue: queue, workflowBundle: await workflowBundle(), activities: noting(world, { ...usual, ...scenario.activities?.(world, usual) }),
    identity: 'test', maxHeartbeatThrottleInterval: '100ms', defaultHeartbeatThrottleInterval: '100ms', shutdownForceTime: '5s',
  });
  const client = new Client({ connection: connection.client, identity: 'test' });
  await worker.runUntil(async () => {
    const handle = await client.workflow.start(WORKFLOWS[scenario.workflow ?? 'migration'], { workflowId: `run-${randomUUID()}`, taskQueue: queue, args: [{ plan: 'shop', activityQueue: queue, ...scenario.input }] });
    const progress = () => handle.query<RunProgress>(QUERIES.progress);
    const until = async (state: (progress: RunProgress) => boolean, looks = 200) => {
      for (let look = 0; ; look++) {
        const now = await progress();
        if (state(now)) return now;
        if (look > looks) throw new Error(`The run never got there: ${JSON.stringify(now)}; calls: ${world.calls.map((call) => call.name).join(' ')}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    try {
      await body({ handle, world, client, progress, until, result: () => handle.result() as Promise<MigrationResult> });
      await record(scenario, client, handle.workflowId);
    } finally {
      await handle.terminate().catch(() => undefined);
    }
  });
}

function noting(world: World, activities: Activities): Activities {
  const noted = Object.entries(activities).map(([name, activity]) => [name, (input: Record<string, unknown>) => {
    world.calls.push({ name: name as keyof Activities, input });
    return (activity as (input: unknown) => Promise<unknown>)(input);
  }]);
  return Object.fromEntries(noted) as Activities;
}

/** One scenario for each kind of path; the others differ in what the activities answered. */
const RECORDED = ['big-bang', 'phased', 'blocked-update', 'skipped', 'aborted', 'paused', 'cancelled', 'terminated-child', 'fenced', 'continued', 'staged', 'generation', 'generation-paused', 'not-restored', 'busy', 'alert', 'repair', 'validation-alone', 'amended', 'amended-blocked', 'amended-gate', 'paged', 'paged-skipped', 'rehearsed', 'cutover', 'cutover-undone', 'rolled-back', 'rollback-confirmed'];

/** With CARAVAN_RECORD_HISTORIES set, the histories of the run and its children become fixtures of the replay test. */
async function record({ name, view }: Scenario, client: Client, workflowId: string): Promise<void> {
  if (!process.env['CARAVAN_RECORD_HISTORIES'] || !RECORDED.includes(name)) return;
  const folder = path.join(__dirname, '../replay/histories', name);
  mkdirSync(folder, { recursive: true });
  const children = ['', '/1-preparation', '/1-test', '/1-test-production', '/1-test-validation', '/2-production', '/2-production-first', '/2-production-ungrouped', '/2-bundle-tiny_1', '/3-validation', '/users', '/3-cutover', '/4-validation'].map((child) => ({ id: `${workflowId}${child}`, file: child.slice(1) || 'root' }));
  for (const { id, file } of [...children, { id: rollbackWorkflowId(view.ref.migration), file: 'rollback' }]) {
    try {
      const history = await client.workflow.getHandle(id).fetchHistory();
      writeFileSync(path.join(folder, `${file}.json`), `${historyToJSON(history).replaceAll(/\n\s*/g, '').replaceAll(/"(stackTrace|identity)": ?"(?:[^"\\]|\\.)*"/g, '"$1":""')}\n`);
    } catch {
      // This run had no such child.
    }
  }
}
