/**
 * Records the workflow histories that the replay test plays back: npm run record
 * Runs the suites in test/workflows against the local stack and writes over test/replay/histories; histories of scenarios that are gone stay until
 * they are deleted by hand. After a release, move the released histories to another folder in test/replay/histories first: they have to replay
 * for as long as such runs live, so that changes of the workflows go behind `patched`.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '..');
const { status } = spawnSync(process.execPath, [join(ROOT, 'node_modules/jest/bin/jest.js'), 'test/workflows', '--selectProjects', 'system'], {
  cwd: ROOT, stdio: 'inherit', env: { ...process.env, CARAVAN_RECORD_HISTORIES: '1' },
});
process.exitCode = status ?? 1;
