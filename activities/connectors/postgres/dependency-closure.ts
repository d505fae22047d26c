import type { ClientBase } from 'pg';
import { readRows } from './catalog';

/** An object of the source by catalog and oid, such as (`pg_proc`, 16390). */
export interface CatalogObject { catalog: string; oid: number }

/** A table that will be made: what its columns in `unneeded` need does not count. */
export interface ClosureRoot { oid: number; unneeded: string[] }

export interface Closure {
  /** What the tables lean on, without the tables, what belongs to extensions and what every server has; what others need comes first. */
  objects: CatalogObject[];
  /** The roots: a table whose row type another one needs, or that it inherits from, comes before it. */
  tables: number[];
  extensions: string[];
}

interface Edge { catalog: string; oid: number; refCatalog: string; refOid: number }
interface Facts { catalog: string; oid: number; extension: string | null }

/** Oids below are the server's own. */
const FIRST_USER_OID = 16_384;

/**
 * Everything that tables need, over any number of steps: types of columns, functions of defaults, checks, generated columns, indexes and domains,
 * what those functions need in turn, operators, operator classes, casts, text search, collations, sequences. The catalog does not record
 * what a function's text names; functions and types whose names stand in it count as needed, too.
 */
export async function readClosure(client: ClientBase, roots: ClosureRoot[], types: string[] = []): Promise<Closure> {
  const graph = new Graph(client, roots);
  const named = await readRows<{ oid: number }>(client, `SELECT to_regtype(t)::oid::int8 AS oid FROM unnest($1::text[]) t WHERE to_regtype(t) IS NOT NULL`, [types]);
  const seeds = [...roots.map(({ oid }) => ({ catalog: 'pg_class', oid })), ...named.map(({ oid }) => ({ catalog: 'pg_type', oid })).filter(({ oid }) => oid >= FIRST_USER_OID)];
  await graph.walk(seeds);
  const parts = await readRows<CatalogObject>(client, PARTS, [roots.map(({ oid }) => oid)]);
  await graph.walk(parts);
  await graph.walk(await readRows<CatalogObject>(client, CASTS, [graph.oidsOf('pg_type')]));
  return graph.ordered([...seeds, ...parts], parts);
}

const keyOf = ({ catalog, oid }: CatalogObject): string => `${catalog} ${oid}`;

class Graph {
  private readonly edges = new Map<string, CatalogObject[]>();
  private readonly extensionOf = new Map<string, string>();
  private readonly nodes = new Map<string, CatalogObject>();
  private readonly unneeded: string;

  constructor(private readonly client: ClientBase, private readonly roots: ClosureRoot[]) {
    this.unneeded = JSON.stringify(roots.flatMap(({ oid, unneeded }) => unneeded.map((column) => ({ oid, column }))));
  }

  /** Breadth first, one question per step. */
  async walk(from: CatalogObject[]): Promise<void> {
    let frontier = this.unseen(from);
    while (frontier.length > 0) {
      const oids = frontier.map(({ oid }) => oid);
      const catalogs = frontier.map(({ catalog }) => catalog);
      for (const facts of await readRows<Facts>(this.client, EXTENSIONS, [catalogs, oids])) {
        if (facts.extension !== null) this.extensionOf.set(keyOf(facts), facts.extension);
      }
      const inner = frontier.filter((node) => !this.extensionOf.has(keyOf(node)));
      const found = await readRows<Edge>(this.client, EDGES, [inner.map(({ catalog }) => catalog), inner.map(({ oid }) => oid), this.unneeded, this.roots.map(({ oid }) => oid)]);
      const next: CatalogObject[] = [];
      for (const edge of found) {
        const to = { catalog: edge.refCatalog, oid: edge.refOid };
        const own = this.edges.get(keyOf(edge));
        if (own) own.push(to);
        else this.edges.set(keyOf(edge), [to]);
        next.push(to);
      }
      frontier = this.unseen(next);
    }
  }

  oidsOf(catalog: string): number[] {
    return [...this.nodes.values()].filter((node) => node.catalog === catalog).map(({ oid }) => oid);
  }

  private unseen(candidates: CatalogObject[]): CatalogObject[] {
    const fresh: CatalogObject[] = [];
    for (const node of candidates) {
      if (this.nodes.has(keyOf(node)) || node.oid < FIRST_USER_OID) continue;
      this.nodes.set(keyOf(node), node);
      fresh.push(node);
    }
    return fresh;
  }

