import { condition } from '@temporalio/workflow';
import type { Approval, GateView, RunView } from '../migration/protocol';
import { controlActivities } from './activity-proxies';
import type { Steps } from './blocked-step';

/** What the gates need of their run. */
export interface GatedRun {
  readonly queue: string;
  readonly steps: Steps;
  /** Null until the run is admitted. */
  view(): RunView | null;
  note(text: string): void;
  announce(message: string): void;
  changed(): void;
}

/** The gates of a run: which there are, who opened them, and for which one it waits. */
export class Gates {
  private waitingGate: string | null = null;
  private readonly approvals = new Map<string, Approval>();

  constructor(private readonly run: GatedRun) {}

  /** The gate that the run waits for, with what the plan asks of its approval. */
  get waiting(): { gate: string; role: string | undefined } | null {
    return this.waitingGate === null ? null : { gate: this.waitingGate, role: this.viewOf(this.waitingGate)?.role };
  }

  /** Every gate of the plan, in the order they are met. */
  names(): string[] {
    const view = this.run.view();
    if (!view) return [];
    return [...new Set([...(view.life?.gates ?? []).map(({ gate }) => gate), ...view.gates, ...view.groups.flatMap((group) => (group.gate === null ? [] : [group.gate]))])];
  }

  isApproved(gate: string): boolean {
    return this.approvals.has(gate) || (this.run.view()?.approved ?? []).includes(gate);
  }

  approve(approval: Approval): void {
    this.approvals.set(approval.gate, approval);
    this.run.changed();
  }

  /** What the plan asks of an approval; undefined for a gate without more than its name. */
  viewOf(gate: string): GateView | undefined {
    return this.run.view()?.life?.gates.find((one) => one.gate === gate);
  }

  /** The run waits for no gate any more. */
  stopWaiting(): void {
    this.waitingGate = null;
  }

  /** Waits until a person approved `gate`, in this run or an earlier one; the approval is durable when it returns. */
  async pass(gate: string): Promise<void> {
    for (;;) {
      if (!this.isApproved(gate)) await this.awaitApproval(gate);
      const approval = this.approvals.get(gate);
      const ref = this.run.view()?.ref;
      if (!approval || !ref) return;
      const recorded = await this.run.steps.run(`approval:${gate}`, () => controlActivities(this.run.queue, `approval ${gate}`).recordApproval({ ref: this.run.view()?.ref ?? ref, approval }));
      const refused = recorded.state === 'done' ? recorded.value?.refused : undefined;
      if (refused === undefined) return;
      // Stays until the gate is open: whoever looks must see why it still waits.
      this.approvals.delete(gate);
      this.run.note(`The approval of ${gate} by ${approval.by} does not count (APPROVAL_REFUSED): ${refused}.`);
    }
  }

  private async awaitApproval(gate: string): Promise<void> {
    const role = this.viewOf(gate)?.role;
    this.waitingGate = gate;
    this.run.announce(`Waiting for the approval "${gate}"${role === undefined ? '' : ` of the role ${role}`}.`);
    this.run.changed();
    await condition(() => this.isApproved(gate));
    this.waitingGate = null;
    this.run.changed();
  }
}
