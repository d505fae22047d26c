import type { Sabotage } from './planting';

const TRAIL = 'test/e2e/audit-trail.test.ts';
const APPROVALS = 'test/e2e/approvals.test.ts';
const REHEARSAL = 'test/e2e/rehearsal.test.ts';

/** Of what surrounds the copy: the audit trail, approvals, cutover, rehearsal and rollback. */
export const LIFE_SABOTAGES: readonly Sabotage[] = [
  {
    name: 'an audit entry can be edited',
    edits: [{ file: 'activities/stores/control-schema.ts', find: 'CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON', replace: 'CREATE TRIGGER audit_kept BEFORE TRUNCATE ON' }],
    suite: TRAIL, test: 'nothing may be changed or removed',
  },
  {
    name: 'an entry that was removed from the audit is not missed',
    edits: [{ file: 'migration/audit-trail.ts', find: 'if (entry.seq > expected)', replace: 'if (entry.seq > expected + 1)' }],
    suite: TRAIL, test: 'found: an entry that was removed',
  },
  {
    name: 'an approval counts whoever gives it',
    edits: [{ file: 'activities/record-approval.ts', find: 'people.length > 0 && !people.includes(approval.by)', replace: 'people.length > 0 && people.length < 0' }],
    suite: APPROVALS, test: 'an approval counts for its role only',
  },
  {
    name: 'a signature is not checked',
    edits: [{ file: 'activities/record-approval.ts', find: 'return verify(null,', replace: 'return text !== \'\' || verify(null,' }],
    suite: APPROVALS, test: 'a role with a key signs',
  },
  {
    name: 'a gate that ignores a failed check: the rehearsal passes although rows differ',
    edits: [{ file: 'migration/preparation/rehearsal-plan.ts', find: `else if (found.verdict === 'failed')`, replace: `else if (found.verdict === 'failed' && kind !== 'rows')` }],
    suite: REHEARSAL, test: 'a comparison that failed',
  },
  {
    name: 'a rehearsal opens production for ever',
    edits: [{ file: 'migration/preparation/rehearsal.ts', find: 'last.ageMs > now.maxAgeMs', replace: 'last.ageMs < 0' }],
    suite: REHEARSAL, test: 'it opens production while',
  },
  {
    name: 'parents of parents are not in the sample',
    edits: [{ file: 'activities/rehearsal/draw-sample.ts', find: 'frontier = next;', replace: 'frontier = next.slice(0, 0);' }],
    suite: REHEARSAL, test: 'the sample holds every row',
  },
  {
    name: 'a backup is proved by its checksums alone',
    edits: [{ file: 'activities/backup/verify-built-in.ts', find: 'found.digest !== table.digest', replace: `found.digest === ''` }],
    suite: 'test/e2e/backup.test.ts', test: 'a backup that restores to other rows',
  },
  {
    name: 'a step counts as done before its work: a worker that dies in between leaves it out',
    edits: [{
      file: 'activities/cutover/life-step.ts', find: '      const evidence = await work({ ...run,',
      replace: `      await closeStep(run.control, input.ref, opened, 'done', { what: '' });\n      const evidence = await work({ ...run,`,
    }],
    suite: 'test/faults/rollback-workers.test.ts', test: 'killed in the middle of a step',
  },
  {
    name: 'caravan run leaves a rollback before its workflow has closed',
    edits: [{ file: 'scripts/commands/taken-over.ts', find: 'if (opened.worker) await closedHere(', replace: 'if (signal.aborted && opened.worker) await closedHere(' }],
    suite: 'test/e2e/followed-rollback.test.ts', test: 'is sent the update rollback',
  },
  {
    name: 'before-image outside the transaction',
    edits: [
      {
        file: 'activities/connectors/postgres/merge.ts',
        find: `     journalled AS (
       INSERT INTO caravan.before_image (migration, dataset, target_key, image) SELECT $1, $2, k, image FROM locked
       ON CONFLICT (migration, dataset, target_key) DO NOTHING)
     SELECT count(*) AS changing FROM locked`,
        replace: `     split AS (SELECT $1::text, $2::text)
     SELECT count(*) AS changing, json_agg(json_build_object('k', k, 'image', image)) AS images FROM locked`,
      },
      {
        file: 'activities/connectors/postgres/merge.ts',
        find: 'const changing = Number(locked?.changing ?? 0);',
        replace: `const changing = Number(locked?.changing ?? 0);
  const { host, port, user, password, database } = client as any;
  const apart = new (require('pg').Client)({ host, port, user, password, database });
  await apart.connect();
  await apart.query(\`INSERT INTO caravan.before_image (migration, dataset, target_key, image) SELECT $1, $2, ARRAY(SELECT jsonb_array_elements_text(o -> 'k')), o -> 'image' FROM jsonb_array_elements($3::jsonb) o ON CONFLICT DO NOTHING\`,
    [id.migration, id.dataset, JSON.stringify((locked as any)?.images ?? [])]);
  await apart.end();`,
      },
    ],
    suite: 'test/conformance/postgres-sink.test.ts', test: 'a commit that is lost leaves no before-image',
  },
  {
    name: 'undo data goes before its retention is over',
    edits: [{ file: 'activities/forgetting/forget-undo.ts', find: 'Date.parse(isoText(row.finished_at)) + plan.rollback.retention', replace: 'Date.parse(isoText(row.finished_at)) + plan.rollback.retention * 0' }],
    suite: 'test/e2e/forgetting.test.ts', test: 'undo data stays while the migration runs',
  },
  {
    name: 'an erased row stays in the quarantine',
    edits: [{ file: 'activities/forgetting/forget-subject.ts', find: `SET columns = '{}', content = '{}', source_key = NULL,`, replace: `SET columns = columns, source_key = NULL,` }],
    suite: 'test/e2e/forgetting.test.ts', test: 'of one person nothing is left',
  },
];