  /** Depth first, the needed before the needing; where they need each other, one of them goes first and is tried again later. */
  ordered(starts: CatalogObject[], parts: CatalogObject[]): Closure {
    const roots = new Set(this.roots.map(({ oid }) => `pg_class ${oid}`));
    const silent = new Set(parts.map(keyOf));
    const closure: Closure = { objects: [], tables: [], extensions: [] };
    const visited = new Set<string>();
    for (const start of [...starts, ...this.nodes.values()]) {
      const stack = [{ node: start, opened: false }];
      for (let top = stack.pop(); top; top = stack.pop()) {
        const key = keyOf(top.node);
        if (top.opened) {
          const extension = this.extensionOf.get(key);
          if (extension !== undefined) {
            if (!closure.extensions.includes(extension)) closure.extensions.push(extension);
          } else if (roots.has(key)) closure.tables.push(top.node.oid);
          else if (!silent.has(key)) closure.objects.push(top.node);
          continue;
        }
        if (visited.has(key) || !this.nodes.has(key)) continue;
        visited.add(key);
        stack.push({ node: top.node, opened: true });
        for (const needed of this.edges.get(key) ?? []) stack.push({ node: needed, opened: false });
      }
    }
    return closure;
  }
}

const FRONTIER = `frontier AS (SELECT format('pg_catalog.%I', catalog)::regclass::oid AS catalog, oid FROM unnest($1::text[], $2::oid[]) f(catalog, oid))`;
const NAME_OF = (catalog: string): string => `(SELECT relname FROM pg_catalog.pg_class WHERE oid = ${catalog})`;

const IN_EXTENSION = (catalog: string, oid: string): string =>
  `EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.${catalog}'::regclass AND x.objid = ${oid} AND x.deptype = 'e')`;

/** The extension that an object belongs to. */
const EXTENSIONS = `
  WITH ${FRONTIER}
  SELECT ${NAME_OF('f.catalog')} AS catalog, f.oid::int8 AS oid, e.extname AS extension FROM frontier f
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = f.catalog AND d.objid = f.oid AND d.deptype = 'e' LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid`;

