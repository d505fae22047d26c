import type { Command } from 'commander';
import type { Preview } from '../../workers/door';
import { renderPreview } from '../terminal/preview-rows';
import { defineCommand, wholeNumber } from './common-options';
import { EXIT } from './exit-codes';
import { loadPlanArgument } from './plan-argument';
import { runSession, type CommonOptions, type Session } from './session';

interface PreviewOptions extends CommonOptions { dataset?: string; rows: number; reveal?: boolean }

const ROWS_DEFAULT = 5;

/** Adds `preview PLAN`. */
export function registerPreview(program: Command): void {
  defineCommand(program, 'preview', 'show rows before and after transforms and rules, here on the terminal only', ['preview plan.yaml', 'preview plan.yaml --dataset users --rows 20'])
    .argument('<plan>', 'plan file, or its name in the plans folder')
    .option('--dataset <name>', 'only this dataset')
    .option('--rows <n>', 'rows of each dataset', wholeNumber(1), ROWS_DEFAULT)
    .option('--reveal', 'show personal data (pii), which is masked otherwise')
    .action((plan: string, options: PreviewOptions) => runSession(options, (session) => preview(session, plan, options)));
}

async function preview(session: Session, argument: string, { dataset, rows, reveal = false }: PreviewOptions): Promise<number> {
  const door = await session.door();
  const loaded = await loadPlanArgument(session, door, argument);
  const previews = await door.preview(loaded.path ?? loaded.input, { dataset, rows });
  const shown = reveal ? previews : previews.map(masked);
  shown.forEach((one, index) => session.print(...(index > 0 ? [''] : []), ...renderPreview(one, session.terminal)));
  session.printJson({ migration: loaded.plan.migration, datasets: shown });
  return EXIT.complete;
}

/** The preview with personal data replaced by its length: enough to see that something is there and changed. */
export function masked(preview: Preview): Preview {
  const mask = (columns: string[]) => (values: (string | null)[]): (string | null)[] =>
    values.map((value, index) => (value !== null && preview.pii.includes(columns[index] ?? '') ? `(${[...value].length} characters)` : value));
  const before = mask(preview.sourceColumns);
  const after = mask(preview.targetColumns);
  return { ...preview, rows: preview.rows.map((row) => ({ ...row, before: before(row.before), after: row.after && after(row.after) })) };
}
