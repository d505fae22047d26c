import { MigrationError } from '../migration/errors';
import type { RunRef, SettledReferences } from '../migration/protocol';
import { finishObjects } from './carry-objects';
import { sameTable, type TableName } from './connectors/postgres/sql';
import type { ActivityDependencies } from './dependencies';
import { takeDatasetFence, underFence, type DatasetFence } from './reconciliation/dataset-fence';
import type { DatasetSides } from './reconciliation/dataset-sides';
import { readDropped, rebuildDropped, standingOf, takeAway, type StoredObject } from './reconciliation/dropped-objects';
import { whileAlive } from './reconciliation/liveness';
import { openSides } from './reconciliation/open-sides';
import { moveOrphans, readForeignKey, type Reference } from './reconciliation/references';
import { withSource } from './reconciliation/row-mover';
import { loadDataset, loadRun } from './run-context';
import { hasTable } from './stores/control-store';

/** A dropped foreign key, and the connection of the target it belongs to. */
interface ForeignKey extends StoredObject { connection: string }
interface Settling { all: Map<string, DatasetSides>; chosen: Set<string>; fences: Map<string, DatasetFence> }

/**
 * Moves orphans to quarantine until none is left, over all foreign keys and `references` rules that touch these datasets (self-references and
 * cycles included), then builds and validates the foreign keys and turns triggers on again. What leans on a dataset that is not closed yet waits
 * for the call that brings it. Fenced and repeatable. The numbers are those of all calls so far.
 * @throws MigrationError `ROW_REFUSED` (`on_invalid: fail`, or rows of a table outside the plan are orphans), `MAPPING_INVALID`, `FENCED`.
 */
export function settleReferences(deps: ActivityDependencies, input: { ref: RunRef; datasets: string[] }): Promise<SettledReferences> {
  return whileAlive((signal) => settle(deps, input, signal));
}

async function settle(deps: ActivityDependencies, input: { ref: RunRef; datasets: string[] }, signal: AbortSignal): Promise<SettledReferences> {
  const run = await loadRun(deps, input.ref);
  const all = new Map<string, DatasetSides>();
  for (const name of Object.keys(run.plan.datasets)) {
    signal.throwIfAborted();
    const sides = await openClosed(deps, input.ref, name);
    if (sides) all.set(name, sides);
  }
  const settling: Settling = { all, chosen: new Set(input.datasets), fences: new Map() };
  for (const name of input.datasets) {
    if (!all.has(name)) throw new MigrationError('INTERNAL', `dataset ${name} is not closed yet, so its references cannot be settled`);
  }
  const objects = await droppedForeignKeys(settling, run.plan.datasets, run, deps);
  const references = [...foreignKeyReferences(settling, objects), ...ruleReferences(settling)];
  for (const name of new Set([...input.datasets, ...references.map((reference) => reference.child.ctx.name)])) {
    const sides = all.get(name);
    if (sides) settling.fences.set(name, await takeDatasetFence(sides.ctx.target, input.ref.migration, name));
  }
  for (const stored of objects) await takeAwayUnder(settling, stored);
  for (const name of input.datasets) await restTriggers(settling, name);
  await toFixpoint(settling, references, signal);
  for (const stored of objects) {
    signal.throwIfAborted();
    await rebuildUnder(settling, stored);
  }
  for (const name of input.datasets) await restoreTriggers(settling, name);
  const notCarried = await finishAllObjects(settling, signal);
  return { ...(await summary(settling)), ...(notCarried.length > 0 && { notCarried }) };
}

async function openClosed(deps: ActivityDependencies, ref: RunRef, dataset: string): Promise<DatasetSides | null> {
  const ctx = await loadDataset(deps, { ref, dataset });
  try {
    const closed = await ctx.target.use(async (client) => {
      if (!(await hasTable(client, 'dataset'))) return false;
      const { rowCount } = await client.query(`SELECT 1 FROM caravan.dataset WHERE migration = $1 AND dataset = $2 AND state = 'closed'`, [ref.migration, dataset]);
      return rowCount === 1;
    });
    return closed ? await openSides(deps, ctx, true) : null;
  } catch (error) {
    // A worker of another side: datasets of that target have nothing to do with ours.
    if (error instanceof MigrationError && error.code === 'CONNECTION_UNKNOWN') return null;
    throw error;
  }
}

