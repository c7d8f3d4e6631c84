/** The only sound a simulated node really makes: tones, so that who records a room or a channel can look for them. */
import type { NodeContext } from '../node-context';
import type { Channel } from '../channels/channel';
import type { Room } from '../conference/room';

/** Of full scale; what tone_stream plays without `v=` is about as loud. */
const AMPLITUDE = 8000;

/** The first frequency of `tone_stream://%(on,off,Hz…)`; undefined for everything else. */
export function toneOf(source: string): number | undefined {
  const found = /tone_stream:\/\/[^%]*%\(\s*\d+\s*,\s*\d+\s*,\s*(\d+)/.exec(source)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** What a member hears of the others, or, without one, what the room's recording holds. */
export function toneIn(node: NodeContext, room: Room, listener?: Channel): number | undefined {
  if (node.faults.audioMuted) return 0;
  return room.members.find((m) => m.channel !== listener && m.canSpeak && m.channel.tone !== undefined)?.channel.tone;
}

/**
 * Samples of 16 bit. @param hz undefined: something that is no silence; 0: silence
 * @param from how many samples went before, so that the wave goes on where it stopped
 */
export function soundBlock(bytes: number, rate: number, hz: number | undefined, from: number): Buffer {
  if (hz === undefined) return Buffer.alloc(bytes, 0x11);
  const block = Buffer.alloc(bytes);
  if (hz === 0) return block;
  for (let i = 0; i < bytes / 2; i += 1)
    block.writeInt16LE(Math.round(AMPLITUDE * Math.sin((2 * Math.PI * hz * (from + i)) / rate)), 2 * i);
  return block;
}
