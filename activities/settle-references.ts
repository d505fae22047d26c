import { MigrationError } from '../migration/errors';
import type { RunRef, SettledReferences } from '../migration/protocol';
import { finishObjects, followSequences } from './carry-objects';
import type { TableName } from './connectors/postgres/sql';
import type { ActivityDependencies } from './dependencies';
import { underFence } from './reconciliation/dataset-fence';
import { rebuildDropped, standingOf, takeAway } from './reconciliation/dropped-objects';
import { whileAlive } from './reconciliation/liveness';
import { moveOrphans, readForeignKey, type Reference } from './reconciliation/references';
import { withSource } from './reconciliation/row-mover';
import { replayEarlyChildren } from './reconciliation/early-children';
import { Settling, type TakenObject } from './reconciliation/settling';
import { restoreUnprovedChecks } from './reconciliation/unproved-checks';
import { loadRun } from './run-context';
import { withWholePlan } from './run-plan';

type Chosen = ReadonlySet<string>;

/**
 * Moves orphans to quarantine until none is left, over all foreign keys and `references` rules that touch these datasets (self-references and
 * cycles included), then builds and validates the foreign keys and turns triggers on again. What leans on a dataset that is not closed yet waits
 * for the call that brings it. Fenced and repeatable. The numbers are those of all calls so far.
 * @throws MigrationError `ROW_REFUSED` (`on_invalid: fail`, or rows of a table outside the plan are orphans), `MAPPING_INVALID`, `FENCED`.
 */
export function settleReferences(deps: ActivityDependencies, input: { ref: RunRef; datasets?: string[]; group?: string }): Promise<SettledReferences> {
  return whileAlive((signal) => settle(deps, input, signal));
}

async function settle(deps: ActivityDependencies, input: { ref: RunRef; datasets?: string[]; group?: string }, signal: AbortSignal): Promise<SettledReferences> {
  const settling = await Settling.of(deps, await loadRun(deps, withWholePlan(input.ref)));
  const { plan } = await loadRun(deps, input.ref);
  const chosen: Chosen = new Set([...settling.choose(input)].filter((name) => Object.hasOwn(plan.datasets, name)));
  const keys = (await settling.taken('foreign_key')).filter((stored) => isReady(settling, chosen, stored));
  const triggers = (await settling.taken('trigger')).filter((stored) => stored.state === 'dropped' && chosen.has(childOf(settling, stored) ?? stored.dataset));
  const references = [...(await foreignKeyReferences(settling, keys)), ...(await ruleReferences(settling, chosen))];
  for (const stored of [...keys, ...triggers]) {
    signal.throwIfAborted();
    await takeAwayAgain(settling, chosen, stored);
  }
  await replayEarlyChildren(settling, chosen, signal);
  await toFixpoint(settling, references, signal);
  for (const stored of [...keys, ...triggers]) {
    signal.throwIfAborted();
    const { target, held } = await holderOf(settling, chosen, stored);
    await rebuildDropped(target, held, stored);
  }
  const notCarried = await finishAllObjects(deps, settling, chosen, signal);
  return { ...(await summary(settling, chosen)), ...(notCarried.length > 0 && { notCarried }) };
}

function childOf(settling: Settling, { connection, object }: TakenObject): string | undefined {
  return settling.owner(connection, { schema: object.schema, name: object.table });
}

/** Foreign keys that touch a chosen dataset, and whose two ends, where the plan loads them, are closed. */
function isReady(settling: Settling, chosen: Chosen, stored: TakenObject): boolean {
  const { references } = stored.object;
  const ends = [childOf(settling, stored), references ? settling.owner(stored.connection, references) : undefined];
  const touches = chosen.has(stored.dataset) || ends.some((end) => end !== undefined && chosen.has(end));
  return stored.state === 'dropped' && touches && ends.every((end) => end === undefined || settling.closed.has(end));
}

/** Rows of tables outside the plan are nobody's to move: their foreign keys are only built. */
async function foreignKeyReferences(settling: Settling, keys: readonly TakenObject[]): Promise<Reference[]> {
  const found: Reference[] = [];
  for (const stored of keys) {
    const { object, connection } = stored;
    // One that the source has not proved either forbids no row that is there.
    if (/ NOT (VALID|ENFORCED)$/.test(object.definition)) continue;
    const child = childOf(settling, stored);
    const key = readForeignKey(object);
    if (child === undefined || !key || !object.references) continue;
    const parent = settling.owner(connection, object.references);
    found.push({ ...key, child: await settling.open(child), parent: object.references, parentSides: parent === undefined ? null : await settling.open(parent) });
  }
  return found;
}

