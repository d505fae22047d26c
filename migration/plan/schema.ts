/**
 * The plan: one source of truth. Types, validation, the JSON schema for editors and the reference page all derive from this file.
 * Units are written as people write them (`15m`, `2GB`, `1%`, `1000/min`) and parsed to numbers here.
 */
import { z } from 'zod';
import { byteSize, duration, moment, ratio, rate } from './units';

const name = z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, 'may hold letters, digits, _ and - only, and starts with a letter').max(63);
const field = z.string().min(1).max(63);

/** Strict about its own keys; the keys of a transform's parameters are judged by that transform's schema (plan/transformations.ts). */
const transformStep = z.union([name, z.looseObject({ name: name })]);

export const transformationSchema = z
  .looseObject({
    old_field: field.optional().describe('Source column it reads.'),
    old_fields: z.array(field).min(1).optional().describe('Source columns it reads, in order (concat).'),
    new_field: field.optional().describe('Target column it fills. Default: the name of `old_field`.'),
    new_fields: z.array(field).min(1).optional().describe('Target columns it fills, in order (split).'),
    transform: z.union([transformStep, z.array(transformStep).min(1)]).optional()
      .describe('Name of a transform, or several applied in order. Without it the field is renamed only. Parameters stand beside it.'),
  })
  .describe('How one or more target columns are made. Columns not mentioned go to the column of the same name.');

export const validationSchema = z
  .strictObject({
    required: z.array(field).default([]).describe('Columns that must not be NULL or blank.'),
    unique: z.array(z.union([field, z.array(field).min(1)])).default([]).describe('Columns (or lists of columns) whose values must be unique in the whole dataset; the row with the lowest source key is kept.'),
    formats: z.record(field, z.enum(['email', 'datetime', 'date', 'uuid', 'url', 'integer', 'decimal', 'ipv4', 'ipv6', 'json'])).default({}).describe('Format of a column\'s text.'),
    pattern: z.record(field, z.string()).default({}).describe('Regular expression (RE2 syntax, linear time) that the whole text must match.'),
    range: z.record(field, z.strictObject({ min: z.union([z.number(), z.string()]).optional().describe('Smallest value that passes.'), max: z.union([z.number(), z.string()]).optional().describe('Largest value that passes.') })).default({}).describe('Smallest and largest value, both inclusive; numbers, dates or instants.'),
    length: z.record(field, z.strictObject({ min: z.number().int().min(0).optional().describe('Shortest length that passes.'), max: z.number().int().min(0).optional().describe('Longest length that passes.') })).default({}).describe('Length of a text in characters (code points), of bytes in bytes.'),
    one_of: z.record(field, z.array(z.union([z.string(), z.number(), z.boolean()])).min(1)).default({}).describe('Allowed values.'),
    references: z.record(field, z.string().regex(/^[^.]+\.[^.]+$/, 'dataset.column')).default({}).describe('`column: dataset.column`: the value must exist there after the load; other rows go to quarantine.'),
  })
  .describe('Rules on target columns. NULL passes every rule but `required`.');

const sourceSchema = z
  .strictObject({
    connection: name.describe('Connection that holds the rows.'),
    table: z.string().min(1).optional().describe('Table, `schema.table` or `table` (in `public`); a part that holds a dot goes in double quotes. Default: the dataset\'s name.'),
    query: z.string().min(1).optional().describe('A SELECT instead of a table.'),
    prefix: z.string().optional().describe('Files and S3: folder or prefix that moves. These connectors are not built yet.'),
    pattern: z.string().min(1).optional().describe('Redis: pattern of the keys that move. This connector is not built yet.'),
    key: z.array(field).min(1).optional().describe('Columns that identify a row, unique and NOT NULL. Needed for a query that should resume; tables bring their own.'),
    where: z.string().min(1).optional().describe('SQL condition; rows for which it is false or NULL stay behind and are counted.'),
    accept_missed_rows: z.string().min(1).optional().describe('Why a `where` on a time or serial column is right here, in words. Such a mark of an earlier run misses late commits, updates and deletes; a fixed scope (orders since 2020) does not.'),
  })
  .describe('Where the rows come from.');

