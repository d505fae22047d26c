import type { Endpoints } from '../activities/dependencies';
import { MigrationError } from '../migration/errors';
import { envSuffix, type Environment } from './connections';

/** `CARAVAN_WEBHOOK_<NAME>` and `CARAVAN_WEBHOOK_<NAME>_SECRET`, `CARAVAN_COMMAND_<NAME>`. */
export function openEndpoints(env: Environment): Endpoints {
  return {
    webhook(name) {
      const variable = `CARAVAN_WEBHOOK_${envSuffix(name)}`;
      const secret = env[`${variable}_SECRET`];
      return { address: required(env, variable, `webhook ${name}`), variable, ...(secret ? { secret } : {}) };
    },
    command: (name) => required(env, `CARAVAN_COMMAND_${envSuffix(name)}`, `command ${name}`),
  };
}

function required(env: Environment, variable: string, what: string): string {
  const value = env[variable];
  if (!value) throw new MigrationError('SWITCH_FAILED', `${what} is not known here: set ${variable} on the workers, then retry.`);
  return value;
}
