import { nearest } from '../../migration/plan/finding';
import type { ConflictPolicy, StepOverrides } from '../../migration/protocol';
import { UsageError } from './exit-codes';

const NUMBERS: Record<string, Exclude<keyof StepOverrides, 'repair' | 'fromBackup' | 'changedRows'>> = { batch_size: 'batchSize', checkpoint_interval: 'checkpointInterval', parallel_workers: 'parallelWorkers' };
const SWITCHES: Record<string, 'repair' | 'fromBackup'> = { repair: 'repair', from_backup: 'fromBackup' };
const NAMES = [...Object.keys(NUMBERS), ...Object.keys(SWITCHES), 'changed_rows'];
const POLICIES: readonly ConflictPolicy[] = ['keep_new', 'restore_old', 'stop'];

/** `batch_size=1000`, `repair=true` -> overrides of one step. @throws UsageError naming the nearest valid name. */
export function parseSettings(settings: string[]): StepOverrides {
  const overrides: StepOverrides = {};
  for (const setting of settings) {
    const [name = '', value = ''] = setting.split(/=(.*)/s, 2);
    const given = Object.hasOwn(SWITCHES, name) ? SWITCHES[name] : undefined;
    if (given) {
      if (value !== 'true' && value !== 'false') throw new UsageError(`--set ${name} takes true or false, not "${value}"`);
      overrides[given] = value === 'true';
      continue;
    }
    if (name === 'changed_rows') {
      const policy = POLICIES.find((one) => one === value);
      if (!policy) throw new UsageError(`--set changed_rows takes ${POLICIES.join(', ')}, not "${value}"`);
      overrides.changedRows = policy;
      continue;
    }
    const key = Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined;
    if (!key) {
      const near = nearest(name, NAMES);
      throw new UsageError(`--set knows no "${name}". ${near ? `Did you mean ${near}?` : `It knows: ${NAMES.join(', ')}.`}`);
    }
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < 1) throw new UsageError(`--set ${name} takes a whole number from 1 on, not "${value}"`);
    overrides[key] = number;
  }
  return overrides;
}