type Datasets = Awaited<ReturnType<typeof loadRun>>['plan']['datasets'];

/** Dropped foreign keys that touch a chosen dataset, and whose two ends, where the plan loads them, are closed. Once per target. */
async function droppedForeignKeys({ all, chosen }: Settling, datasets: Datasets, { ref }: { ref: RunRef }, deps: ActivityDependencies): Promise<ForeignKey[]> {
  const found = new Map<string, ForeignKey>();
  const tables: { name: string; connection: string; table: TableName }[] = [];
  for (const name of Object.keys(datasets)) {
    const ctx = await loadDataset(deps, { ref, dataset: name });
    tables.push({ name, connection: ctx.dataset.target.connection, table: { schema: ctx.targetTable.schema, name: ctx.targetTable.table } });
  }
  for (const name of chosen) {
    const sides = all.get(name);
    if (!sides) continue;
    const connection = sides.ctx.dataset.target.connection;
    const owner = (table: TableName) => tables.find((one) => one.connection === connection && sameTable(one.table, table))?.name;
    for (const stored of await sides.ctx.target.use((client) => readDropped(client, ref.migration, ['foreign_key']))) {
      const ends = [owner({ schema: stored.object.schema, name: stored.object.table }), stored.object.references ? owner(stored.object.references) : undefined];
      const touches = chosen.has(stored.dataset) || ends.some((end) => end !== undefined && chosen.has(end));
      const ready = ends.every((end) => end === undefined || all.has(end));
      if (touches && ready && stored.state === 'dropped') found.set(`${connection}/${stored.id}`, { ...stored, connection });
    }
  }
  return [...found.values()];
}

/** Rows of tables outside the plan are nobody's to move: their foreign keys are only built. */
function foreignKeyReferences({ all }: Settling, objects: readonly ForeignKey[]): Reference[] {
  return objects.flatMap(({ object, connection }) => {
    const child = sidesOf(all, connection, { schema: object.schema, name: object.table });
    const key = readForeignKey(object);
    if (!child || !key || !object.references) return [];
    return [{ ...key, child, parent: object.references, parentSides: sidesOf(all, connection, object.references) }];
  });
}

function sidesOf(all: Settling['all'], connection: string, table: TableName): DatasetSides | null {
  for (const sides of all.values()) if (sides.ctx.dataset.target.connection === connection && sameTable({ schema: sides.ctx.targetTable.schema, name: sides.ctx.targetTable.table }, table)) return sides;
  return null;
}

function ruleReferences({ all, chosen }: Settling): Reference[] {
  const references: Reference[] = [];
  for (const [name, child] of all) {
    for (const [column, target] of Object.entries(child.ctx.dataset.validation.references)) {
      const dot = target.indexOf('.');
      const parentName = target.slice(0, dot);
      const parentSides = all.get(parentName);
      if (!parentSides || !(chosen.has(name) || chosen.has(parentName))) continue;
      if (parentSides.ctx.dataset.target.connection !== child.ctx.dataset.target.connection) {
        throw new MigrationError('MAPPING_INVALID', `datasets.${name}.validation.references.${column}: ${parentName} is in another target. References can be judged inside one target only; use an integrity check instead.`);
      }
      const { schema, table } = parentSides.ctx.targetTable;
      references.push({ child, columns: [column], parent: { schema, name: table }, parentColumns: [target.slice(dot + 1)], parentSides, matchFull: false });
    }
  }
  return references;
}

/** Each move may leave other rows without a parent. Every round moves at least one row, so it ends. */
async function toFixpoint({ fences }: Settling, references: readonly Reference[], signal: AbortSignal): Promise<void> {
  for (let moved = true; moved;) {
    moved = false;
    for (const reference of references) {
      signal.throwIfAborted();
      const held = fences.get(reference.child.ctx.name);
      if (held && await withSource(reference.child, (source) => moveOrphans(source, reference, held, signal)) > 0) moved = true;
    }
  }
}

