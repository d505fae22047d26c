import type { ServerIdentity } from '../../migration/connector';

/** Whether both are the same database. Fields that only one of them knows (a right gained or lost since) do not count. */
export function sameIdentity(a: ServerIdentity, b: ServerIdentity): boolean {
  return Object.keys(a).every((field) => b[field] === undefined || a[field] === b[field]);
}
