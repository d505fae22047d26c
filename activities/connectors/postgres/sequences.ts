import type { ClientBase } from 'pg';
import { ownRowsOf, readRows } from './catalog';
import { quoteIdent, qualified, type TableName } from './sql';

/** State of a sequence that a column owns (serial), is (identity) or takes its default from. All numbers are decimal text: they may exceed 2^53. */
export interface SequenceState {
  column: string;
  schema: string;
  sequence: string;
  lastValue: string;
  /** false: the next value handed out is `lastValue` itself. */
  isCalled: boolean;
  increment: string;
  minimum: string;
  maximum: string;
  /** The column holds the sequence's own numbers; of others (a text made of one) the extreme says nothing. */
  numeric: boolean;
}

export interface AdvancedSequence { column: string; sequence: string; from: string; to: string; limited: boolean }

/** Sequences that columns of a table own, are, or take their defaults from, in column order. */
export async function readSequences(client: ClientBase, table: TableName): Promise<SequenceState[]> {
  const owned = await readRows<Omit<SequenceState, 'lastValue' | 'isCalled'>>(
    client,
    `SELECT a.attname AS column, n.nspname AS schema, c.relname AS sequence, s.seqincrement::text AS increment, s.seqmin::text AS minimum, s.seqmax::text AS maximum,
       a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) AS numeric
     FROM (
       SELECT o.objid AS sequence, o.refobjid AS "table", o.refobjsubid AS "column" FROM pg_catalog.pg_depend o
         WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i')
       UNION SELECT u.refobjid, f.adrelid, f.adnum FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend u ON u.classid = 'pg_catalog.pg_attrdef'::regclass AND u.objid = f.oid
         AND u.refclassid = 'pg_catalog.pg_class'::regclass AND u.deptype = 'n'
     ) d
     JOIN pg_catalog.pg_class c ON c.oid = d.sequence AND c.relkind = 'S'
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
     JOIN pg_catalog.pg_attribute a ON a.attrelid = d."table" AND a.attnum = d."column"
     JOIN pg_catalog.pg_class t ON t.oid = d."table" JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
     WHERE tn.nspname = $1 AND t.relname = $2
     ORDER BY a.attnum, c.relname`,
    [table.schema, table.name],
  );
  const states: SequenceState[] = [];
  for (const sequence of owned) {
    const [state] = await readRows<{ last: string; called: boolean }>(
      client,
      `SELECT last_value::text AS last, is_called AS called FROM ${qualified({ schema: sequence.schema, name: sequence.sequence })}`,
    );
    if (state) states.push({ ...sequence, lastValue: state.last, isCalled: state.called });
  }
  return states;
}

/**
 * Sets every sequence of `table` to the further of its own state, the state of the source's sequence and the column's extreme,
 * in the direction of its increment; never backward, so it may be repeated. `source` holds states by the *target's* column names.
 * setval is not undone by a rollback: call it under the dataset's fence. `limited`: the value lay beyond the sequence's bounds.
 */
export async function advanceSequences(client: ClientBase, table: TableName, source: SequenceState[]): Promise<AdvancedSequence[]> {
  const advanced: AdvancedSequence[] = [];
  for (const own of await readSequences(client, table)) {
    const upward = BigInt(own.increment) > 0n;
    const extreme = own.numeric ? await extremeOf(client, table, own.column, upward ? 'max' : 'min') : null;
    const positions = [position(own.lastValue, own.isCalled)];
    for (const state of source) if (state.column === own.column) positions.push(position(state.lastValue, state.isCalled));
    if (extreme !== null && /^-?\d+$/.test(extreme)) positions.push(position(extreme, true));
    const furthest = positions.reduce((best, other) => (further(other, best, upward) ? other : best));
    const bounded = clamp(furthest, BigInt(own.minimum), BigInt(own.maximum));
    if (further(bounded, position(own.lastValue, own.isCalled), upward)) {
      await client.query('SELECT pg_catalog.setval($1::regclass, $2::int8, $3)', [qualified({ schema: own.schema, name: own.sequence }), bounded.value.toString(), bounded.called]);
      advanced.push({
        column: own.column, sequence: `${own.schema}.${own.sequence}`, from: own.lastValue, to: bounded.value.toString(), limited: bounded.value !== furthest.value,
      });
    }
  }
  return advanced;
}

/** Sequences of `table` that would hand out a number which their column has already. One that is exhausted at its bound is not: it says so itself. */
export async function sequencesBehind(client: ClientBase, table: TableName): Promise<string[]> {
  const behind: string[] = [];
  for (const own of await readSequences(client, table)) {
    const upward = BigInt(own.increment) > 0n;
    const extreme = own.numeric ? await extremeOf(client, table, own.column, upward ? 'max' : 'min') : null;
    if (extreme === null || !/^-?\d+$/.test(extreme)) continue;
    const least = clamp(position(extreme, true), BigInt(own.minimum), BigInt(own.maximum));
    if (further(least, position(own.lastValue, own.isCalled), upward)) behind.push(`${own.schema}.${own.sequence}`);
  }
  return behind;
}

/** State of one sequence by name; null when there is none. */
export async function readSequence(client: ClientBase, sequence: string): Promise<{ lastValue: string; isCalled: boolean; increment: string; start: string; cycle: boolean } | null> {
  const [settings] = await readRows<{ increment: string; start: string; cycle: boolean }>(
    client, `SELECT seqincrement::text AS increment, seqstart::text AS start, seqcycle AS cycle FROM pg_catalog.pg_sequence WHERE seqrelid = to_regclass($1)`, [sequence]);
  if (!settings) return null;
  const [state] = await readRows<{ last: string; called: boolean }>(client, `SELECT last_value::text AS last, is_called AS called FROM ${sequence}`);
  return state ? { ...settings, lastValue: state.last, isCalled: state.called } : null;
}

/**
 * Brings a sequence of its own to the source's state: as it is there while nobody has drawn from it, else only forward, and where it goes in a circle not at all.
 * setval is not undone by a rollback: call it under a dataset's fence.
 */
export async function followSequence(client: ClientBase, sequence: string, source: { lastValue: string; isCalled: boolean }): Promise<void> {
  const own = await readSequence(client, sequence);
  if (!own) return;
  const untouched = !own.isCalled && own.lastValue === own.start;
  const ahead = !own.cycle && further(position(source.lastValue, source.isCalled), position(own.lastValue, own.isCalled), BigInt(own.increment) > 0n);
  if (untouched || ahead) await client.query('SELECT pg_catalog.setval($1::regclass, $2::int8, $3)', [sequence, source.lastValue, source.isCalled]);
}

async function extremeOf(client: ClientBase, table: TableName, column: string, which: 'min' | 'max'): Promise<string | null> {
  const [extreme] = await readRows<{ value: string | null }>(client, `SELECT ${which}(${quoteIdent(column)})::text AS value FROM ${await ownRowsOf(client, table)}`);
  return extreme?.value ?? null;
}

interface Position { value: bigint; called: boolean }

function position(value: string, called: boolean): Position {
  return { value: BigInt(value), called };
}

function further(a: Position, b: Position, upward: boolean): boolean {
  if (a.value !== b.value) return upward ? a.value > b.value : a.value < b.value;
  return a.called && !b.called;
}

/** A value beyond a bound counts as the bound, handed out: the sequence is then exhausted, as it should say. A value short of it stays legal. */
function clamp(at: Position, minimum: bigint, maximum: bigint): Position {
  if (at.value > maximum) return { value: maximum, called: true };
  if (at.value < minimum) return { value: minimum, called: at.called };
  return at;
}
