import type { Direction } from '../../migration/protocol';

/**
 * One way to point an application to the new side or back. Both calls may be repeated. What goes wrong is thrown as an Error whose message is for people
 * and holds no address, secret or answer; a MigrationError that is transient passes through.
 */
export interface SwitchWay {
  set(to: Direction): Promise<void>;
  /** Where the application works now. `unclear`: it answered something else. */
  read(): Promise<Direction | 'unclear'>;
}

/** What a switch is for. `id`: the same for every try of one step, so that the other side can tell a repeat. */
export interface SwitchOrder { migration: string; application: string; id: string; epoch: number; signal: AbortSignal }

export function directionOf(text: string): Direction | 'unclear' {
  const word = text.trim().toLowerCase();
  return word === 'new' || word === 'legacy' ? word : 'unclear';
}
