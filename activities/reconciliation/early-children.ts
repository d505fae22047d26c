import { replayDataset } from './replay';
import { withSource } from './row-mover';
import type { Settling } from './settling';

/** The reasons under which a commit, and a replay, quarantine a row whose parent is not there. */
const NO_PARENT = ['target:23503', 'orphan'];

/**
 * In a table that holds rows of others the foreign keys stay, and a row that comes before its parent (a self-reference, a cycle of tables) is refused.
 * Once all rows of the chosen datasets are there, those that came early are tried again until no more of them find their parent; the rest stays in quarantine.
 */
export async function replayEarlyChildren(settling: Settling, chosen: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  const waiting = await refusedForParents(settling, chosen);
  for (let replayed = 1; replayed > 0;) {
    replayed = 0;
    for (const dataset of waiting) {
      signal.throwIfAborted();
      const sides = await settling.open(dataset);
      const { held } = await settling.hold(dataset);
      const filter = { migration: settling.ref.migration, rules: NO_PARENT };
      replayed += await withSource(sides, async (source) => (source ? (await replayDataset(source, sides, held, filter, [], 'caravan', signal)).replayed : 0));
    }
  }
}

async function refusedForParents(settling: Settling, chosen: ReadonlySet<string>): Promise<string[]> {
  const found: string[] = [];
  for (const target of settling.targets.values()) {
    const { rows } = await target.use((client) => client.query<{ dataset: string }>(
      `SELECT DISTINCT d.dataset FROM caravan.quarantine q JOIN caravan.dataset d USING (migration, dataset, generation)
       WHERE d.migration = $1 AND d.base = 'foreign' AND d.state = 'closed' AND q.state = 'open' AND EXISTS (SELECT FROM jsonb_array_elements(q.reasons) r WHERE r ->> 'rule' = ANY ($2)) ORDER BY 1`,
      [settling.ref.migration, NO_PARENT]));
    found.push(...rows.map((row) => row.dataset).filter((dataset) => chosen.has(dataset)));
  }
  return found;
}
