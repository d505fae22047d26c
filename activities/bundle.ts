import { Context } from '@temporalio/activity';
import { CancelledFailure } from '@temporalio/common';
import { isMigrationError, type MigrationError } from '../migration/errors';
import type { BundleInput, BundleResult } from '../migration/protocol';
import { toMigrationError } from './connectors/postgres/errors';
import { whileAlive } from './reconciliation/liveness';

/**
 * Does `work` for each dataset in turn until the time is over. It answers whether the dataset is finished.
 * @throws what concerns more than one dataset: cancellation, a lost lease, an amended plan, a system that is away.
 */
export function eachInBundle({ datasets, sliceMs }: BundleInput, work: (dataset: string, deadline: number) => Promise<boolean>): Promise<BundleResult> {
  return whileAlive(async (signal) => {
    const deadline = Date.now() + sliceMs;
    const result: BundleResult = { done: [], left: [] };
    for (const dataset of datasets) {
      signal.throwIfAborted();
      if (Date.now() >= deadline && result.done.length + result.left.length > 0) break;
      try {
        if (await work(dataset, deadline)) result.done.push(dataset);
      } catch (error) {
        if (concernsAll(error)) throw error;
        Context.current().log.warn('a dataset of a bundle needs steps of its own', { dataset, code: codeOf(error) });
        result.left.push(dataset);
      }
    }
    return result;
  });
}

function concernsAll(error: unknown): boolean {
  if (error instanceof CancelledFailure || Context.current().cancellationSignal.aborted) return true;
  const { code, kind } = described(error);
  return kind === 'transient' || code === 'LEASE_LOST' || code === 'PLAN_AMENDED';
}

const codeOf = (error: unknown): string => described(error).code;

const described = (error: unknown): MigrationError => (isMigrationError(error) ? error : toMigrationError(error, 'bundle'));