async function ruleReferences(settling: Settling, chosen: Chosen): Promise<Reference[]> {
  const found: Reference[] = [];
  for (const name of settling.closed) {
    for (const [column, target] of Object.entries(settling.run.plan.datasets[name]?.validation.references ?? {})) {
      const dot = target.indexOf('.');
      const parentName = target.slice(0, dot);
      if (!settling.closed.has(parentName) || !(chosen.has(name) || chosen.has(parentName))) continue;
      const parent = settling.place(parentName);
      if (parent.connection !== settling.place(name).connection) {
        throw new MigrationError('MAPPING_INVALID', `datasets.${name}.validation.references.${column}: ${parentName} is in another target. References can be judged inside one target only; use an integrity check instead.`);
      }
      found.push({ child: await settling.open(name), columns: [column], parent: parent.table, parentColumns: [target.slice(dot + 1)], parentSides: await settling.open(parentName), matchFull: false });
    }
  }
  return found;
}

/** Each move may leave other rows without a parent. Every round moves at least one row, so it ends. */
async function toFixpoint(settling: Settling, references: readonly Reference[], signal: AbortSignal): Promise<void> {
  for (let moved = true; moved;) {
    moved = false;
    for (const reference of references) {
      signal.throwIfAborted();
      const { held } = await settling.hold(reference.child.ctx.name);
      if (await withSource(reference.child, (source) => moveOrphans(source, reference, held, signal)) > 0) moved = true;
    }
  }
}

/** A foreign key that `restoreObjects` gave back would hold on to orphans that others point to; a trigger that it turned on would fire for them. */
async function takeAwayAgain(settling: Settling, chosen: Chosen, stored: TakenObject): Promise<void> {
  const { target, held } = await holderOf(settling, chosen, stored);
  const standing = await target.use((client) => standingOf(client, stored));
  if (stored.object.kind === 'trigger' ? standing === 'there' : standing !== 'away') await underFence(target, held, (client) => takeAway(client, stored));
}

/** Under the fence of the dataset whose table it is, else of the one that took it away, else of any chosen one of that target. */
async function holderOf(settling: Settling, chosen: Chosen, stored: TakenObject) {
  const here = (name: string | undefined): name is string => name !== undefined && settling.closed.has(name) && settling.place(name).connection === stored.connection;
  const name = [childOf(settling, stored), stored.dataset, ...chosen].find(here);
  if (name === undefined) throw new MigrationError('INTERNAL', `no dataset stands for ${stored.object.kind.replace('_', ' ')} ${stored.object.name}`);
  return settling.hold(name);
}

/** Checks that are not proved, views, triggers and the like, that waited for the rows: once per target, under the fence of one of its datasets. */
async function finishAllObjects(deps: ActivityDependencies, settling: Settling, chosen: Chosen, signal: AbortSignal): Promise<string[]> {
  const notCarried: string[] = [];
  for (const connection of settling.targets.keys()) {
    const name = [...chosen].find((one) => settling.place(one).connection === connection);
    if (name === undefined) continue;
    const { target, held } = await settling.hold(name);
    const isLoading = (table: TableName): boolean => !settling.closed.has(settling.owner(connection, table) ?? name);
    await restoreUnprovedChecks(target, held, isLoading, signal);
    notCarried.push(...(await finishObjects(target, held, settling.closed, signal)));
    await followSequences(deps, target, held);
  }
  return notCarried;
}

async function summary(settling: Settling, chosen: Chosen): Promise<SettledReferences> {
  const result: SettledReferences = { movedToQuarantine: 0, foreignKeysBuilt: 0 };
  for (const target of settling.targets.values()) {
    const { rows } = await target.use((client) => client.query<{ dataset: string; rows: string }>(
      `SELECT a.dataset, coalesce(sum(a.quarantined_rows), 0)::text AS rows FROM caravan.adjustment a JOIN caravan.dataset d USING (migration, dataset, generation)
       WHERE a.migration = $1 AND a.cause = 'references' GROUP BY a.dataset`, [settling.ref.migration]));
    for (const row of rows) if (chosen.has(row.dataset)) result.movedToQuarantine += Number(row.rows);
  }
  for (const stored of await settling.taken('foreign_key')) if (stored.state === 'rebuilt' && chosen.has(childOf(settling, stored) ?? '')) result.foreignKeysBuilt += 1;
  return result;
}
