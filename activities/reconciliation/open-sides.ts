import { isMigrationError, MigrationError } from '../../migration/errors';
import { valuesKernel } from '../../migration/values-kernel';
import type { DatasetMapping } from '../dataset-mapping';
import { openMapping, writtenKey } from '../dataset-mapping';
import type { ActivityDependencies } from '../dependencies';
import type { DatasetContext } from '../run-context';
import { installLedger, loadDatasetRow } from '../stores/ledger';
import type { DatasetSides } from './dataset-sides';

/**
 * Opens both sides of a dataset for proof and repair. A worker of the target's side alone gets `source: null` where `targetOnly` allows it:
 * what the source looks like is then known from the control store.
 * @throws MigrationError `FENCED` when the ledger does not know the dataset; what `openMapping` throws.
 */
export async function openSides(deps: ActivityDependencies, ctx: DatasetContext, targetOnly = false): Promise<DatasetSides> {
  await installLedger(ctx.target);
  const sourceReached = !targetOnly || reachesSource(ctx);
  const opened = await openMapping(deps, ctx, sourceReached ? 'both' : 'target');
  const ledger = await ctx.target.use((client) => loadDatasetRow(client, ctx.ref.migration, ctx.name));
  if (!ledger) throw new MigrationError('FENCED', `dataset ${ctx.name}: the ledger in ${ctx.target.config.name} does not know it; copy it first`);
  const { mapping, readColumns } = opened;
  const kernel = valuesKernel(mapping);
  const plainSource = (name: string): string | null => {
    const field = mapping.fields.find((candidate) => candidate.column.name === name);
    const input = field && field.apply === null && field.applyMany === null ? field.inputs[0] : undefined;
    return input === undefined ? null : (mapping.read[input]?.name ?? null);
  };
  const keyNames = ledger.keyed ? (ledger.sourceKey ?? opened.source.key) : null;
  return {
    ctx,
    sourceReached,
    ledger,
    sourceColumns: readColumns,
    targetColumns: mapping.write,
    sourceKey: keyNames ? positions(readColumns.map((column) => column.name), keyNames) : null,
    targetKey: targetKeyOf(ctx, opened, keyNames, plainSource),
    plainSource,
    mapRows(rows) {
      const moved = kernel.transform({ encoding: 'values', rows, rowCount: rows.length, byteCount: 0 });
      if (moved.batch.encoding !== 'values') throw new MigrationError('INTERNAL', 'the values kernel answered in another encoding');
      const judged = kernel.validate(moved.batch);
      if (judged.batch.encoding !== 'values') throw new MigrationError('INTERNAL', 'the values kernel answered in another encoding');
      return { rows: judged.batch.rows, origin: judged.batch.origin ?? null, rejections: [...moved.rejections, ...judged.rejections] };
    },
  };
}

function reachesSource(ctx: DatasetContext): boolean {
  try {
    return ctx.source !== null;
  } catch (error) {
    if (isMigrationError(error) && error.code === 'CONNECTION_UNKNOWN') return false;
    throw error;
  }
}

/** Best first: what the plan names, what the target itself keeps unique, the source key where it arrives unchanged. */
function targetKeyOf(ctx: DatasetContext, opened: DatasetMapping, sourceKey: string[] | null, plainSource: (name: string) => string | null): number[] | null {
  const written = opened.mapping.write.map((column) => column.name);
  const arrived = sourceKey?.map((name) => written.find((column) => plainSource(column) === name));
  for (const candidate of [writtenKey(ctx, opened), arrived]) {
    const found = candidate ? positions(written, candidate) : null;
    if (found) return found;
  }
  return null;
}

/** Null when one of the names is not there. */
function positions(names: readonly string[], wanted: readonly (string | undefined)[]): number[] | null {
  const found = wanted.map((name) => (name === undefined ? -1 : names.indexOf(name)));
  return wanted.length > 0 && found.every((at) => at >= 0) ? found : null;
}
