/** Stands at the PIN of a room: four digits are ten thousand tries, which nobody gets. */
import { startBan, type BansDeps } from './bans';
import { hasEntered } from './bans.store';
import { decideAfterPin, PIN_LIMIT, PIN_WINDOW_MS, ROOM_PIN_LIMIT } from './levels';
import type { Mark, Tally } from './tally';

export interface PinCaller {
  room: { id: string; domain_id: string };
  identity: string;
}

export interface PinGuard {
  /** Whether no PIN is asked for or taken of this caller now. */
  isRefused(caller: PinCaller): Promise<boolean>;
  /**
   * Counts a try before its PIN is compared: a caller with forty calls at once has no more tries than one with one.
   * @param mark one for each try: a node that asks twice asks about the same
   * @returns undefined where it must not be compared
   */
  take(caller: PinCaller, mark: string): Promise<PinTry | undefined>;
}

/** A try that is counted. One of the two is called when it has been compared. */
export interface PinTry {
  /** It was not wrong: it counts for nothing. */
  giveBack(): Promise<void>;
  /** @returns whether they are refused from now on */
  wasWrong(): Promise<boolean>;
}

/** Where nothing is counted: tests of other things. */
export const NO_PIN_GUARD: PinGuard = {
  isRefused: () => Promise.resolve(false),
  take: () => Promise.resolve({ giveBack: () => Promise.resolve(), wasWrong: () => Promise.resolve(false) }),
};

/** What was counted stays for so long after a ban began: by then every replica knows of the ban. */
const NEWS_MS = 5_000;

const callerKey = ({ room, identity }: PinCaller): string => `pin|${room.id}|${identity}`;
const roomKey = ({ room }: PinCaller): string => `room_pin|${room.id}`;
const countedFor = ({ room, identity }: PinCaller): string => `pin:${room.id}|${identity}`;
const countedForRoom = ({ room }: PinCaller): string => `room_pin:${room.id}`;

export function createPinGuard(deps: BansDeps & { tally: Tally; countFailure: (kind: 'pin') => void }): PinGuard {
  const { refusals, tally, db } = deps;
  const isRefused = async (caller: PinCaller): Promise<boolean> => {
    if (refusals.isEmpty) return false;
    if (refusals.find(callerKey(caller))) return true;
    // Whoever was in this room before is asked as ever: they are limited by themselves.
    return refusals.find(roomKey(caller)) !== undefined && !(await hasEntered(db, caller.room.id, caller.identity));
  };
  async function noteWrong(caller: PinCaller, counts: { ofCaller: number; ofRoom: number }): Promise<boolean> {
    const { room, identity } = caller;
    deps.countFailure('pin');
    const steps = decideAfterPin(counts);
    const target = { door: 'room', reason: 'wrong_pins', roomId: room.id, domainId: room.domain_id } as const;
    if (steps.caller.do === 'ban') {
      const ban = { ...target, kind: 'pin', key: callerKey(caller), identity, failures: counts.ofCaller } as const;
      await startBan(deps, ban);
      await tally.forgetSoon(countedFor(caller), NEWS_MS);
    }
    if (steps.room.do === 'ban') {
      await startBan(deps, { ...target, kind: 'room_pin', key: roomKey(caller), failures: counts.ofRoom });
      await tally.forgetSoon(countedForRoom(caller), NEWS_MS);
    }
    return isRefused(caller);
  }
  return {
    isRefused,
    async take(caller, member) {
      const ofCaller: Mark = { key: countedFor(caller), member };
      const ofRoom: Mark = { key: countedForRoom(caller), member };
      const taken = await tally.take(ofCaller, PIN_LIMIT, PIN_WINDOW_MS);
      if (taken === undefined) return undefined;
      const takenOfRoom = await tally.take(ofRoom, ROOM_PIN_LIMIT, PIN_WINDOW_MS);
      const giveBack = async (): Promise<void> => void (await Promise.all([ofCaller, ofRoom].map(tally.giveBack)));
      // The room's tries are used up: they are left to those who were in it before, who are limited by themselves.
      if (takenOfRoom === undefined && !(await hasEntered(db, caller.room.id, caller.identity))) {
        await giveBack();
        return undefined;
      }
      const counts = { ofCaller: taken, ofRoom: takenOfRoom ?? 0 };
      return { giveBack, wasWrong: () => noteWrong(caller, counts) };
    },
  };
}
