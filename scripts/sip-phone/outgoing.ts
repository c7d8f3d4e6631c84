/** The calls that a phone makes: it dials, presses digits, hears prompts, and knows how its call ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { proofHeader } from './digest';
import type { Line } from './incoming';
import { contactOf, formatAnswer, headerOf, methodOf, statusOf, type SipMessage } from './message';
import { sipId, type Peer } from './sip-socket';
import { FRAME_MS, isLoud, offerSound, soundAddress, startSound } from './sound';

export interface PhoneCall {
  /** The final status of the INVITE. */
  readonly status: number;
  /** A refusal's status line, or the Reason of the BYE; undefined while it talks. */
  end(): string | undefined;
  /** Frames of 20 ms that were more than silence. */
  heard(): number;
  /** Waits until a prompt was heard and is over. */
  waitForPrompt(): Promise<void>;
  press(digits: string): Promise<void>;
  /** @returns the status of the BYE; undefined where the call had ended */
  hangup(): Promise<number | undefined>;
}

export interface DialOptions {
  username: string;
  domain: string;
  password: string;
  to: Peer;
  headers?: readonly string[];
}

export interface OutgoingCalls {
  /** Resolves when it is answered or refused. */
  dial(number: string, o: DialOptions): Promise<PhoneCall>;
  /** @returns whether it belongs to one of these calls */
  take(message: SipMessage, from: Peer): boolean;
  /** Ends them all with a BYE. */
  hangUpAll(): Promise<void>;
  close(): void;
}

interface Call {
  id: string;
  tag: string;
  sequence: number;
  remotePort: number;
  loudFrames: number;
  lastLoudMs: number;
  end: string | undefined;
  digits: string[];
  sound: NodeJS.Timeout | undefined;
}

const PROMPT_TIMEOUT_MS = 10_000;
const QUIET_MS = 400;

export function createOutgoingCalls(line: Line): OutgoingCalls {
  const { sip, rtp, contact, media } = line;
  const calls = new Map<string, Call & { shown?: PhoneCall }>();

  rtp.on('message', (data, from) => {
    const call = [...calls.values()].find(({ remotePort }) => remotePort === from.port);
    if (!call || !isLoud(data)) return;
    call.loudFrames += 1;
    call.lastLoudMs = Date.now();
  });

  function endCall(call: Call, how: string): void {
    call.end ??= how;
    clearInterval(call.sound);
  }

  async function dial(number: string, o: DialOptions): Promise<PhoneCall> {
    const uri = `sip:${number}@${o.domain}`;
    const call: Call & { shown?: PhoneCall } = {
      ...{ id: sipId(), tag: sipId(4), sequence: 1, remotePort: 0, loudFrames: 0, lastLoudMs: 0 },
      ...{ end: undefined, digits: [], sound: undefined },
    };
    calls.set(call.id, call);
    const from = `From: <sip:${o.username}@${o.domain}>;tag=${call.tag}`;
    const own = [`Contact: <${contact}>`, ...(o.headers ?? [])];
    const headers = [from, `To: <${uri}>`, ...own, 'Content-Type: application/sdp'];
    const invite = (more: string[]): Promise<SipMessage> =>
      sip.request({
        ...{ method: 'INVITE', uri, callId: call.id, sequence: call.sequence, to: o.to },
        ...{ headers: [...headers, ...more], body: offerSound(media.host, media.port) },
      });
    let answer = await invite([]);
    const { username, password } = o;
    const proof = proofHeader(answer, { method: 'INVITE', uri, username, password });
    if (proof) {
      call.sequence += 1;
      answer = await invite([proof]);
    }
    const to = soundAddress(answer.body);
    if (statusOf(answer) !== 200) endCall(call, answer.start.replace('SIP/2.0 ', ''));
    else if (to && call.end === undefined) {
      call.remotePort = to.port;
      if (line.sound) call.sound = startSound(rtp, to, { digits: call.digits, isTone: line.sound === 'tone' });
    }
    const bye = async (): Promise<number> => {
      call.sequence += 1;
      endCall(call, 'hung up');
      const request = { method: 'BYE', uri: contactOf(answer) ?? uri, callId: call.id, sequence: call.sequence };
      const names = [from, `To: ${headerOf(answer, 'to')}`, `Contact: <${contact}>`];
      return statusOf(await sip.request({ ...request, headers: names, to: o.to }));
    };
    return (call.shown = follow(call, statusOf(answer), bye));
  }

  return {
    dial,
    take(message, from) {
      const call = calls.get(headerOf(message, 'call-id') ?? '');
      if (!call) return false;
      const method = methodOf(message);
      if (method === 'INVITE') {
        const headers = [`Contact: <${contact}>`, 'Content-Type: application/sdp'];
        const body = offerSound(media.host, media.port);
        sip.send(formatAnswer(message, '200 OK', { toTag: call.tag, headers, body }), from);
      } else if (method !== 'ACK') sip.send(formatAnswer(message, '200 OK', { toTag: call.tag }), from);
      if (method === 'BYE') endCall(call, headerOf(message, 'reason') ?? 'BYE');
      return true;
    },
    async hangUpAll() {
      for (const { shown } of calls.values()) await shown?.hangup().catch(() => undefined); // the node may be gone
    },
    close: () => calls.forEach((call) => endCall(call, 'closed')),
  };
}

function follow(call: Call, status: number, bye: () => Promise<number>): PhoneCall {
  return {
    status,
    heard: () => call.loudFrames,
    end: () => call.end,
    async waitForPrompt() {
      const from = call.loudFrames;
      const until = Date.now() + PROMPT_TIMEOUT_MS;
      while (call.loudFrames === from || Date.now() - call.lastLoudMs < QUIET_MS) {
        if (call.end !== undefined || Date.now() > until) throw new Error(`No prompt was heard: ${call.end ?? 'late'}`);
        await sleep(FRAME_MS);
      }
    },
    async press(digits) {
      call.digits.push(...digits);
      while (call.digits.length > 0 && call.end === undefined) await sleep(FRAME_MS);
    },
    hangup: async () => (call.end === undefined ? bye() : undefined),
  };
}
