import { trailFaults, type AuditTrail } from '../../migration/audit-trail';
import { canonicalJson } from '../../migration/plan/hash';
import { sha256, toHex } from '../../migration/transform/sha';
import { UsageError } from '../commands/exit-codes';
import type { ReportView } from './shape';

/** A report that can be checked later: the digest covers everything else in it, the audit trail included. */
export interface Evidence extends ReportView { digest: string }

const OPENING = '<template id="caravan-evidence">';
const CLOSING = '</template>';
const ESCAPES: [string, string][] = [['&', '&amp;'], ['<', '&lt;'], ['>', '&gt;']];

export function sealed(view: ReportView): Evidence {
  return { ...view, digest: digestOf(view) };
}

/** SHA-256, hexadecimal, of the canonical JSON of everything but the digest itself. */
export function digestOf(content: ReportView & { digest?: string }): string {
  return toHex(sha256(new TextEncoder().encode(canonicalJson({ ...content, digest: undefined }))));
}

/** The evidence as an inert element of the page: browsers neither show nor run it. */
export function evidenceElement(evidence: Evidence): string {
  return `${OPENING}${ESCAPES.reduce((text, [plain, escaped]) => text.replaceAll(plain, escaped), JSON.stringify(evidence))}${CLOSING}`;
}

/** Reads a report as `caravan report` wrote it, page or JSON. @throws UsageError where the file holds no evidence. */
export function readEvidence(text: string, file: string): Evidence {
  const start = text.indexOf(OPENING);
  const body = start < 0 ? text : [...ESCAPES].reverse().reduce((part, [plain, escaped]) => part.replaceAll(escaped, plain), text.slice(start + OPENING.length, text.indexOf(CLOSING, start)));
  try {
    const evidence = JSON.parse(body) as Partial<Evidence>;
    if (typeof evidence.digest === 'string' && evidence.trail) return evidence as Evidence;
  } catch { /* Told below. */ }
  throw new UsageError(`${file} is not a report of this version: it holds no evidence to verify`);
}

/** What is wrong with a report, in words; `live` is the trail as the control store has it now, which must still hold all that the report holds. */
export function evidenceFaults(evidence: Evidence, live: AuditTrail | null): string[] {
  const faults = trailFaults(evidence.trail).map(({ what }) => `in the report's audit trail, ${what}`);
  if (digestOf(evidence) !== evidence.digest) faults.unshift('the report was changed after it was made: its digest does not fit');
  if (!live) return faults;
  faults.push(...trailFaults(live).map(({ what }) => `in the control store's audit trail, ${what}`));
  const { head } = evidence.trail;
  if (head && live.entries.find(({ seq }) => seq === head.seq)?.hash !== head.hash) {
    faults.push(`the control store's audit trail is not the one of the report: its entry ${head.seq} is another or is gone`);
  }
  return faults;
}