const targetSchema = z
  .strictObject({
    connection: name.describe('Connection that receives the rows.'),
    table: z.string().min(1).optional().describe('Table, `schema.table` or `table` (in `public`); a part that holds a dot goes in double quotes. Default: the dataset\'s name.'),
    prefix: z.string().optional().describe('Files and S3: folder or prefix that receives. These connectors are not built yet.'),
    pattern: z.string().min(1).optional().describe('Redis: pattern of the keys. This connector is not built yet.'),
    on_conflict: z.enum(['none', 'update']).default('none').describe('`none`: the table must be empty or ours. `update`: rows with the same key are updated.'),
    key: z.array(field).min(1).optional().describe('Columns that decide a conflict. Default: the primary key.'),
    on_existing: z.enum(['refuse', 'append', 'replace']).default('refuse').describe('What to do with rows that are already there and not ours.'),
  })
  .describe('Where the rows go.');

export const datasetSchema = z
  .strictObject({
    source: sourceSchema,
    target: targetSchema,
    priority: z.enum(['high', 'normal', 'low']).default('normal').describe('Orders the work among datasets that could run at the same time.'),
    after: z.array(name).default([]).describe('Datasets that must be finished before this one starts.'),
    group: name.optional().describe('Group this dataset moves with.'),
    schema: z.enum(['create', 'given']).optional().describe('Overrides the plan\'s `schema`.'),
    mode: z.enum(['fused', 'staged']).default('fused').describe('`fused`: one worker reads and writes. `staged`: the four stages run as activities on workers per side, through the staging store.'),
    transformations: z.array(transformationSchema).default([]).describe('How target columns are made.'),
    validation: validationSchema.prefault({}),
    on_invalid: z.enum(['quarantine', 'fail']).default('quarantine').describe('What happens to a row that breaks a rule.'),
    accept: z.array(field).default([]).describe('Target columns whose narrowing (shorter varchar, smaller numeric) is accepted; rows that do not fit go to quarantine.'),
    pii: z.array(field).default([]).describe('Columns with personal data: masked wherever they are shown.'),
    metric_name: z.string().optional().describe('Name of the counter of migrated rows.'),
  })
  .describe('One table or query and where it goes.');

const sqlPair = {
  source: z.string().min(1).optional().describe('SQL for the source; one number.'),
  target: z.string().min(1).optional().describe('SQL for the target; one number.'),
  source_connection: name.optional().describe('Connection for `source`. Needed when the plan has several sources.'),
  target_connection: name.optional().describe('Connection for `target`. Needed when the plan has several targets.'),
  on_fail: z.enum(['block', 'warn']).default('block').describe('`warn`: reported, does not block.'),
};

const checkSchema = z.union([
  z.string().min(1).transform((sql): CheckPlan => ({ source: sql, target: sql, on_fail: 'block' })),
  z.strictObject(sqlPair),
]).describe('One number from each side. A plain text is SQL for both sides.');

/** One integrity check or business rule. After `parsePlan`, each side that has SQL has its connection. */
export type CheckPlan = z.output<z.ZodObject<typeof sqlPair>>;

const checksSchema = z
  .strictObject({
    integrity: z.record(name, checkSchema).default({}).describe('Each side must count 0; with `on_fail: warn` the target must count no more than the source did.'),
    business_rules: z.record(name, checkSchema).default({}).describe('The two sides must give the same answer.'),
    samples: z.strictObject({
      size: z.number().int().min(0).default(1000).describe('Rows per dataset.'),
      comparison_fields: z.array(field).default([]).describe('Columns to compare. Default: all.'),
      seed: z.number().int().default(1).describe('The same seed draws the same rows.'),
    }).prefault({}).describe('Random rows compared column by column.'),
    rows: z.boolean().default(true).describe('Compare every row of both sides by hash.'),
    repair: z.boolean().default(false).describe('Repair the differences that the row comparison finds.'),
    max_speed: rate.optional().describe('Rows that a comparison may read from each side, per time: less load on systems in use. Default: as fast as they give them.'),
  })
  .describe('What is proved before and after.');

