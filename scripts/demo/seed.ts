/** Fills given databases for the plan `shop`: for the compose stack and for trying things by hand. Refuses a database that holds tables. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { countOf } from '../terminal/quantities';
import { FULL_SHOP, legacyShop, SMALL_SHOP } from './legacy-shop';
import { seedDatabase } from './seed-database';

async function seed(): Promise<void> {
  const small = process.argv.includes('--small');
  const legacyUrl = required('CARAVAN_CONNECTION_LEGACY_DB');
  const newUrl = required('CARAVAN_CONNECTION_NEW_DB');
  await Promise.all([refuseUsed(legacyUrl, 'CARAVAN_CONNECTION_LEGACY_DB'), refuseUsed(newUrl, 'CARAVAN_CONNECTION_NEW_DB')]);
  const rows = await seedDatabase(legacyUrl, legacyShop(small ? SMALL_SHOP : FULL_SHOP), (label) => console.log(label));
  await seedDatabase(newUrl, [{ label: 'tables of the new database', sql: readFileSync(path.join(planFolder(), 'shop-target.sql'), 'utf8') }], (label) => console.log(label));
  console.log(`The legacy shop has ${countOf(rows, 'row')}. Now start the plan "shop".`);
}

/** In the image the examples are the plans. */
function planFolder(): string {
  return process.env['CARAVAN_PLANS'] ?? path.join(__dirname, '..', '..', 'examples');
}

function required(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set: it names the database to fill, as postgres://user:password@host:5432/database`);
  return value;
}

async function refuseUsed(url: string, variable: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ tables: number }>(`SELECT count(*)::int AS tables FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`);
    const tables = rows[0]?.tables ?? 0;
    if (tables > 0) throw new Error(`the database that ${variable} names holds ${countOf(tables, 'table')} already; this fills empty databases only`);
  } finally {
    await client.end();
  }
}

seed().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
