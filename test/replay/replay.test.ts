import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { DefaultLogger, Runtime, Worker, bundleWorkflowCode, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

jest.setTimeout(600_000);

/** Histories of real runs, recorded by the suites in test/workflows: npm run record. */
const folder = path.join(__dirname, 'histories');
const recorded = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json')).sort();

function history(file: string) {
  return historyFromJSON(JSON.parse(readFileSync(path.join(folder, file), 'utf8')));
}

describe('recorded histories', () => {
  let workflowBundle: WorkflowBundleWithSourceMap;
  beforeAll(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    workflowBundle = await bundleWorkflowCode({ workflowsPath: require.resolve('../../workflows/index.ts'), logger: new DefaultLogger('WARN') });
  });

  it('hold every kind of workflow', () => {
    for (const kind of ['root', '1-preparation', '2-production', '3-validation', 'users', '3-cutover', 'rollback']) expect(recorded.some((file) => path.basename(file, '.json') === kind)).toBe(true);
  });

  it('replay with the code as it is', async () => {
    const broken: string[] = [];
    // Ids of children derive from the run's own id.
    const histories = recorded.map((file) => {
      const recording = history(file);
      return { workflowId: recording.events?.[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? file, history: recording };
    });
    for await (const replayed of Worker.runReplayHistories({ workflowBundle }, histories)) {
      if (replayed.error) broken.push(`${replayed.workflowId}: ${replayed.error.message}`);
    }
    expect(broken).toEqual([]);
  });

  it('fail when the code took another path', async () => {
    const file = path.join('big-bang', '1-preparation.json');
    const changed = history(file);
    const scheduled = changed.events?.find((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'analyzeSchema');
    if (!scheduled?.activityTaskScheduledEventAttributes?.activityType) throw new Error(`${file} schedules no analyzeSchema`);
    scheduled.activityTaskScheduledEventAttributes.activityType.name = 'somethingElse';
    await expect(Worker.runReplayHistory({ workflowBundle }, changed, file)).rejects.toThrow(/[Nn]ondeterminism|determinism/);
  });
});
