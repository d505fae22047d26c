import type { Client } from 'pg';
import type { CheckOutcome, DatasetRef, Verdict } from '../migration/protocol';
import { columnList, quoteIdent, quoteLiteral } from './connectors/postgres/sql';
import { textToValue, valueToText } from './connectors/postgres/values-codec';
import type { ActivityDependencies } from './dependencies';
import { requireClosed } from './reconciliation/closed-dataset';
import { digesterFor, type DatasetSides } from './reconciliation/dataset-sides';
import { DifferenceFinder, type ExpectedRow } from './reconciliation/difference-finder';
import { KnownAbsences } from './reconciliation/known-absences';
import { whileAlive } from './reconciliation/liveness';
import { openSides } from './reconciliation/open-sides';
import type { RowDigester } from './reconciliation/row-digest';
import { expectedOf, foundOf, readExpected, readFound, withSnapshot } from './reconciliation/row-streams';
import { loadDataset, type DatasetContext } from './run-context';
import { storeCheckResults } from './stores/control-store';

/** Above this many times the sample's size, rows are thinned out by their hash before they are sorted. */
const THIN_ABOVE = 8;
const LOOKUP = 250;

interface SampleCounts { drawn: number; missing: number; different: number; refused: number; explained: number; columns: Map<string, number> }

/**
 * Draws `samples.size` source rows, the same ones for the same seed and data, and looks each up in the target by key, without the plan's filter.
 * Only `comparison_fields` are compared where the plan names any that this dataset has. Without a key the whole row must be found.
 * Stored as evidence before it returns. @throws MigrationError `CHECK_FAILED` unless the dataset is closed.
 */
export async function compareSample(deps: ActivityDependencies, input: DatasetRef): Promise<CheckOutcome> {
  return whileAlive(async (signal) => {
    const ctx = await loadDataset(deps, input);
    await requireClosed(ctx);
    const outcome: CheckOutcome = { name: `sample of ${ctx.name}`, kind: 'sample', dataset: ctx.name, ...(await judge(deps, ctx, signal)) };
    await storeCheckResults(ctx.control, input.ref, 'sample', [outcome]);
    return outcome;
  });
}

async function judge(deps: ActivityDependencies, ctx: DatasetContext, signal: AbortSignal): Promise<Pick<CheckOutcome, 'verdict' | 'detail'>> {
  if (ctx.plan.checks.samples.size === 0) return { verdict: 'passed', detail: 'no sample asked for' };
  const sides = await openSides(deps, ctx);
  const counts = await withSnapshot(ctx.source, (source) => withSnapshot(ctx.target, (target) => new Sample(sides, source, target, signal).run()));
  const faults = counts.missing + counts.different + counts.refused;
  const verdict: Verdict = faults > 0 ? 'failed' : counts.explained > 0 ? 'explained' : 'passed';
  const columns = [...counts.columns].map(([column, rows]) => `${column} ${rows}`).join(', ');
  const parts = [`${counts.drawn} rows compared`];
  if (counts.explained > 0) parts.push(`${counts.explained} of them in quarantine`);
  if (counts.missing > 0) parts.push(`${counts.missing} missing in the target`);
  if (counts.different > 0) parts.push(`${counts.different} different (${columns})`);
  if (counts.refused > 0) parts.push(`${counts.refused} refused by the rules but not in quarantine`);
  return { verdict, detail: parts.join('; ') };
}

class Sample {
  private readonly digester: RowDigester;
  private readonly counts: SampleCounts = { drawn: 0, missing: 0, different: 0, refused: 0, explained: 0, columns: new Map() };

  constructor(
    private readonly sides: DatasetSides,
    private readonly source: Client,
    private readonly target: Client,
    private readonly signal: AbortSignal,
  ) {
    this.digester = digesterFor(sides);
  }

