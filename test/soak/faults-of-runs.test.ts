import type { Side } from '../fixtures/fault-servers';
import { describeRunFaults, type RunFault } from '../fixtures/run-faults';
import { until } from '../fixtures/until';
import type { Command, WholeRun } from '../fixtures/whole-run';

/** Blocked (3) when retries gave up, 5 when a server was away just then; complete (0) when neither was noticed. */
const CARRIES_ON = [0, 3, 5];

async function killBackend(run: WholeRun, side: Side): Promise<void> {
  await until(async () => {
    const [busy] = await run.on<{ pid: number }>(side, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'caravan%' AND state <> 'idle' LIMIT 1`);
    if (busy) process.kill(busy.pid, 'SIGKILL');
    return busy !== undefined;
  });
}

async function killed({ child, end }: Command): Promise<void> {
  child.kill('SIGKILL');
  await end;
}

const FAULTS: RunFault[] = [
  { name: 'caravan run: kill -9', act: (_, command) => killed(command), ends: [null] },
  { name: 'target server: kill -9, restarted', act: (run) => run.servers.killPostgres('new'), ends: CARRIES_ON },
  { name: 'source server: kill -9, restarted', act: (run) => run.servers.killPostgres('legacy'), ends: CARRIES_ON },
  { name: 'one process of the target server: kill -9', act: (run) => killBackend(run, 'new'), ends: CARRIES_ON },
  { name: 'one process of the source server: kill -9', act: (run) => killBackend(run, 'legacy'), ends: CARRIES_ON },
];

describeRunFaults('Faults of whole runs', FAULTS);
