/**
 * Keeps a node alive: 1.10.12 crashes where a bridge with video is taken apart in its first instant. Its video thread reads
 * a struct on the stack of the thread that bridges (switch_ivr_bridge.c 147, 269, 595; freeswitch #2317): seen in 2 of 6
 * uuid_transfer at CHANNEL_BRIDGE, in 0 of 13 half a second or less behind it. So every command that takes bridges apart says
 * which legs it does that to (`reshapes`), and the connection lets it wait here until their bridge has settled.
 */
import type { ApiCommand } from './commands';
import type { Reply } from '../connection/replies';
import { readDump } from '../listings/snapshots';

/** How long a bridge with video is left alone. */
export const SETTLED_MS = 500;
/** A leg that is bridged again and again is not waited for any longer. */
const LOOKS = 6;

/** What a channel says of itself: by the node's own clock, whatever ours says. */
type Dump = Readonly<Record<string, unknown>>;

const microseconds = (dump: Dump, name: string): number => {
  const value = Number(dump[name]);
  return Number.isFinite(value) && value > 0 ? value : 0;
};

/** Only an offer or answer that is known to have no video is none: else it is waited for. */
const mayHaveVideo = (dump: Dump): boolean => {
  const sdp = dump.variable_switch_r_sdp;
  return typeof sdp !== 'string' || /^m=video [1-9]/m.test(sdp);
};

/** How long the leg's bridge has still to be left alone; 0: it has settled, or there is none. */
export function settlesInMs(dump: Dump): number {
  const bridgedUs = microseconds(dump, 'Caller-Channel-Bridged-Time');
  const nowUs = microseconds(dump, 'Event-Date-Timestamp');
  if (bridgedUs === 0 || nowUs === 0 || !mayHaveVideo(dump)) return 0;
  const ageMs = (nowUs - bridgedUs) / 1000;
  // A bridge that begins in the future is one whose clock was put right in the meantime: it is taken for a new one.
  return ageMs < SETTLED_MS ? Math.min(SETTLED_MS, Math.ceil(SETTLED_MS - Math.max(0, ageMs))) : 0;
}

/** @param ask sends a command at once, past all this */
export async function waitForBridges(
  command: Pick<ApiCommand, 'reshapes'>,
  ask: (line: string) => Promise<Reply>,
  sleep: (ms: number) => Promise<unknown>,
): Promise<void> {
  for (const legId of command.reshapes ?? []) {
    for (let check = 0; check < LOOKS; check += 1) {
      const dump = readDump((await ask(`uuid_dump ${legId} json`)).text);
      const restMs = dump ? settlesInMs(dump) : 0;
      if (restMs === 0) break;
      await sleep(restMs);
    }
  }
}
