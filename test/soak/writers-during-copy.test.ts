import type { Client } from 'pg';
import { FaultServers } from '../fixtures/fault-servers';
import { chosenSeed, seededRandom } from '../fixtures/seeded';
import { ROWS, said, WholeRun } from '../fixtures/whole-run';

const WRITERS = 4;
/** Ids that the writers add begin here. */
const ADDED = 1_000_000;
const seed = chosenSeed();
type Table = 'payments' | 'items';
const VALUE: Record<Table, string> = { payments: 'amount', items: 'v' };

/** Writes at random into the source, one statement after another, and keeps what the server has acknowledged: the value of each row, null for a deleted one. */
class Writer {
  readonly acknowledged: Record<Table, Map<number, string | null>> = { payments: new Map(), items: new Map() };
  private stopped = false;
  private added = 0;
  private readonly random: () => number;

  constructor(private readonly client: Client, private readonly number: number) {
    this.random = seededRandom(seed + number);
  }

  /** Each writer has rows of its own: what it knows of them is the truth. */
  private ownId(): number {
    return 1 + this.number + WRITERS * Math.floor(this.random() * Math.floor((ROWS - WRITERS) / WRITERS));
  }

  async write(): Promise<void> {
    while (!this.stopped) {
      const table: Table = this.random() < 0.5 ? 'payments' : 'items';
      const kind = this.random();
      const value = String(Math.floor(this.random() * 1e9));
      if (kind < 0.3) {
        const id = ADDED + this.number + WRITERS * ++this.added;
        await this.client.query(table === 'payments' ? `INSERT INTO payments VALUES (${id}, 1, ${value})` : `INSERT INTO items VALUES (${id}, '${value}')`);
        this.acknowledged[table].set(id, value);
        continue;
      }
      const id = this.ownId();
      // Rows that the target had before are not ours to delete there: that is a person's decision.
      const changes = kind < 0.8 || (table === 'items' && id % 3 === 1);
      const { rowCount } = await this.client.query(changes ? `UPDATE ${table} SET ${VALUE[table]} = '${value}' WHERE id = ${id}` : `DELETE FROM ${table} WHERE id = ${id}`);
      if (rowCount === 1) this.acknowledged[table].set(id, changes ? value : null);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await this.client.end();
  }

  stop(): void {
    this.stopped = true;
  }
}

/** Others write into the source while it is copied. Then writes stop, as the strategy says, and one repair brings everything home. */
test(`every write that was acknowledged during the copy is in the target after validate --repair (CARAVAN_FAULT_SEED=${seed})`, async () => {
  const servers = await FaultServers.start();
  const run = await WholeRun.create(servers, { plan: 'checks: { repair: true }\n' });
  try {
    const writers: Writer[] = [];
    for (let number = 0; number < WRITERS; number += 1) writers.push(new Writer(await servers.connect('legacy', run.database), number));
    const writing = Promise.all(writers.map((writer) => writer.write()));
    const first = await run.folder.caravan('run', 'plan.yaml');
    writers.forEach((writer) => writer.stop());
    await writing;
    // What moves while it is compared may block: then the same command goes on now that the source rests.
    if (first.code !== 0 && first.code !== 3) throw new Error(said(first));

    const acknowledged = (table: Table) => new Map(writers.flatMap((writer) => [...writer.acknowledged[table]]));
    const lost = async (table: Table): Promise<number[]> => {
      const rows = await run.on<{ id: number; v: string }>('new', `SELECT id::int AS id, ${table === 'payments' ? 'trim_scale(amount)::text' : 'v'} AS v FROM ${table}`);
      const there = new Map(rows.map(({ id, v }) => [id, v]));
      const held = await run.on<{ id: number }>('new', `SELECT content[1]::int AS id FROM caravan.quarantine WHERE dataset = '${table}' AND state = 'open'`);
      for (const { id } of held) there.delete(id);
      return [...acknowledged(table)].filter(([id, value]) => (there.get(id) ?? null) !== value && !held.some((row) => row.id === id)).map(([id]) => id);
    };
    // The copy was really overtaken: else this test would prove nothing.
    const before = [...await lost('payments'), ...await lost('items')];
    expect(before.length).toBeGreaterThan(0);
    if (first.code === 3) await run.complete();
    const repaired = await run.folder.caravan('validate', run.migration, '--repair');
    if (repaired.code !== 0) throw new Error(said(repaired));
    expect(await lost('payments')).toEqual([]);
    expect(await lost('items')).toEqual([]);

    const digest = (sql: string) => `SELECT count(*)::int AS n, md5(string_agg(x::text, '|' ORDER BY x::text)) AS d FROM (${sql}) x`;
    expect(await run.on('new', digest('SELECT * FROM payments'))).toEqual(await run.on('legacy', digest(`SELECT * FROM payments p WHERE EXISTS (SELECT FROM people WHERE id = person_id AND email LIKE '%@%')`)));
    expect(await run.on('new', digest(`SELECT * FROM items WHERE v NOT IN ('theirs', 'foreign')`))).toEqual(await run.on('legacy', digest('SELECT * FROM items')));
    const count = [...acknowledged('payments'), ...acknowledged('items')].length;
    process.stderr.write(`${count} rows written by others during the copy; ${before.length} of them were still to be repaired after it\n`);
  } finally {
    await run.remove();
    await servers.stop();
  }
}, 900_000);
