/** A fuzzer that finds nothing proves nothing: faults that were real once are put back, and each must be found. */
import { dialStringTo, type DialStringOptions } from '../../src/freeswitch/xml';
import { parseRawEvent, typedEvent } from '../../src/freeswitch/esl/events/parse-event';
import type { RtmpMessage } from '../../src/domains/relays/rtmp/chunks';
import { formTarget } from '../../scripts/bench/fuzz/targets/bytes/form';
import { mediaTarget } from '../../scripts/bench/fuzz/targets/bytes/media';
import { amfTarget, rtmpMemoryTarget, rtmpPaceTarget, rtmpTarget } from '../../scripts/bench/fuzz/targets/bytes/rtmp';
import { answersTarget } from '../../scripts/bench/fuzz/targets/node/answers';
import { commandsTarget } from '../../scripts/bench/fuzz/targets/node/commands';
import { dialTarget } from '../../scripts/bench/fuzz/targets/node/dial';
import {
  eventsTarget,
  framesPaceTarget,
  framesTarget,
  repliesTarget,
} from '../../scripts/bench/fuzz/targets/node/frames';
import type { Target } from '../../scripts/bench/fuzz/target';
import { FIXED_SEED } from './seeds';

async function findingOf(target: Target, runs: number): Promise<string | undefined> {
  const { finding } = await target.run({ seed: FIXED_SEED, runs, asFound: true });
  return finding?.fault;
}

/** As it was: what came is joined anew with each read. */
class QuadraticReader {
  private rest = Buffer.alloc(0);
  push(bytes: Buffer): void {
    this.rest = Buffer.concat([this.rest, bytes]);
  }
}

/** Keeps room for what is only announced. */
class TrustingReader {
  private readonly kept: Buffer[] = [];
  push(bytes: Buffer): void {
    if (bytes.length >= 12) this.kept.push(Buffer.alloc(bytes.readUIntBE(bytes.length - 8, 3) * 2, 1));
  }
}

/** Hands out what comes as it comes: a message that is cut is another one. */
class CutReader {
  constructor(private readonly onMessage: (message: RtmpMessage) => void) {}
  push(bytes: Buffer): void {
    this.onMessage({ type: 9, streamId: 1, timestamp: 0, payload: bytes });
  }
}

/** Forgets what a frame's head has told when its body comes later. */
class ForgetfulFrames {
  constructor(
    private readonly onFrame: (frame: { contentType: string; headers: Map<string, string>; body: Buffer }) => void,
  ) {}
  push(chunk: Buffer): void {
    if (chunk.includes('\n\n')) this.onFrame({ contentType: '', headers: new Map(), body: chunk });
  }
}

/** Joins all that came with each read. */
class JoiningFrames {
  private rest = Buffer.alloc(0);
  push(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk]);
    this.rest.indexOf('\n\n\n\n');
  }
}

/** Any contact is rung, as it is. */
const withAnyContact = (o: DialStringOptions): string =>
  o.contacts
    .filter((c) => c.node === 'here')
    .map((c) => `sofia/${c.profile}/${c.contact}`)
    .join(',') || 'error/user_not_registered';

/** The token stands in every leg, a phone's too. */
const withTokenToPhones = (o: DialStringOptions): string =>
  dialStringTo(o).replace(/sofia\/internal/, '[sip_h_X-Switchyard-Token=x]sofia/internal');

test.each<[string, Target, number]>([
  ['a reader of RTMP whose work grows with the square', rtmpPaceTarget(() => new QuadraticReader()), 20],
  ['a reader of RTMP that keeps room for what is announced', rtmpMemoryTarget(() => new TrustingReader()), 20],
  ['a reader of RTMP that depends on how reads are cut', rtmpTarget((f) => new CutReader(f)), 200],
  ['AMF that changes a prototype', amfTarget(() => [Object.fromEntries([['a', 1]])]), 200],
  ['frames that depend on how reads are cut', framesTarget((f) => new ForgetfulFrames(f)), 300],
  ['frames that are joined with each read', framesPaceTarget(() => new JoiningFrames()), 40],
  ['a contact that dials several', dialTarget(withAnyContact), 300],
  ['a token that goes to a phone', dialTarget(withTokenToPhones), 300],
  ['a comma that is not escaped in a command', commandsTarget((line) => line.replace(/\\\\,/g, ',')), 3000],
  ['a line break in a command', commandsTarget((line) => line.replace(/\\s/, '\n')), 3000],
  ['a name that is not made inert', answersTarget((xml) => xml.replaceAll('\uff04', '$')), 2000],
  ['an answer that is no XML', answersTarget((xml) => xml.replaceAll('&quot;', '"')), 2000],
  [
    'an event with a number that is none',
    eventsTarget((body) => ({ ...typedEvent(parseRawEvent(body) ?? {}), atMs: 1e300 })),
    200,
  ],
  [
    'an answer that is read in the square of its length',
    repliesTarget({
      slow: (reply) => [...reply].map((_, i) => reply.slice(0, i).length && reply.indexOf('\u0001', i)).length,
    }),
    300,
  ],
  [
    'a form of which more is taken than was announced',
    formTarget(async function* (request) {
      for await (const chunk of request) yield chunk;
    }),
    100,
  ],
  [
    'a recording of which a length of centuries is told',
    mediaTarget(() => Promise.resolve({ playable: true, durationMs: 1e300 })),
    50,
  ],
])('%s is found', async (_what, target, runs) => {
  expect(await findingOf(target, runs)).toEqual(expect.any(String));
});
