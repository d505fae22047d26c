import { connect } from 'node:net';
import { Connection, type ConnectionOptions } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { SEARCH_ATTRIBUTES } from '../../migration/protocol';
import { StackError } from './stack-error';

export const searchAttributeNames: string[] = Object.values(SEARCH_ATTRIBUTES);

const keyword = 2; // temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

/** True once the server at this address knows the namespace `default`. Throws or answers false when it does not yet. */
export async function answersDescribe(address: string): Promise<boolean> {
  // A look at the port first: gRPC would wait a full second before it tries a refused connection again.
  if (!(await accepts(address))) return false;
  return withConnection({ address }, async (connection) => {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    return true;
  });
}

/** Adds those of Caravan's search attributes (all Keyword) that the namespace lacks. May be repeated. */
export async function registerSearchAttributes(address: string, namespace = 'default'): Promise<void> {
  await withConnection({ address }, async (connection) => {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = searchAttributeNames.filter((name) => customAttributes?.[name] === undefined);
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])) });
  });
}

/**
 * Checks a Temporal that somebody else runs, with the settings that Temporal's own tools read (`TEMPORAL_*`: TLS, API key,
 * namespace). Returns the namespace. Throws a StackError when it cannot be reached.
 */
export async function checkGivenTemporal(address: string, env: NodeJS.ProcessEnv): Promise<string> {
  const present = Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  try {
    const { connectionOptions, namespace = 'default' } = loadClientConnectConfig({ overrideEnvVars: { ...present, TEMPORAL_ADDRESS: address } });
    await withConnection(connectionOptions as ConnectionOptions, (connection) => connection.workflowService.describeNamespace({ namespace }));
    return namespace;
  } catch (error) {
    throw new StackError(`the Temporal at ${address} cannot be used: ${(error as Error).message}`, 'Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the TLS or API key settings, or unset TEMPORAL_ADDRESS to use a local server.');
  }
}

async function withConnection<T>(options: ConnectionOptions, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ ...options, connectTimeout: '5s' });
  try {
    return await connection.withDeadline(Date.now() + 10_000, () => use(connection));
  } finally {
    await connection.close();
  }
}

function accepts(address: string): Promise<boolean> {
  const split = address.lastIndexOf(':');
  return new Promise((resolve) => {
    const socket = connect({ host: address.slice(0, split), port: Number(address.slice(split + 1)), timeout: 2_000 });
    const answer = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
    socket.once('timeout', () => answer(false));
  });
}
