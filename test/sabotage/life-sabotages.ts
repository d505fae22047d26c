import type { Sabotage } from './planting';

const TRAIL = 'test/e2e/audit-trail.test.ts';
const APPROVALS = 'test/e2e/approvals.test.ts';

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
];
