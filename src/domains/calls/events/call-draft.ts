/** A working copy of the calls that facts are about: the rows as read stay as they are, and what differs in the end is written. */
import type { AttemptRow, CallRow, LegRow } from '../calls.store';

/** Rows as they are read under the calls' locks. */
export interface LoadedCalls {
  calls: readonly CallRow[];
  legs: readonly LegRow[];
  /** All attempts of these calls, in the order of their numbers. */
  attempts: readonly AttemptRow[];
}

/** A row to be written, with the state it was read in: it is written only where it still is. */
export type Changed<T extends { state: unknown }> = T & { was: T['state'] };

export interface CallChanges {
  calls: Changed<CallRow>[];
  newLegs: LegRow[];
  legs: Changed<LegRow>[];
  attempts: ChangedAttempt[];
}

/** With what others may have written in the meantime: see noteAttemptCore. */
export type ChangedAttempt = AttemptRow & { was_leg_id: string; was_core: string | null };

export class CallsDraft {
  readonly #calls: Map<string, CallRow>;
  readonly #legs: Map<string, LegRow>;
  readonly #legIds = new Map<string, string[]>();
  readonly #attempts = new Map<string, AttemptRow[]>();
  /** In the state they were read in. */
  readonly #changedCalls = new Map<string, CallRow>();
  readonly #changedLegs = new Map<string, LegRow | undefined>();
  readonly #changedAttempts = new Map<string, AttemptRow>();

  constructor(loaded: LoadedCalls) {
    this.#calls = new Map(loaded.calls.map((call) => [call.id, call]));
    this.#legs = new Map(loaded.legs.map((leg) => [leg.id, leg]));
    for (const leg of loaded.legs) push(this.#legIds, leg.call_id, leg.id);
    for (const attempt of loaded.attempts) push(this.#attempts, attempt.call_id, attempt);
  }

  call(id: string): CallRow | undefined {
    return this.#calls.get(id);
  }
  leg(id: string): LegRow | undefined {
    return this.#legs.get(id);
  }
  legsOf(callId: string): LegRow[] {
    return (this.#legIds.get(callId) ?? []).map((id) => this.#legs.get(id)!);
  }
  attemptsOf(callId: string): readonly AttemptRow[] {
    return this.#attempts.get(callId) ?? [];
  }
  /** Whether it is over or not. */
  lastAttempt(callId: string): AttemptRow | undefined {
    return this.#attempts.get(callId)?.at(-1);
  }

  setCall(id: string, change: Partial<CallRow>): void {
    const before = this.#calls.get(id);
    if (!before) return;
    if (!this.#changedCalls.has(id)) this.#changedCalls.set(id, before);
    this.#calls.set(id, { ...before, ...change });
  }
  addLeg(row: LegRow): void {
    this.#legs.set(row.id, row);
    this.#changedLegs.set(row.id, undefined);
    push(this.#legIds, row.call_id, row.id);
  }
  setLeg(id: string, change: Partial<LegRow>): void {
    const before = this.#legs.get(id);
    if (!before) return;
    if (!this.#changedLegs.has(id)) this.#changedLegs.set(id, before);
    const now = { ...before, ...change };
    this.#legs.set(id, now);
    if (now.call_id === before.call_id) return;
    const left = this.#legIds.get(before.call_id) ?? [];
    this.#legIds.set(
      before.call_id,
      left.filter((other) => other !== id),
    );
    push(this.#legIds, now.call_id, id);
  }
  setAttempt(attempt: AttemptRow, change: Partial<AttemptRow>): void {
    const of = this.#attempts.get(attempt.call_id) ?? [];
    const i = of.findIndex(({ number }) => number === attempt.number);
    if (i < 0) return;
    const key = `${attempt.call_id} ${attempt.number}`;
    if (!this.#changedAttempts.has(key)) this.#changedAttempts.set(key, of[i]!);
    of[i] = { ...of[i]!, ...change };
  }

  changes(): CallChanges {
    const changedLegs = [...this.#changedLegs];
    return {
      calls: [...this.#changedCalls].map(([id, before]) => ({ ...this.#calls.get(id)!, was: before.state })),
      newLegs: changedLegs.flatMap(([id, before]) => (before ? [] : [this.#legs.get(id)!])),
      legs: changedLegs.flatMap(([id, before]) => (before ? [{ ...this.#legs.get(id)!, was: before.state }] : [])),
      attempts: [...this.#changedAttempts.values()].map((before) => ({
        ...this.#attempts.get(before.call_id)!.find(({ number }) => number === before.number)!,
        was_leg_id: before.leg_id,
        was_core: before.node_core_uuid,
      })),
    };
  }
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
