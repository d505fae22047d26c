import type { WorkflowHandle } from '@temporalio/client';
import { UPDATES, type Approval, type GateView } from '../../migration/protocol';
import type { Door } from '../../workers/door';
import { sendUpdate } from '../commands/temporal-calls';

const LOOK_EVERY_MS = 500;

export interface ApproverRequest {
  door: Door;
  handle: WorkflowHandle;
  migration: string;
  gates: readonly GateView[];
  signal: AbortSignal;
  onApproved: (approval: Approval) => void;
}

/** Answers each gate that a run waits at, as the first person of its role, until `signal` aborts. For a demo: in earnest, people do this. */
export async function approveAsPeople({ door, handle, migration, gates, signal, onApproved }: ApproverRequest): Promise<void> {
  const reasons: Record<string, string> = { team_briefed: 'walk-through and drill done', stakeholders_informed: 'announced last week', go_live: 'checks look right' };
  while (!signal.aborted) {
    const [status] = await door.status(migration).then(({ migrations }) => migrations, () => []);
    const waiting = status?.status === 'waiting_for_approval' ? gates.find(({ gate }) => status.detail === `gate ${gate}`) : undefined;
    if (waiting) {
      const approval: Approval = { gate: waiting.gate, by: waiting.people?.[0] ?? 'the demo', role: waiting.role, reason: reasons[waiting.gate] ?? 'report read' };
      // Refused when it was given since the look: the next look tells.
      await sendUpdate(handle, UPDATES.approve, approval, { signal }).then(() => onApproved(approval), () => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
