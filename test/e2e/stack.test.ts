import { connect } from 'node:net';
import { Connection } from '@temporalio/client';
import { Client } from 'pg';
import { createDatabase, testStack, type ClusterName } from '../fixtures/stack';
import { searchAttributeNames } from '../../scripts/stack/temporal-health';

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('the stack that all system tests share', () => {
  it('has a Temporal with the search attributes of a migration', async () => {
    const connection = await Connection.connect({ address: testStack().temporal });
    try {
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
      expect(Object.keys(customAttributes)).toEqual(expect.arrayContaining(searchAttributeNames));
      expect(searchAttributeNames).toHaveLength(4);
    } finally {
      await connection.close();
    }
  });

  it.each<ClusterName>(['legacy', 'new'])('has a PostgreSQL "%s" that can decode changes and prepare transactions', async (cluster) => {
    const database = await createDatabase(cluster, 'stack');
    try {
      const [settings] = await query(database.url, "SELECT current_setting('wal_level') AS wal, current_setting('max_prepared_transactions')::int AS prepared, current_database() AS name, current_setting('server_encoding') AS encoding");
      expect(settings).toEqual({ wal: 'logical', prepared: 10, name: database.name, encoding: 'UTF8' });
      await query(database.url, "SELECT pg_create_logical_replication_slot('left_behind_' || current_database(), 'pgoutput')");
    } finally {
      await database.drop();
    }
    const server = cluster === 'legacy' ? testStack().legacyUrl : testStack().newUrl;
    expect(await query(server, `SELECT 1 FROM pg_database WHERE datname = '${database.name}'`)).toEqual([]);
  });

  it('has two PostgreSQL systems, not one', async () => {
    const identify = 'SELECT system_identifier FROM pg_control_system()';
    expect(await query(testStack().legacyUrl, identify)).not.toEqual(await query(testStack().newUrl, identify));
  });

  it('lets nobody in without the password', async () => {
    const url = new URL(testStack().legacyUrl);
    url.password = 'wrong';
    await expect(query(url.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('answers on three addresses of its own', async () => {
    const { legacyUrl, newUrl, temporal } = testStack();
    const ports = [legacyUrl, newUrl, `http://${temporal}`].map((url) => Number(new URL(url).port));
    expect(new Set(ports).size).toBe(3);
    for (const port of ports) await new Promise((resolve, reject) => connect(port, '127.0.0.1').once('connect', resolve).once('error', reject));
  });
});
