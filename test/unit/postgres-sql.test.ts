import { DatabaseError } from 'pg';
import { toMigrationError } from '../../activities/connectors/postgres/errors';
import { createRequest } from '../../activities/connectors/postgres/create-request';
import { createdType } from '../../activities/connectors/postgres/created-type';
import { kindOf, wireTypeOf } from '../../activities/connectors/postgres/kinds';
import { grantStatements } from '../../activities/connectors/postgres/privileges';
import { parseTableName, quoteIdent, quoteLiteral } from '../../activities/connectors/postgres/sql';
import { MigrationError } from '../../migration/errors';
import { datasetSchema } from '../../migration/plan/schema';
import { fieldMappings } from '../../migration/plan/transformations';
import { builtinTransforms } from '../../migration/transform';

describe('names', () => {
  it.each([
    ['users', 'public', 'users'],
    ['legacy.users', 'legacy', 'users'],
    ['"My schema"."a.b"', 'My schema', 'a.b'],
    ['"say ""hi"""', 'public', 'say "hi"'],
    ['Legacy . Users', 'Legacy', 'Users'],
    ['"sales".order lines', 'sales', 'order lines'],
  ])('reads %s', (text, schema, name) => {
    expect(parseTableName(text)).toEqual({ schema, name });
  });

  it.each(['', ' ', 'a.', '.a', 'a..b', 'a.b.c', '"a', 'a"b', '""', '"a"b', 'a.""'])('refuses %j', (text) => {
    expect(() => parseTableName(text)).toThrow(expect.objectContaining({ code: 'PLAN_INVALID' }));
  });

  it('quotes identifiers and literals', () => {
    expect(quoteIdent('a"b')).toBe('"a""b"');
    expect(() => quoteIdent('a\0b')).toThrow(MigrationError);
    expect(quoteLiteral(`it's`)).toBe(`'it''s'`);
    expect(quoteLiteral(`a\\' b`)).toBe(` E'a\\\\'' b'`);
  });
});

describe('types', () => {
  const facts = { oid: 20, category: 'b', baseOid: 20, baseName: 'int8', elementOid: 0, composite: false, binary: true, baseType: null, structure: null, major: 18 };

  it('passes bytes only of built-in types whose oids and bytes mean the same everywhere', () => {
    expect(wireTypeOf(facts)).toBe(20);
    expect(wireTypeOf({ ...facts, oid: 1016, elementOid: 20 })).toBe(1016);
    expect(wireTypeOf({ ...facts, oid: 16_500 })).toBeUndefined();
    expect(wireTypeOf({ ...facts, oid: 13_000, category: 'd' })).toBeUndefined();
    expect(wireTypeOf({ ...facts, oid: 2205, baseOid: 2205, baseName: 'regclass' })).toBeUndefined();
    expect(wireTypeOf({ ...facts, oid: 2210, elementOid: 2205 })).toBeUndefined();
    expect(wireTypeOf({ ...facts, oid: 1033, binary: false })).toBeUndefined();
  });

  it('looks through domains for the kind, not for the bytes', () => {
    const domain = { ...facts, oid: 16_400, category: 'd' };
    expect(kindOf(domain)).toBe('integer');
    expect(wireTypeOf(domain)).toBeUndefined();
    expect(kindOf({ ...facts, baseOid: 1186, baseName: 'interval' })).toBe('opaque');
  });
});

