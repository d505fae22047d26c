import { startStack } from '/work/main/scripts/stack';
import { Client } from 'pg';
import { mkdtempSync } from 'node:fs';
void (async () => {
  const stack = await startStack({ dir: mkdtempSync('/tmp/t1-'), temporal: false, postgres: ['a'], durable: false });
  const c = new Client({ connectionString: stack.postgres['a']!.url }); await c.connect();
  await c.query('create table addresses(address_id int primary key, customer_id int); insert into addresses select i, i from generate_series(1,800) i');
  for (const analyze of [false, true]) {
    if (analyze) await c.query('analyze addresses');
    await c.query('begin');
    const { rows } = await c.query("select t.tableoid::text as part, t.ctid::text as place from addresses t where address_id in (5,700)");
    console.log(rows);
    const r = await c.query('DELETE FROM "public"."addresses" t USING unnest($1::oid[], $2::tid[]) AS gone(part, place) WHERE t.tableoid = gone.part AND t.ctid = gone.place', [rows.map((x) => x.part), rows.map((x) => x.place)]);
    console.log(analyze, r.rowCount);
    console.log((await c.query(`EXPLAIN DELETE FROM "public"."addresses" t USING unnest('{${rows[0].part},${rows[1].part}}'::oid[], '{"(0,5)","(3,22)"}'::tid[]) AS gone(part, place) WHERE t.tableoid = gone.part AND t.ctid = gone.place`)).rows.map((x: any)=>x['QUERY PLAN']).join('\n'));
    await c.query('rollback');
  }
  await c.end(); await stack.stop();
})();