  async run(): Promise<SampleCounts> {
    const absences = (await KnownAbsences.load(this.target, this.sides)).fresh();
    const expected: ExpectedRow[] = [];
    for await (const rows of readExpected(this.source, this.sides, this.digester, absences, this.signal, await this.draw())) {
      for (const row of rows) {
        this.counts.drawn += 1;
        if (row.state === 'expected') expected.push(expectedOf(this.sides, row));
        else if (row.state === 'explained') this.counts.explained += 1;
        else this.counts.refused += 1;
      }
    }
    if (!this.sides.targetKey) await this.findWhole(expected);
    else for (let from = 0; from < expected.length; from += LOOKUP) await this.lookUp(this.sides.targetKey, expected.slice(from, from + LOOKUP));
    return this.counts;
  }

  /** Random by a hash of key and seed: reproducible, and free of the order in which rows lie. */
  private async draw(): Promise<string> {
    const { size, seed } = this.sides.ctx.plan.checks.samples;
    const key = this.sides.sourceKey?.map((at) => `caravan_source.${quoteIdent(this.sides.sourceColumns[at]?.name ?? '')}`);
    const hash = `md5(${key ? `ROW(${key.join(', ')})` : 'caravan_source'}::text || ${quoteLiteral(`/${seed}`)})`;
    const { rows } = await this.target.query<{ estimate: string }>(
      'SELECT rows_estimate::text AS estimate FROM caravan.dataset WHERE migration = $1 AND dataset = $2', [this.sides.ctx.ref.migration, this.sides.ctx.name]);
    const thin = Math.floor(Number(rows[0]?.estimate ?? 0) / (size * THIN_ABOVE));
    const where = thin > 1 ? `WHERE ('x' || substr(${hash}, 1, 8))::bit(32)::int8 % ${thin} = 0 ` : '';
    return `${where}ORDER BY ${hash} LIMIT ${size}`;
  }

  private async lookUp(targetKey: readonly number[], expected: readonly ExpectedRow[]): Promise<void> {
    const keyColumns = targetKey.map((at) => this.sides.targetColumns[at]);
    const keys = expected.map((row) => keyColumns.map((column, part) => valueToText(column?.kind ?? 'opaque', row.values[targetKey[part] ?? 0] ?? null)));
    const usable = keys.filter((key) => key.every((part) => part !== null)).map((key) => `(${key.map((part) => quoteLiteral(part ?? '')).join(', ')})`);
    const finder = new DifferenceFinder();
    for (const row of expected) finder.expect(row);
    if (usable.length > 0) {
      const where = `WHERE (${columnList(keyColumns.map((column) => column?.name ?? ''))}) IN (${usable.join(', ')})`;
      for await (const rows of readFound(this.target, this.sides, this.digester, this.signal, where)) {
        for (const row of rows) if (row.state === 'found') finder.find(foundOf(row));
      }
    }
    const rest = finder.finish();
    this.counts.missing += rest.missing.length;
    const compared = this.comparedColumns();
    for (const { expected: row, found } of rest.different) {
      const differing = compared.filter((at) => {
        const column = this.sides.targetColumns[at];
        return column && !this.digester.same(row.values[at] ?? null, textToValue(column.kind, found.content[at] ?? null), at);
      });
      if (differing.length > 0) this.counts.different += 1;
      for (const at of differing) {
        const name = this.sides.targetColumns[at]?.name ?? '';
        this.counts.columns.set(name, (this.counts.columns.get(name) ?? 0) + 1);
      }
    }
  }

  /** Fields by their name in the target or, where they are copied as they are, in the source; all when the plan names none of this dataset. */
  private comparedColumns(): number[] {
    const fields = this.sides.ctx.plan.checks.samples.comparison_fields;
    const all = this.sides.targetColumns.map((_, at) => at);
    const named = all.filter((at) => {
      const name = this.sides.targetColumns[at]?.name ?? '';
      return fields.includes(name) || fields.includes(this.sides.plainSource(name) ?? '');
    });
    return named.length > 0 ? named : all;
  }

  /** Without a key there is nothing to look up by: one scan of the target finds the rows of the sample. */
  private async findWhole(expected: readonly ExpectedRow[]): Promise<void> {
    const finder = new DifferenceFinder();
    for (const row of expected) finder.expect(row);
    for await (const rows of readFound(this.target, this.sides, this.digester, this.signal)) {
      for (const row of rows) if (row.state === 'found') finder.find(foundOf(row));
    }
    this.counts.missing += finder.finish().missing.length;
  }
}
