import type { ClientBase } from 'pg';
import { readStored, storedText } from '../connectors/postgres/database-text';

type Texts = readonly (string | null)[];

const narrow = new WeakMap<ClientBase, boolean>();

/**
 * Makes keys and content of source rows fit for the ledger and quarantine: the target's own encoding may not hold what the source's does, which can be
 * the very reason why a row is in quarantine. `fromStore` undoes it.
 */
export async function storeWriter(client: ClientBase): Promise<<T extends string | null>(texts: readonly T[]) => T[]> {
  let asciiOnly = narrow.get(client);
  if (asciiOnly === undefined) {
    const { rows } = await client.query<{ encoding: string }>(`SELECT current_setting('server_encoding') AS encoding`);
    asciiOnly = !['UTF8', 'SQL_ASCII'].includes(rows[0]?.encoding ?? '');
    narrow.set(client, asciiOnly);
  }
  return <T extends string | null>(texts: readonly T[]) => texts.map((text) => storedText(text, asciiOnly) as T);
}

/** Texts as they were before `storeWriter`. */
export function fromStore<T extends Texts | null>(texts: T): T extends null ? null : (NonNullable<T>)[number][];
export function fromStore(texts: Texts | null): Texts | null {
  return texts && texts.map(readStored);
}
