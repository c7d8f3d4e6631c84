/** Stands at the PIN of a room: four digits are ten thousand tries, which nobody gets. */
import { startBan, type BansDeps } from './bans';
import { hasEntered } from './bans.store';
import { decideAfterPin, PIN_WINDOW_MS } from './levels';
import type { Tally } from './tally';

export interface PinCaller {
  room: { id: string; domain_id: string };
  identity: string;
}

export interface PinGuard {
  /** Whether no PIN is asked for or taken of this caller now. */
  isRefused(caller: PinCaller): Promise<boolean>;
  /** @param mark one for each try: a node that asks twice asks about the same @returns whether they are refused from now on */
  noteWrong(caller: PinCaller, mark: string): Promise<boolean>;
}

/** Where nothing is counted: tests of other things. */
export const NO_PIN_GUARD: PinGuard = {
  isRefused: () => Promise.resolve(false),
  noteWrong: () => Promise.resolve(false),
};

const callerKey = ({ room, identity }: PinCaller): string => `pin|${room.id}|${identity}`;
const roomKey = ({ room }: PinCaller): string => `room_pin|${room.id}`;

export function createPinGuard(deps: BansDeps & { tally: Tally; countFailure: (kind: 'pin') => void }): PinGuard {
  const { refusals, tally, db } = deps;
  const isRefused = async (caller: PinCaller): Promise<boolean> => {
    if (refusals.isEmpty) return false;
    if (refusals.find(callerKey(caller))) return true;
    // Whoever was in this room before is asked as ever: they are limited by themselves.
    return refusals.find(roomKey(caller)) !== undefined && !(await hasEntered(db, caller.room.id, caller.identity));
  };
  return {
    isRefused,
    async noteWrong(caller, mark) {
      const { room, identity } = caller;
      deps.countFailure('pin');
      const keys = [`pin:${room.id}|${identity}`, `room_pin:${room.id}`];
      const [ofCaller = 0, ofRoom = 0] = await tally.count(
        keys.map((key) => ({ key, member: mark })),
        PIN_WINDOW_MS,
      );
      const steps = decideAfterPin({ ofCaller, ofRoom });
      const target = { door: 'room', reason: 'wrong_pins', roomId: room.id, domainId: room.domain_id } as const;
      if (steps.caller.do === 'ban') {
        await startBan(deps, { ...target, kind: 'pin', key: callerKey(caller), identity, failures: ofCaller });
        await tally.forget(keys.slice(0, 1));
      }
      if (steps.room.do === 'ban') {
        await startBan(deps, { ...target, kind: 'room_pin', key: roomKey(caller), failures: ofRoom });
        await tally.forget(keys.slice(1));
      }
      return isRefused(caller);
    },
  };
}