describe('errors of the server', () => {
  const server = (code: string, fields: Partial<DatabaseError> = {}): DatabaseError =>
    Object.assign(new DatabaseError('Key (email)=(secret@example.com) already exists', 10, 'error'), { code, severity: 'ERROR', detail: 'secret@example.com', where: 'COPY users, line 3: "secret@example.com"', hint: 'secret@example.com', ...fields });

  it.each([
    ['28P01', 'CONNECTION_REFUSED'], ['3D000', 'CONNECTION_REFUSED'], ['57P03', 'SYSTEM_UNREACHABLE'], ['57P01', 'SYSTEM_UNREACHABLE'], ['08006', 'SYSTEM_UNREACHABLE'],
    ['42501', 'PRIVILEGE_MISSING'], ['42P01', 'OBJECT_MISSING'], ['42703', 'OBJECT_MISSING'], ['3F000', 'OBJECT_MISSING'], ['42601', 'SQL_INVALID'], ['42883', 'SQL_INVALID'],
    ['40001', 'SYSTEM_BUSY'], ['40P01', 'SYSTEM_BUSY'], ['55P03', 'SYSTEM_BUSY'], ['57014', 'SYSTEM_BUSY'], ['53300', 'SYSTEM_BUSY'],
    ['22P02', 'ROW_REFUSED'], ['23505', 'ROW_REFUSED'], ['XX000', 'INTERNAL'],
  ])('%s is %s', (state, code) => {
    expect(toMigrationError(server(state), 'here')).toMatchObject({ code, details: { sqlstate: state } });
  });

  it.each(['22P02', '23505', '44000', 'P0001', 'XX000', '54000', 'ZZ999'])('%s shows names but no row values', (state) => {
    const error = toMigrationError(server(state, { table: 'users', constraint: 'users_email_key' }), 'dataset users');
    expect(JSON.stringify([error.message, error.details])).not.toContain('secret');
    expect(error.message).toContain('users_email_key');
    expect(error.cause).toBeUndefined();
  });

  it('knows broken connections, also behind several addresses', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(toMigrationError(refused, 'x').code).toBe('SYSTEM_UNREACHABLE');
    expect(toMigrationError(new AggregateError([refused]), 'x').code).toBe('SYSTEM_UNREACHABLE');
    expect(toMigrationError(new Error('Connection terminated unexpectedly'), 'x').code).toBe('SYSTEM_UNREACHABLE');
    expect(toMigrationError(Object.assign(new Error('x'), { code: 'EPIPE' }), 'x').code).toBe('SYSTEM_UNREACHABLE');
    expect(toMigrationError(Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' }), 'x').code).toBe('CONNECTION_REFUSED');
    expect(toMigrationError(new TypeError('secret'), 'x')).toMatchObject({ code: 'INTERNAL', message: expect.not.stringContaining('secret') as string });
  });
});

describe('created columns', () => {
  it.each([
    ['text', ['to_iso_datetime'], 'timestamp with time zone'],
    ['character varying(40)', ['trim', 'lower'], 'character varying(40)'],
    ['integer', ['map_values'], 'text'],
    ['text', ['trim', 'to_integer'], 'bigint'],
    ['numeric(10,2)', [], 'numeric(10,2)'],
    ['integer', [{ name: 'own', kind: 'uuid' as const }], 'uuid'],
  ])('%s through %j is %s', (source, steps, type) => {
    expect(createdType(source, steps)).toBe(type);
  });

  it('come from the plan: taken over, added, dropped', () => {
    const dataset = datasetSchema.parse({
      source: { connection: 'a', table: 'people' }, target: { connection: 'b', table: 'app.persons' },
      transformations: [
        { old_field: 'login', new_field: 'user_name', transform: 'trim' },
        { old_field: 'born', transform: 'to_date', format: 'YYYY-MM-DD' },
        { old_fields: ['first', 'last'], new_field: 'full_name', transform: 'concat', separator: ' ' },
        { old_field: 'password', transform: 'drop' },
        { new_field: 'tenant', transform: 'constant', value: 7 },
        { old_field: 'total', new_field: 'total', transform: 'rename' },
      ],
    });
    const column = (name: string, type = 'text', computed = false) => ({ name, type, kind: 'text' as const, nullable: true, ...(computed && { computed }) });
    const columns = [column('id', 'bigint'), column('login'), column('born'), column('first'), column('last'), column('password'), column('total', 'numeric', true)];
    const mappings = fieldMappings({ transformations: dataset.transformations.filter((entry) => entry.transform !== 'to_date') }, builtinTransforms);
    const toDate = { inputs: ['born'], outputs: ['born'], steps: [{ transform: 'to_date', params: {} }] };
    const request = createRequest('people', dataset, { columns, key: ['id'], rowsEstimate: 0, bytesEstimate: 0 }, [...mappings, toDate], builtinTransforms);
    expect(request).toEqual({
      dataset: 'people', source: { table: { schema: 'public', name: 'people' } }, target: { schema: 'app', name: 'persons' },
      renames: { login: 'user_name' }, dropped: ['first', 'last', 'password'], typeOverrides: { born: 'date' }, plain: ['total'],
      added: [{ name: 'full_name', type: 'text' }, { name: 'tenant', type: 'bigint' }], arbiter: ['id'],
    });
  });
});

describe('grants', () => {
  it('give a reader no right to write', () => {
    const sql = grantStatements({ role: 'reader', database: 'shop', reads: [{ schema: 'public', name: 'users' }], writes: [], creates: [], ledger: false });
    expect(sql).toContain('GRANT SELECT ON TABLE "public"."users" TO "reader";');
    expect(sql).toContain('default_transaction_read_only');
    expect(sql).not.toMatch(/INSERT|UPDATE|DELETE|CREATE SCHEMA/);
  });
});
