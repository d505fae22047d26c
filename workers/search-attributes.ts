import type { Connection } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { SEARCH_ATTRIBUTES } from '../migration/protocol';

/** INDEXED_VALUE_TYPE_KEYWORD of the Temporal API. */
const KEYWORD = 2;
const ALREADY_EXISTS = 6;

/** Makes sure the namespace knows the search attributes. False when it does not and they cannot be added: everything works without them. */
export async function registerSearchAttributes(connection: Connection | NativeConnection, namespace: string, log: Logger): Promise<boolean> {
  const wanted = Object.values(SEARCH_ATTRIBUTES);
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = wanted.filter((name) => customAttributes[name] === undefined);
    if (missing.length > 0) {
      await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])) });
    }
    return wanted.every((name) => customAttributes[name] === undefined || Number(customAttributes[name]) === KEYWORD);
  } catch (error) {
    // Another worker added them at the same moment.
    if (error instanceof Error && 'code' in error && error.code === ALREADY_EXISTS) return true;
    log.info({ namespace }, 'search attributes cannot be registered here; lists in the UI cannot be filtered by them');
    return false;
  }
}