/** What objects need. Recorded dependencies; then what the catalog keeps elsewhere. $3: columns that do not count, $4: the tables that are made. */
const EDGES = `
  WITH ${FRONTIER}, skipped AS (SELECT s.oid, a.attnum FROM jsonb_to_recordset($3::jsonb) s(oid oid, "column" text) JOIN pg_catalog.pg_attribute a ON a.attrelid = s.oid AND a.attname = s."column"),
  recorded AS (
    SELECT f.catalog, f.oid, d.refclassid, d.refobjid FROM frontier f JOIN pg_catalog.pg_depend d ON d.classid = f.catalog AND d.objid = f.oid AND d.deptype IN ('n', 'a', 'i', 'P')
      WHERE NOT EXISTS (SELECT FROM skipped s WHERE f.catalog = 'pg_catalog.pg_class'::regclass AND s.oid = f.oid AND s.attnum = d.objsubid)
    UNION SELECT f.catalog, f.oid, d.refclassid, d.refobjid FROM frontier f JOIN pg_catalog.pg_type t ON f.catalog = 'pg_catalog.pg_type'::regclass AND t.oid = f.oid AND t.typtype = 'c'
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = t.typrelid AND d.deptype = 'n' WHERE NOT t.typrelid = ANY ($4::oid[])
    UNION SELECT f.catalog, f.oid, d.refclassid, d.refobjid FROM frontier f JOIN pg_catalog.pg_constraint k ON f.catalog = 'pg_catalog.pg_type'::regclass AND k.contypid = f.oid
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::regclass AND d.objid = k.oid AND d.deptype = 'n'
    UNION SELECT f.catalog, f.oid, d.refclassid, d.refobjid FROM frontier f
      JOIN pg_catalog.pg_depend m ON f.catalog = 'pg_catalog.pg_opclass'::regclass AND m.refclassid = f.catalog AND m.refobjid = f.oid AND m.classid IN ('pg_catalog.pg_amop'::regclass, 'pg_catalog.pg_amproc'::regclass)
      JOIN pg_catalog.pg_depend d ON d.classid = m.classid AND d.objid = m.objid
    UNION SELECT f.catalog, f.oid, d.refclassid, d.refobjid FROM frontier f JOIN pg_catalog.pg_attrdef g ON f.catalog = 'pg_catalog.pg_class'::regclass AND g.adrelid = f.oid
      JOIN pg_catalog.pg_attribute a ON a.attrelid = g.adrelid AND a.attnum = g.adnum AND a.attgenerated <> ''
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = g.oid AND d.deptype = 'n'
      WHERE NOT EXISTS (SELECT FROM skipped s WHERE s.oid = f.oid AND s.attnum = g.adnum)
    UNION SELECT f.catalog, f.oid, 'pg_catalog.pg_proc'::regclass, other.oid FROM frontier f CROSS JOIN LATERAL (
        SELECT p.oid, regexp_split_to_array(lower(p.prosrc), '[^[:alnum:]_$]+') AS words FROM pg_catalog.pg_proc p
        WHERE f.catalog = 'pg_catalog.pg_proc'::regclass AND p.oid = f.oid AND p.prolang IN (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanname NOT IN ('c', 'internal'))) p
      JOIN pg_catalog.pg_proc other ON other.oid >= ${FIRST_USER_OID} AND other.oid <> f.oid AND lower(other.proname) = ANY (p.words)
      JOIN pg_catalog.pg_namespace n ON n.oid = other.pronamespace AND n.nspname <> 'caravan'
      WHERE NOT (${IN_EXTENSION('pg_proc', 'other.oid')} AND EXISTS (SELECT FROM pg_catalog.pg_proc b WHERE b.oid < ${FIRST_USER_OID} AND b.proname = other.proname))
    UNION SELECT f.catalog, f.oid, 'pg_catalog.pg_type'::regclass, other.oid FROM frontier f CROSS JOIN LATERAL (
        SELECT p.oid, regexp_split_to_array(lower(p.prosrc), '[^[:alnum:]_$]+') AS words FROM pg_catalog.pg_proc p
        WHERE f.catalog = 'pg_catalog.pg_proc'::regclass AND p.oid = f.oid AND p.prolang IN (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanname NOT IN ('c', 'internal'))) p
      JOIN pg_catalog.pg_type other ON other.oid >= ${FIRST_USER_OID} AND lower(other.typname) = ANY (p.words)
      WHERE other.typtype IN ('d', 'e', 'r') OR ${IN_EXTENSION('pg_type', 'other.oid')} OR (other.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = other.typrelid AND c.relkind = 'c'))
  )
  SELECT DISTINCT ${NAME_OF('r.catalog')} AS catalog, r.oid::int8 AS oid, ${NAME_OF('r.refclassid')} AS "refCatalog", r.refobjid::int8 AS "refOid"
  FROM recorded r WHERE r.refobjid >= ${FIRST_USER_OID} AND r.refclassid <> 'pg_catalog.pg_namespace'::regclass
    AND (r.catalog, r.oid) <> (r.refclassid, r.refobjid)
    AND NOT (r.refclassid = 'pg_catalog.pg_class'::regclass AND NOT r.refobjid = ANY ($4::oid[])
      AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = r.refobjid AND c.relkind NOT IN ('S', 'r', 'p', 'v', 'm', 'f')))`;

/** What is built onto the tables $1 when all of them are there: defaults, constraints (not foreign keys), indexes, statistics. */
const PARTS = `
  SELECT 'pg_attrdef' AS catalog, d.oid::int8 AS oid FROM pg_catalog.pg_attrdef d WHERE d.adrelid = ANY ($1::oid[])
  UNION ALL SELECT 'pg_constraint', k.oid::int8 FROM pg_catalog.pg_constraint k WHERE k.conrelid = ANY ($1::oid[]) AND k.contype <> 'f'
  UNION ALL SELECT 'pg_class', i.indexrelid::int8 FROM pg_catalog.pg_index i WHERE i.indrelid = ANY ($1::oid[])
  UNION ALL SELECT 'pg_statistic_ext', s.oid::int8 FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = ANY ($1::oid[])`;

/** Casts between the types $1, or from or to a type of the server. */
const CASTS = `
  SELECT 'pg_cast' AS catalog, c.oid::int8 AS oid FROM pg_catalog.pg_cast c
  WHERE c.oid >= ${FIRST_USER_OID} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'i') AND (c.castsource = ANY ($1::oid[]) OR c.casttarget = ANY ($1::oid[]))
    AND (c.castsource = ANY ($1::oid[]) OR c.castsource < ${FIRST_USER_OID}) AND (c.casttarget = ANY ($1::oid[]) OR c.casttarget < ${FIRST_USER_OID})`;
