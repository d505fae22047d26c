import type { ClientBase } from 'pg';
import { readRows, USER_SCHEMAS } from '../catalog';
import type { NotCarried } from './schema-object';

/** Members of an extension come with it. */
const FREE = (catalog: string, oid: string): string =>
  `NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.${catalog}'::regclass AND x.objid = ${oid} AND x.deptype IN ('e', 'i'))`;

const byName = (what: string, catalog: string, prefix: string, reason: string): string =>
  `SELECT '${what}' AS what, format('%I.%I', n.nspname, o.${prefix}name) AS name, '${reason}' AS reason FROM pg_catalog.${catalog} o
     JOIN pg_catalog.pg_namespace n ON n.oid = o.${prefix}namespace WHERE ${USER_SCHEMAS} AND ${FREE(catalog, 'o.oid')}`;

const BY_HAND = 'create it in the target yourself if it is needed';

const UNSUPPORTED = [
  `SELECT 'foreign table' AS what, format('%I.%I', n.nspname, c.relname) AS name, 'its rows live on another server' AS reason
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND ${USER_SCHEMAS} AND ${FREE('pg_class', 'c.oid')}`,
  `SELECT 'schema', n.nspname::text, 'nothing is in it' FROM pg_catalog.pg_namespace n WHERE ${USER_SCHEMAS} AND n.nspname <> 'public' AND ${FREE('pg_namespace', 'n.oid')}
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid)`,
  `SELECT 'foreign server', s.srvname::text, 'it holds addresses and rights of the old system' FROM pg_catalog.pg_foreign_server s WHERE ${FREE('pg_foreign_server', 's.oid')}`,
  `SELECT 'publication', p.pubname::text, 'what is published is a decision of the new system' FROM pg_catalog.pg_publication p WHERE ${FREE('pg_publication', 'p.oid')}`,
  `SELECT 'subscription', s.subname::text, 'a second subscriber would take its rows' FROM pg_catalog.pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())`,
  `SELECT 'event trigger', e.evtname::text, 'it acts on the schema itself, in the migration too; ${BY_HAND}' FROM pg_catalog.pg_event_trigger e WHERE e.evtname NOT IN ('caravan_block_ddl', 'caravan_block_drop') AND ${FREE('pg_event_trigger', 'e.oid')}`,
  `SELECT 'language', l.lanname::text, '${BY_HAND}' FROM pg_catalog.pg_language l WHERE l.oid >= 16384 AND ${FREE('pg_language', 'l.oid')}`,
  `SELECT 'default privileges', pg_catalog.pg_get_userbyid(d.defaclrole)::text, 'they hold for what is created later' FROM pg_catalog.pg_default_acl d`,
  `SELECT 'large objects', format('%s of them', count(*)), 'they are no rows of a table; copy them with lo_export or pg_dump --large-objects' FROM pg_catalog.pg_largeobject_metadata HAVING count(*) > 0`,
  // One that has a class of its name is made with it.
  `${byName('operator family', 'pg_opfamily', 'opf', BY_HAND)} AND NOT EXISTS (SELECT FROM pg_catalog.pg_opclass c WHERE c.opcfamily = o.oid AND c.opcname = o.opfname)`,
  byName('conversion', 'pg_conversion', 'con', BY_HAND),
  byName('text search parser', 'pg_ts_parser', 'prs', BY_HAND), byName('text search template', 'pg_ts_template', 'tmpl', BY_HAND),
];

/** What no option carries, by name. Foreign servers are named without their options, which may hold secrets. */
export async function readUnsupported(client: ClientBase): Promise<NotCarried[]> {
  return readRows<NotCarried>(client, `SELECT * FROM (${UNSUPPORTED.join(' UNION ALL ')}) every ORDER BY what, name`);
}