const schemaObjectsSchema = z
  .strictObject({
    types: z.boolean().default(false).describe('Types, domains, collations, operators, operator classes, casts and text search of the schemas that move. Those that tables lean on come anyway.'),
    sequences: z.boolean().default(false).describe('Sequences that no column of a table owns or uses, with their state at the end of the load.'),
    functions: z.boolean().default(false).describe('Functions, procedures and aggregates of the schemas that move. Those that carried objects need come anyway.'),
    views: z.boolean().default(false).describe('Views.'),
    materialized_views: z.boolean().default(false).describe('Materialized views with their indexes; filled after the load.'),
    rules: z.boolean().default(false).describe('Rewrite rules; made after the load.'),
    triggers: z.boolean().default(false).describe('Triggers; made after the load, so that they do not fire in it.'),
    policies: z.boolean().default(false).describe('Row security and its policies; set after the load. Roles that the target lacks are named.'),
    owners: z.boolean().default(false).describe('Owners of tables and of what is carried here, where the target has the role.'),
    grants: z.boolean().default(false).describe('Privileges on tables and on what is carried here, where the target has the role.'),
  })
  .describe('What the target gets of the source\'s schema beyond tables and what these need. Only what leans on nothing but moved, unrenamed tables and other carried objects; the rest is named, with the reason, before the run.');
/** A plan's `schema_objects` with every default applied. */
export type SchemaObjectsPlan = z.output<typeof schemaObjectsSchema>;

const gateStage = z.enum(['test', 'production', 'switch', 'finish']);
const gateSchema = z.union([
  name.transform((gate): GatePlan => ({ gate, before: 'production' })),
  z.strictObject({
    gate: name.describe('Name of the approval, such as `team_briefed`.'),
    before: gateStage.default('production').describe('What waits for it: the rehearsal (`test`), the first row (`production`), the switch of the applications (`switch`) or the end of the migration (`finish`).'),
    role: name.optional().describe('Role of `roles` that may give it. Default: anyone.'),
  }),
]).describe('An approval or attestation that a named person gives. A plain name stands before production.');
/** One gate of the plan with its defaults. */
export interface GatePlan { gate: string; before: z.output<typeof gateStage>; role?: string }

const roleSchema = z.strictObject({
  people: z.array(z.string().min(1)).default([]).describe('Names of those who hold the role. Default: anyone who claims it.'),
  key: z.string().min(1).optional().describe('Ed25519 public key (base64 of its SPKI form). With it, only a signed approval counts for this role.'),
}).describe('A role that gives approvals.');

const backupSchema = z.strictObject({
  sides: z.array(z.enum(['source', 'target'])).min(1).default(['source', 'target']).describe('Whose datasets are backed up.'),
  folder: z.string().min(1).optional().describe('Folder of the built-in backup, on the worker. Default: `.caravan/backups`.'),
  command: name.optional().describe('Your own tool instead: what it runs is in CARAVAN_COMMAND_<NAME>.'),
  verify: name.optional().describe('Command that restores what `command` saved and compares it; exit code 0 means equal.'),
}).describe('A backup before production, verified by restoring it.');

const rehearsalSchema = z.strictObject({
  sample: z.number().int().min(1).max(1_000_000).default(1000).describe('Rows drawn per dataset; rows that these refer to come along.'),
  seed: z.number().int().default(1).describe('The same seed draws the same rows.'),
  schema: name.default('caravan_rehearsal').describe('Scratch schema of the target; made and removed by the rehearsal.'),
  max_age: duration.prefault('7d').describe('How long a passed rehearsal opens production.'),
}).describe('A test migration of a sample through the whole process into a scratch schema, with its rollback. Production waits for one that passed.');

const probeSchema = z.union([
  z.string().min(1).transform((sql): ProbePlan => ({ source: sql, target: sql })),
  z.strictObject({
    source: z.string().min(1).optional().describe('Query on the old side; its time is the baseline.'),
    target: z.string().min(1).describe('Query on the new side.'),
    source_connection: name.optional().describe('Connection for `source`. Needed when the plan has several sources.'),
    target_connection: name.optional().describe('Connection for `target`. Needed when the plan has several targets.'),
  }),
]).describe('A query that the applications live by, timed on both sides. A plain text is SQL for both.');
/** One probe query. After `parsePlan`, each side that has SQL has its connection. */
export interface ProbePlan { source?: string; target: string; source_connection?: string; target_connection?: string }

