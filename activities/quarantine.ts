import type { Reason } from '../migration/batch';
import { MigrationError } from '../migration/errors';
import type { DatasetPlan, Plan } from '../migration/plan/schema';
import type { RunRef } from '../migration/protocol';
import type { ActivityDependencies } from './dependencies';
import { takeDatasetFence } from './reconciliation/dataset-fence';
import { whileAlive } from './reconciliation/liveness';
import { openSides } from './reconciliation/open-sides';
import { replayDataset, type ParentRule, type Replayed } from './reconciliation/replay';
import { withSource } from './reconciliation/row-mover';
import { loadDataset, loadRun, type DatasetContext } from './run-context';
import { audit, hasTable } from './stores/control-store';
import { readQuarantine, type QuarantineRow, type QuarantineState } from './stores/quarantine-store';

/** Which quarantined rows are meant: all given conditions hold. `ref` names the migration by its latest admission. */
export interface QuarantineRequest { ref: RunRef; dataset?: string; rule?: string; ids?: string[] }

/** A row for people: values are masked. `column` of a reason and the column names are plain. */
export interface MaskedRow {
  id: string; dataset: string; reasons: Reason[]; state: QuarantineState; side: 'source' | 'target'; key: string[] | null; columns: string[];
  content: (string | null)[]; createdAt: string; decidedBy: string | null; decidedReason: string | null;
}

const HIDDEN = '***';

/**
 * Quarantined rows of the current generations, dataset by dataset in the plan's order, each in the order it came; at most `limit`, after row id `after`.
 * Every value is masked (its length is told). With `reveal` those outside `pii` are shown, which is written to the audit trail under `by` first.
 */
export async function listQuarantine(deps: ActivityDependencies, request: QuarantineRequest & { state?: QuarantineState; limit: number; after?: string; reveal?: { by: string } }): Promise<MaskedRow[]> {
  const run = await loadRun(deps, request.ref);
  const { reveal } = request;
  if (reveal) {
    requireName(reveal.by, 'shows values');
    await run.control.use((client) => audit(client, request.ref.migration, reveal.by, 'quarantine revealed', { dataset: request.dataset ?? null, rule: request.rule ?? null, ids: request.ids?.length ?? null, limit: request.limit }));
  }
  const answer: MaskedRow[] = [];
  for (const ctx of await contextsOf(deps, request)) {
    if (answer.length >= request.limit) break;
    const rows = await ctx.target.use(async (client) => ((await hasTable(client, 'quarantine'))
      ? readQuarantine(client, { ...filterOf(request), dataset: ctx.name, limit: request.limit - answer.length, ...(request.state ? { states: [request.state] } : {}), ...(request.after ? { after: request.after } : {}) })
      : []));
    const hidden = hiddenColumns(ctx.dataset);
    answer.push(...rows.map((row) => masked(row, hidden, reveal !== undefined)));
  }
  return answer;
}

/**
 * Tries open rows again, parents before children, until nothing more goes in. A row whose source row is gone is closed as `gone`; one that is
 * still refused stays open with its reasons of now. Audited under `by`. @throws MigrationError `SYSTEM_BUSY` while a dataset is being copied.
 */
export async function replayQuarantine(deps: ActivityDependencies, request: QuarantineRequest & { by: string }): Promise<Replayed> {
  requireName(request.by, 'replays');
  const run = await loadRun(deps, request.ref);
  const total: Replayed = { replayed: 0, refused: 0, gone: 0 };
  await whileAlive(async (signal) => {
    const contexts = await contextsOf(deps, request);
    for (let more = true; more;) {
      const round: Replayed = { replayed: 0, refused: 0, gone: 0 };
      for (const ctx of contexts) {
        const one = await replayOne(deps, ctx, request, signal);
        round.replayed += one.replayed;
        round.refused += one.refused;
        round.gone += one.gone;
      }
      total.replayed += round.replayed;
      total.gone += round.gone;
      total.refused = round.refused;
      // A row that went in may be the parent of one that was refused.
      more = round.replayed > 0 && round.refused > 0;
    }
  });
  await run.control.use((client) => audit(client, request.ref.migration, request.by, 'quarantine replayed', { dataset: request.dataset ?? null, rule: request.rule ?? null, ...total }));
  return total;
}

async function replayOne(deps: ActivityDependencies, ctx: DatasetContext, request: QuarantineRequest & { by: string }, signal: AbortSignal): Promise<Replayed> {
  const nothing: Replayed = { replayed: 0, refused: 0, gone: 0 };
  const waiting = await ctx.target.use(async (client) => ((await hasTable(client, 'quarantine'))
    ? readQuarantine(client, { ...filterOf(request), dataset: ctx.name, states: ['open'], limit: 1 })
    : []));
  if (waiting.length === 0) return nothing;
  const sides = await openSides(deps, ctx);
  if (sides.ledger.state !== 'closed') throw new MigrationError('SYSTEM_BUSY', `dataset ${ctx.name} is still being copied; replay its rows when it is done`);
  const parents: ParentRule[] = [];
  for (const [column, target] of Object.entries(ctx.dataset.validation.references)) {
    const dot = target.indexOf('.');
    const parent = await openSides(deps, await loadDataset(deps, { ref: request.ref, dataset: target.slice(0, dot) }));
    parents.push({ column, parent, parentColumn: target.slice(dot + 1) });
  }
  const held = await takeDatasetFence(ctx.target, { migration: request.ref.migration, dataset: ctx.name, generation: sides.ledger.generation, states: ['closed'] });
  return withSource(sides, (source) => (source ? replayDataset(source, sides, held, filterOf(request), parents, request.by, signal) : Promise.resolve(nothing)));
}

