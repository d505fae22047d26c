/** The steps of a cutover: their names, and what the control store's list of them means. Pure. */
import type { LifeStep, LifeView } from './protocol';

/** Names outlive a deploy: a run that starts again reads those of the one before. */
export const CUTOVER_STEPS = {
  baseline: 'baseline',
  blockTarget: 'block target',
  blockSource: 'block source',
  prove: 'prove both refuse writes',
  move: 'move datasets',
  sync: 'final sync',
  sequences: 'sequences',
  sequencesAgain: 'sequences again',
  validate: 'validation',
  gates: 'gates before the switch',
  openTarget: 'open target',
  proveOpen: 'prove only the target accepts writes',
  monitor: 'monitoring',
  legacy: 'secure legacy',
  newRows: 'rows written on the new side',
  newRowsGivenUp: 'rows on the new side given up',
} as const;

/** The last step of a cutover that came to its end. */
export const COMPLETE_STEP = 'cutover complete';

export const switchStepName = (application: string): string => `switch ${application}`;
export const undoStepName = (step: string): string => `undo ${step}`;

/** Steps of a cutover whose undo is due, the latest first; those of a rollback are its own. A step that failed may have left something behind; those that are done count until the cutover is complete. */
export function openUndo(steps: readonly LifeStep[]): LifeStep[] {
  return steps.filter(({ step, state, undo }) => !step.startsWith('rollback') && state !== 'undone' && state !== 'skipped' && undo.do !== 'none').sort((a, b) => b.id - a.id);
}

/** Rows that were written on the new side in a try that was undone, and that nobody has decided about. */
export function unclaimedRows(steps: readonly LifeStep[]): number {
  const last = [...steps].reverse().find(({ step }) => step === CUTOVER_STEPS.newRows || step === CUTOVER_STEPS.newRowsGivenUp);
  return last?.step === CUTOVER_STEPS.newRows && last.state === 'done' && typeof last.evidence?.['rows'] === 'number' ? last.evidence['rows'] : 0;
}

/** How a step is taken back, for people. */
export function undoWords({ undo }: LifeStep): string {
  switch (undo.do) {
    case 'none': return 'nothing to take back';
    case 'allow_writes': return `allow writes on the ${undo.side}`;
    case 'block_writes': return `block writes on the ${undo.side}`;
    case 'switch_application': return `switch ${undo.application} to ${undo.to === 'new' ? 'the new side' : 'legacy'}`;
  }
}

/** When a cutover is undone by itself, as far as its steps tell; undefined once the target is proved open, and where nothing limits it. */
export function undoneBy(steps: readonly LifeStep[], { downtimeToleranceMs, window }: Pick<LifeView, 'downtimeToleranceMs' | 'window'>): string | undefined {
  const last = steps.at(-1);
  if (!last) return undefined;
  const own = steps.filter(({ attempt }) => attempt === last.attempt);
  if (own.some(({ step, state }) => state === 'undone' || (step === CUTOVER_STEPS.proveOpen && state === 'done'))) return undefined;
  const blocked = own.find(({ step }) => step === CUTOVER_STEPS.blockSource);
  const limits = [
    ...(blocked && downtimeToleranceMs !== undefined ? [Date.parse(blocked.openedAt) + downtimeToleranceMs] : []),
    ...(window?.abortBy === undefined ? [] : [Date.parse(window.abortBy)]),
  ];
  return limits.length > 0 ? new Date(Math.min(...limits)).toISOString() : undefined;
}