const switchSchema = z.strictObject({
  name: name.describe('Name of the application, or of what routes to it.'),
  sql: z.strictObject({
    connection: name.describe('Connection that the statements run on.'),
    to_new: z.string().min(1).describe('Statement that points it to the new side. Running it twice must do no harm.'),
    to_legacy: z.string().min(1).describe('Statement that points it back.'),
    read_back: z.string().min(1).describe('Query that answers `new` or `legacy`.'),
  }).optional().describe('Switched by SQL.'),
  webhook: name.optional().describe('Switched by a POST to CARAVAN_WEBHOOK_<NAME>, signed with CARAVAN_WEBHOOK_<NAME>_SECRET; a GET there answers `{"active": "new"}` or `{"active": "legacy"}`.'),
  file: z.strictObject({
    path: z.string().min(1).describe('File on the worker; replaced as a whole.'),
    new: z.string().describe('Content that points to the new side.'),
    legacy: z.string().describe('Content that points to the old one.'),
  }).optional().describe('Switched by the content of a file.'),
  command: name.optional().describe('Switched by the command of CARAVAN_COMMAND_<NAME>, called with `new`, `legacy` or `read` (which prints `new` or `legacy`).'),
}).describe('One application that goes over. Give exactly one of sql, webhook, file, command.');
export type SwitchPlan = z.output<typeof switchSchema>;

const cutoverSchema = z.strictObject({
  switch: z.array(switchSchema).default([]).describe('Applications, in the order they go over. Each is read back.'),
  also_block: z.array(z.string().min(1)).default([]).describe('Further tables of the source that are write-blocked with those of the datasets.'),
  lock_timeout: duration.prefault('30s').describe('How long the write block waits for transactions that are under way.'),
  monitor: z.strictObject({
    for: duration.prefault('15m').describe('Length of the window after the switch.'),
    every: duration.prefault('15s').describe('Time between two looks.'),
    slower_by: ratio.prefault('50%').describe('How much slower than its baseline a probe may be.'),
    failures: z.number().int().min(1).default(3).describe('Looks in a row that may fail before the window does.'),
    on_fail: z.enum(['block', 'rollback']).default('block').describe('`rollback`: an immediate rollback starts by itself.'),
  }).optional().describe('The probes are watched on the new side after the switch.'),
  legacy: z.enum(['keep_blocked', 'hand_back']).default('keep_blocked').describe('Write block of the old side at the end.'),
}).describe('The change of the writing side: writes on the source blocked and proved, final sync, validation, switch of the applications, monitoring.');

const rollbackSchema = z.strictObject({
  changed_rows: z.enum(['keep_new', 'restore_old', 'stop']).default('stop').describe('A row that somebody else changed since the migration wrote it.'),
  require: z.enum(['immediate', 'partial', 'full']).optional().describe('Furthest rollback that must stay possible; a plan that makes it impossible (a lossy transform, say) is refused.'),
  retention: duration.prefault('30d').describe('How long undo data is kept after the migration has ended. A worker removes it then; `caravan forget` does so before.'),
}).describe('How the migration can be taken back.');