/**
 * Lets open rows stay behind for good, in the name of a person and for a reason. They still count as quarantined, but no longer as open. Answers how many.
 * Durable with the rows; the audit trail follows.
 */
export async function waiveQuarantine(deps: ActivityDependencies, request: QuarantineRequest & { by: string; reason: string }): Promise<number> {
  requireName(request.by, 'waives');
  if (request.reason.trim() === '') throw new MigrationError('PLAN_INVALID', 'a waiver needs a reason: it is kept with the rows');
  const run = await loadRun(deps, request.ref);
  let waived = 0;
  for (const ctx of await contextsOf(deps, request)) {
    const rows = await ctx.target.use(async (client) => {
      if (!(await hasTable(client, 'quarantine'))) return 0;
      const { rowCount } = await client.query(
        `UPDATE caravan.quarantine q SET state = 'waived', decided_by = $3, decided_reason = $4, decided_at = clock_timestamp()
         FROM caravan.dataset d WHERE d.migration = q.migration AND d.dataset = q.dataset AND d.generation = q.generation
           AND q.migration = $1 AND q.dataset = $2 AND q.state = 'open' AND ($5::bigint[] IS NULL OR q.id = ANY ($5))
           AND ($6::text IS NULL OR EXISTS (SELECT FROM jsonb_array_elements(q.reasons) r WHERE r ->> 'rule' = $6))`,
        [request.ref.migration, ctx.name, request.by, request.reason, request.ids ?? null, request.rule ?? null]);
      return rowCount ?? 0;
    });
    if (rows > 0) await run.control.use((client) => audit(client, request.ref.migration, request.by, 'quarantine waived', { dataset: ctx.name, rows, rule: request.rule ?? null, reason: request.reason }));
    waived += rows;
  }
  return waived;
}

function requireName(by: string, does: string): void {
  if (by.trim() === '') throw new MigrationError('PLAN_INVALID', `whoever ${does} quarantined rows must be named`);
}

function filterOf({ ref, rule, ids }: QuarantineRequest) {
  return { migration: ref.migration, ...(rule === undefined ? {} : { rule }), ...(ids === undefined ? {} : { ids }) };
}

async function contextsOf(deps: ActivityDependencies, { ref, dataset }: QuarantineRequest): Promise<DatasetContext[]> {
  const run = await loadRun(deps, ref);
  const names = dataset === undefined ? parentsFirst(run.plan) : [dataset];
  return Promise.all(names.map((name) => loadDataset(deps, { ref, dataset: name })));
}

/** By `after` and `references`; circles in the plan's order: the rounds of a replay resolve them. */
function parentsFirst(plan: Plan): string[] {
  const ordered = new Set<string>();
  const visiting = new Set<string>();
  const visit = (name: string): void => {
    const dataset = plan.datasets[name];
    if (!dataset || ordered.has(name) || visiting.has(name)) return;
    visiting.add(name);
    for (const parent of [...dataset.after, ...Object.values(dataset.validation.references).map((target) => target.slice(0, target.indexOf('.')))]) visit(parent);
    ordered.add(name);
  };
  Object.keys(plan.datasets).forEach(visit);
  return [...ordered];
}

/** Columns with personal data by every name they have: what is read for one, or made from one, is one. */
function hiddenColumns(dataset: DatasetPlan): ReadonlySet<string> {
  const hidden = new Set(dataset.pii);
  for (const step of dataset.transformations) {
    const names = [step.old_field, step.new_field, ...(step.old_fields ?? []), ...(step.new_fields ?? [])].filter((name) => name !== undefined);
    if (names.some((name) => dataset.pii.includes(name))) for (const name of names) hidden.add(name);
  }
  return hidden;
}

function masked(row: QuarantineRow, hidden: ReadonlySet<string>, reveal: boolean): MaskedRow {
  const mask = (value: string | null, column: string): string | null => {
    if (value === null) return null;
    if (hidden.has(column)) return HIDDEN;
    return reveal ? value : `${HIDDEN} (${[...value].length})`;
  };
  // Which columns the key is made of is not stored with it: shown only where nothing of the dataset is personal.
  const key = row.sourceKey?.map((part) => (reveal && hidden.size === 0 ? part : HIDDEN)) ?? null;
  return {
    id: row.id, dataset: row.dataset, reasons: row.reasons, state: row.state, side: row.side, key, columns: row.columns,
    content: row.content.map((value, at) => mask(value, row.columns[at] ?? '')), createdAt: row.createdAt, decidedBy: row.decidedBy, decidedReason: row.decidedReason,
  };
}
