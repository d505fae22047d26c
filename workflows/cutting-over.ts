import { CancellationScope, condition, getExternalWorkflowHandle, isCancellation, sleep } from '@temporalio/workflow';
import { WORKFLOWS, type CutoverInput, type CutoverResult, type GatesWanted, type GroupView, type OpenCutover, type RunInput } from '../migration/protocol';
import { stepActivities } from './activity-proxies';
import { runChild } from './child-workflow';
import { gatesPassedSignal } from './definitions';
import { failure } from './failures';
import { tolerate } from './reporting';
import type { RunControl } from './run-control';

/** Not longer at a time: the note is renewed, and a changed clock of the server matters little. */
const START_LOOK_MS = 60 * 60_000;

/** What the control store knows of this migration's cutover. What an earlier run left half done is taken back before anything else. */
export async function recoverCutover(run: RunControl, input: RunInput): Promise<{ complete: boolean }> {
  const known = await openCutover(run);
  if (known.leftovers.length > 0) await cutoverChild(run, { ...input, ...childInput(run, known), recoverOnly: true });
  return { complete: known.complete };
}

/** `window.start`: nothing of production before it. */
export async function awaitWindow(run: RunControl): Promise<void> {
  const start = run.view.life?.window?.start;
  if (start === undefined || Date.parse(start) <= Date.now()) return;
  run.note(`Waiting for the window: production opens at ${start}.`);
  for (let left = Date.parse(start) - Date.now(); left > 0; left = Date.parse(start) - Date.now()) await sleep(Math.min(left, START_LOOK_MS), { summary: 'until window.start' });
  run.note(null);
}

/**
 * One cutover after the other until one is through. One that was undone blocks the run: a retry is another try, an abort ends the run on the old side.
 * `move`: the groups that move inside the window.
 */
export async function cutOver(run: RunControl, input: RunInput, move: GroupView[] | undefined): Promise<Extract<CutoverResult, { state: 'done' }>> {
  const outcome = await run.steps.run('cutover', async () => {
    const result = await cutoverChild(run, { ...input, ...childInput(run, await openCutover(run)), move });
    if (result.state === 'undone') throw failure('CUTOVER_UNDONE', `${result.reason} Every step was taken back: applications write to the old side, the new side refuses writes.`);
    return result;
  }, { heedsPause: () => true });
  if (outcome.state === 'skipped') throw failure('INTERNAL', 'A cutover was skipped, which nothing allows.');
  return outcome.value;
}

async function openCutover(run: RunControl): Promise<OpenCutover> {
  const outcome = await run.steps.run('cutover: what is known', () => stepActivities(run.queue, 'what is known of the cutover').openCutover({ ref: run.view.ref }));
  if (outcome.state === 'skipped') throw failure('INTERNAL', 'The look at the control store was skipped, which nothing allows.');
  return outcome.value;
}

function childInput({ view }: RunControl, { attempt, leftovers, unclaimed }: OpenCutover): Pick<CutoverInput, 'attempt' | 'leftovers' | 'unclaimed' | 'gates'> {
  return { attempt, leftovers, unclaimed, gates: (view.life?.gates ?? []).filter(({ stage }) => stage === 'switch').map(({ gate }) => gate) };
}

/** The gates before the switch are the root's: it opens them when the child comes to them. */
async function cutoverChild(run: RunControl, input: CutoverInput): Promise<CutoverResult> {
  run.beginCutover();
  const gates = new CancellationScope();
  const opening = gates.run(() => openGates(run));
  try {
    return await runChild<CutoverInput, CutoverResult>(run.steps, WORKFLOWS.cutover, { workflowId: `${input.root}/3-cutover`, input, summary: `cutover, try ${input.attempt}` });
  } finally {
    gates.cancel();
    await opening;
  }
}

async function openGates(run: RunControl): Promise<void> {
  try {
    for (;;) {
      await condition(() => run.gatesWanted.length > 0);
      const wanted = run.gatesWanted.shift();
      if (wanted) await tolerate(run, 'a gate before the switch could not be opened', () => openFor(run, wanted));
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
}

async function openFor(run: RunControl, { workflowId, gates }: GatesWanted): Promise<void> {
  for (const gate of gates) await run.gates.pass(gate);
  await getExternalWorkflowHandle(workflowId).signal(gatesPassedSignal);
}
