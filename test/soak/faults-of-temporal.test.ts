import { describeRunFaults, type RunFault } from '../fixtures/run-faults';
import { until } from '../fixtures/until';
import type { Command, WholeRun } from '../fixtures/whole-run';

/** Blocked (3) when retries gave up, 5 when a server was away just then; complete (0) when neither was noticed. */
const CARRIES_ON = [0, 3, 5];

async function killed({ child, end }: Command): Promise<void> {
  child.kill('SIGKILL');
  await end;
}

/** As the reset of the Web UI, to the first workflow task. */
async function reset({ servers, workflowId }: WholeRun): Promise<void> {
  await servers.operator(async (client) => {
    const handle = client.workflow.getHandle(workflowId);
    const { events } = await handle.fetchHistory();
    const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
    const execution = (await handle.describe()).raw.workflowExecutionInfo?.execution;
    await client.workflowService.resetWorkflowExecution({
      namespace: 'default', workflowExecution: { workflowId, runId: execution?.runId }, workflowTaskFinishEventId: first?.eventId, requestId: `reset-${workflowId}`, reason: 'a test',
    });
  });
}

/** The command is stopped for longer than its heartbeat; another one does its work; then it wakes up and acts on. */
async function zombie(run: WholeRun, { child }: Command): Promise<void> {
  child.kill('SIGSTOP');
  try {
    const heir = run.folder.start('run', 'plan.yaml');
    const at = await run.copied();
    await until(async () => (await run.copied()) > at + 500 || heir.child.exitCode !== null);
    child.kill('SIGCONT');
    await heir.end;
  } finally {
    child.kill('SIGCONT');
  }
}

const FAULTS: RunFault[] = [
  { name: 'target server: stopped and started', act: (run) => run.servers.restartPostgres('new'), ends: CARRIES_ON },
  { name: 'Temporal: kill -9, restarted', act: (run) => run.servers.killTemporal(false), ends: CARRIES_ON },
  { name: 'caravan run: kill -9, and the database of Temporal deleted', act: async (run, command) => { await killed(command); await run.servers.killTemporal(true); }, ends: [null] },
  { name: 'the database of Temporal deleted under the run', act: (run) => run.servers.killTemporal(true), ends: [1], says: /start it again/ },
  { name: 'workflow terminated by an operator', act: (run) => run.servers.operator(async (client) => { await client.workflow.getHandle(run.workflowId).terminate('a test'); }), ends: [4], says: /the same command again goes on/ },
  { name: 'workflow cancelled by an operator', act: (run) => run.servers.operator(async (client) => { await client.workflow.getHandle(run.workflowId).cancel(); }), ends: [4], says: /the same command again goes on/ },
  { name: 'workflow reset by an operator', act: reset, ends: [0, 1, 3, 4] },
  { name: 'a worker that is stopped past its heartbeat (zombie) and then goes on', act: zombie, ends: [0, 1, 3] },
];

describeRunFaults('Faults of Temporal and its operators', FAULTS);
