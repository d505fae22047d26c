/** The steps of a rollback: their names, and what the control store's list of them means. Pure. */
import { COMPLETE_STEP, CUTOVER_STEPS } from './cutover-steps';
import type { ConflictPolicy, LifeStep, RollbackTier } from './protocol';

/** Names outlive a deploy: a rollback that starts again reads those of the one before. */
export const ROLLBACK_STEPS = {
  begin: 'rollback: begin',
  fence: 'rollback: stop the copies',
  blockNew: 'rollback: new side refuses writes',
  blockLegacy: 'rollback: old side refuses writes',
  reverse: 'rollback: bring writes home',
  switchBack: (application: string): string => `rollback: switch ${application} back`,
  openLegacy: 'rollback: old side accepts writes',
  objects: 'rollback: objects of the target',
  openNew: 'rollback: new side accepts writes',
  complete: 'rollback complete',
} as const;

/** One rollback of a migration at a time, however it was started: whoever starts it again goes on with it. */
export function rollbackWorkflowId(migration: string): string {
  return `rollback-${migration}`;
}

/** What a rollback was begun with, as its first step has it on record. */
export interface BegunRollback { attempt: number; tier: RollbackTier; datasets: string[]; policy: ConflictPolicy; inUse: boolean; complete: boolean }

/** The latest rollback of a migration; null: there was none. */
export function latestRollback(steps: readonly LifeStep[]): BegunRollback | null {
  const begun = steps.filter(({ step, state }) => step === ROLLBACK_STEPS.begin && state === 'done').at(-1);
  const evidence = begun?.evidence;
  if (!begun || !evidence) return null;
  return {
    attempt: begun.attempt, tier: evidence['tier'] as RollbackTier, datasets: namesOf(evidence['datasets']),
    policy: evidence['policy'] as ConflictPolicy, inUse: evidence['in_use'] === true,
    complete: steps.some(({ attempt, step, state }) => attempt === begun.attempt && step === ROLLBACK_STEPS.complete && state === 'done'),
  };
}

/** The latest cutover that came to its end and stands, and the datasets that were rolled back since: they are in use on the old side, all others on the new one. */
export interface SettledCutover { attempt: number; rolledBack: string[] }

/** Null: no cutover stands. A rollback that is half way counts: what it began to take back is not in use on the new side any more. */
export function settledCutover(steps: readonly LifeStep[]): SettledCutover | null {
  const complete = steps.filter(({ step, state }) => step === COMPLETE_STEP && state === 'done').at(-1);
  if (!complete) return null;
  const begun = steps.filter(({ id, step, state }) => id > complete.id && step === ROLLBACK_STEPS.begin && state === 'done');
  return { attempt: complete.attempt, rolledBack: [...new Set(begun.flatMap(({ evidence }) => namesOf(evidence?.['datasets'])))] };
}

function namesOf(list: unknown): string[] {
  return typeof list === 'string' ? list.split('\n').filter((name) => name !== '') : [];
}

/** Where the datasets of a plan are in use since its cutover; null before one, and after it was taken back as a whole. */
export function sidesInUse(steps: readonly LifeStep[], datasets: readonly string[]): { old: string[]; new: string[] } | null {
  const settled = settledCutover(steps);
  if (!settled) return null;
  const back = new Set(settled.rolledBack);
  return { old: datasets.filter((name) => back.has(name)), new: datasets.filter((name) => !back.has(name)) };
}

/** The applications may have written to the new side: it was opened, or an application was pointed to it, and nobody has taken that back. Since when, in ISO text. */
export function newSideOpenSince(steps: readonly LifeStep[]): string | null {
  const opened = steps.find(({ step, state }) => state !== 'undone' && state !== 'skipped' && (step === CUTOVER_STEPS.openTarget || step === COMPLETE_STEP || step.startsWith('switch ')));
  return opened?.openedAt ?? null;
}

/** Steps of cutovers that a rollback of everything takes back. */
export function cutoverSteps(steps: readonly LifeStep[]): LifeStep[] {
  return steps.filter(({ step, state }) => state !== 'undone' && !step.startsWith('rollback'));
}