/** A foreign key that `restoreObjects` gave back would hold on to orphans that others point to. */
async function takeAwayUnder(settling: Settling, stored: ForeignKey): Promise<void> {
  const holder = holderOf(settling, stored);
  if (!holder || (await holder.sides.ctx.target.use((client) => standingOf(client, stored))) === 'away') return;
  await underFence(holder.sides.ctx.target, holder.held, (client) => takeAway(client, stored));
}

/** Triggers that `restoreObjects` turned on sleep until the orphans are moved. */
async function restTriggers({ all, fences }: Settling, name: string): Promise<void> {
  const sides = all.get(name);
  const held = fences.get(name);
  if (!sides || !held) return;
  for (const stored of await ownTriggers(sides)) {
    if ((await sides.ctx.target.use((client) => standingOf(client, stored))) === 'there') await underFence(sides.ctx.target, held, (client) => takeAway(client, stored));
  }
}

async function ownTriggers({ ctx }: DatasetSides): Promise<StoredObject[]> {
  const { schema, table } = ctx.targetTable;
  const triggers = await ctx.target.use((client) => readDropped(client, ctx.ref.migration, ['trigger']));
  return triggers.filter((stored) => stored.state === 'dropped' && stored.object.schema === schema && stored.object.table === table);
}

async function rebuildUnder(settling: Settling, stored: ForeignKey): Promise<void> {
  const holder = holderOf(settling, stored);
  if (holder) await rebuildDropped(holder.sides.ctx.target, holder.held, stored);
}

function holderOf({ all, chosen, fences }: Settling, stored: ForeignKey): { sides: DatasetSides; held: DatasetFence } | null {
  const child = sidesOf(all, stored.connection, { schema: stored.object.schema, name: stored.object.table });
  const name = [child?.ctx.name, stored.dataset, ...chosen].find((candidate) => candidate !== undefined && fences.has(candidate) && all.get(candidate)?.ctx.dataset.target.connection === stored.connection);
  const held = name === undefined ? undefined : fences.get(name);
  const sides = name === undefined ? undefined : all.get(name);
  return held && sides ? { sides, held } : null;
}

async function restoreTriggers({ all, fences }: Settling, name: string): Promise<void> {
  const sides = all.get(name);
  const held = fences.get(name);
  if (!sides || !held) return;
  for (const stored of await ownTriggers(sides)) await rebuildDropped(sides.ctx.target, held, stored);
}

/** Views, triggers and the like that waited for the rows: once per target, under the fence of one of its datasets. */
async function finishAllObjects({ all, chosen, fences }: Settling, signal: AbortSignal): Promise<string[]> {
  const notCarried: string[] = [];
  const finished = new Set<string>();
  for (const name of chosen) {
    const sides = all.get(name);
    const held = fences.get(name);
    if (!sides || !held || finished.has(sides.ctx.dataset.target.connection)) continue;
    finished.add(sides.ctx.dataset.target.connection);
    notCarried.push(...(await finishObjects(sides.ctx.target, held, new Set(all.keys()), signal)));
  }
  return notCarried;
}

async function summary({ all, chosen }: Settling): Promise<SettledReferences> {
  const result: SettledReferences = { movedToQuarantine: 0, foreignKeysBuilt: 0 };
  for (const name of chosen) {
    const sides = all.get(name);
    if (!sides) continue;
    const { migration } = sides.ctx.ref;
    await sides.ctx.target.use(async (client) => {
      const { rows } = await client.query<{ rows: string }>(
        `SELECT coalesce(sum(quarantined_rows), 0)::text AS rows FROM caravan.adjustment WHERE migration = $1 AND dataset = $2 AND generation = $3 AND cause = 'references'`,
        [migration, name, sides.ledger.generation]);
      result.movedToQuarantine += Number(rows[0]?.rows ?? 0);
      const built = await readDropped(client, migration, ['foreign_key']);
      result.foreignKeysBuilt += built.filter((stored) => stored.state === 'rebuilt' && stored.object.schema === sides.ctx.targetTable.schema && stored.object.table === sides.ctx.targetTable.table).length;
    });
  }
  return result;
}