export const planSchema = z
  .strictObject({
    migration: name.describe('Name of the migration: its identity everywhere.'),
    project: z.string().optional().describe('Name for people.'),
    approach: z.enum(['big_bang', 'trickle', 'parallel_run', 'phased']).default('big_bang').describe('How the move is done. Built so far: `big_bang`, `phased`.'),
    downtime_tolerance: duration.optional().describe('Longest time the old system may be read-only. A cutover that takes longer is undone by itself.'),
    window: z.strictObject({
      start: moment.optional().describe('Earliest moment that production starts.'),
      abort_by: moment.optional().describe('A cutover that is not through by then is undone by itself.'),
    }).optional().describe('When production may run. Kept by a plan with `cutover`; otherwise for the report.'),
    compliance: z.array(z.string()).default([]).describe('Regimes that apply, for the report.'),
    control: name.optional().describe('PostgreSQL connection of the control store. Default: the only target.'),
    schema: z.enum(['create', 'given']).default('given').describe('`create`: make the target tables from the source. `given`: use the tables that are there.'),
    schema_objects: schemaObjectsSchema.prefault({}),
    groups: z.record(name, z.strictObject({ gate: name.optional().describe('Approval that opens the group.'), after: z.array(name).default([]).describe('Groups that must be finished before this one starts.') })).default({}).describe('Sets of datasets that move together (`phased`).'),
    gates: z.array(gateSchema).default([]).describe('Approvals and attestations that the migration waits for.'),
    roles: z.record(name, roleSchema).default({}).describe('Who may give approvals. Gates and `sign_off` name them.'),
    backup: backupSchema.optional(),
    rehearsal: rehearsalSchema.optional(),
    cutover: cutoverSchema.optional(),
    rollback: rollbackSchema.prefault({}),
    probes: z.record(name, probeSchema).default({}).describe('Queries that the applications live by: timed on both sides for `success.performance_within`, watched after the switch.'),
    datasets: z.record(name, datasetSchema).refine((datasets) => Object.keys(datasets).length > 0, 'needs at least one dataset').describe('What moves.'),
    batch: z.strictObject({
      batch_size: z.number().int().min(1).max(1_000_000).default(10_000).describe('Rows per batch.'),
      parallel_workers: z.number().int().min(1).max(64).default(4).describe('Splits of one dataset copied at the same time.'),
      split_rows: z.number().int().min(1_000).max(100_000_000).optional().describe('Rows of one split. Default: by the size of the table, between 100,000 and 2,000,000.'),
      parallel_datasets: z.number().int().min(1).max(64).default(2).describe('Datasets copied at the same time.'),
      memory_limit: byteSize.prefault('2GB').describe('Memory for batches of one worker.'),
      checkpoint_interval: z.number().int().min(1).max(10_000_000).default(50_000).describe('Rows per commit (or 64 MB, whichever is first).'),
    }).prefault({}).describe('Sizes and parallel work; may be changed while a migration runs.'),
    staging: z.strictObject({ folder: z.string().min(1).describe('Folder that both sides reach.') }).optional().describe('Staging store for `mode: staged`. Default: a folder of the worker.'),
    checks: checksSchema.prefault({}),
    alerts: z.strictObject({
      error_rate: ratio.optional().describe('Share of rows in quarantine.'),
      min_speed: rate.optional().describe('Rows per time.'),
      memory: ratio.optional().describe('Memory of the worker. Accepted, not watched yet.'),
      locks: duration.optional().describe('Longest wait for a lock. Accepted, not watched yet.'),
      on_alert: z.enum(['warn', 'block']).default('warn').describe('`block`: an active alert pauses the run and asks.'),
      notify: z.strictObject({
        webhook: name.optional().describe('Name of a webhook: its address is in CARAVAN_WEBHOOK_<NAME>.'),
        command: z.string().optional().describe('Name of a command: what it runs is in CARAVAN_COMMAND_<NAME>.'),
        remind_every: duration.prefault('30m').describe('Time between reminders while a run is blocked.'),
      }).optional().describe('Who is told when a run blocks.'),
    }).prefault({}).describe('Limits that are watched while rows move.'),
    success: z.strictObject({
      migrated: ratio.optional().describe('Share of source rows that must be accounted for.'),
      error_rate: ratio.optional().describe('Largest share of rows in quarantine.'),
      performance_within: ratio.optional().describe('How far the new system may be slower.'),
    }).prefault({}).describe('Success criteria, judged in the report.'),
    sign_off: z.array(name).default([]).describe('Roles that sign. With `cutover`, the migration waits for them at its end.'),
    on_abort: z.enum(['keep', 'undo']).default('keep').describe('What an abort does with the rows already written. Built so far: `keep`.'),
  })
  .describe('A Caravan migration plan.');

/** A plan as people write it. */
export type PlanFile = z.input<typeof planSchema>;
/** A plan with every default applied. */
export type Plan = z.output<typeof planSchema>;
export type DatasetPlan = z.output<typeof datasetSchema>;
export type ValidationPlan = z.output<typeof validationSchema>;
export type TransformationPlan = z.output<typeof transformationSchema>;
