/** How a phone takes calls: it rings, answers or refuses as it is told, and says the same again to who did not hear it. */
import type { Socket } from 'node:dgram';
import { contactOf, formatAnswer, headerOf, methodOf, type SipMessage } from './message';
import { sipId, type Peer, type SipSocket } from './sip-socket';
import { answerOffer, soundAddress, startSound } from './sound';

export interface PhoneBehaviour {
  /** Left out: 100. */
  answerAfterMs?: number;
  /** Answers "486 Busy Here". */
  busy?: boolean;
  /** Answers "603 Decline". */
  reject?: boolean;
  /** Is not picked up. */
  ringOnly?: boolean;
  hangupAfterMs?: number;
  /** Takes video as well. */
  video?: boolean;
}

/** What both directions of a phone use of it. */
export interface Line {
  readonly sip: SipSocket;
  readonly rtp: Socket;
  /** Where its sound is sent to. */
  readonly media: Peer;
  readonly contact: string;
  /** What it says in a call; undefined: nothing at all. */
  readonly sound: 'tone' | 'silence' | undefined;
}

interface Talk {
  toTag: string;
  invite: SipMessage;
  state: 'ringing' | 'answered' | 'refused';
  lastAnswer: string;
  timers: NodeJS.Timeout[];
}

export interface IncomingCalls {
  /** Every INVITE that began a call, newest last. */
  readonly invites: SipMessage[];
  readonly byes: SipMessage[];
  take(message: SipMessage, from: Peer): void;
  close(): void;
}

const ANSWER_AFTER_MS = 100;

/** @param behaviour asked for each call */
export function createIncomingCalls(line: Line, behaviour: () => PhoneBehaviour): IncomingCalls {
  const { sip, contact } = line;
  const talks = new Map<string, Talk>();
  const invites: SipMessage[] = [];
  const byes: SipMessage[] = [];

  function end(id: string): void {
    talks.get(id)?.timers.forEach((timer) => clearTimeout(timer));
    talks.delete(id);
  }

  const accept = (invite: SipMessage, toTag: string): string =>
    formatAnswer(invite, '200 OK', {
      toTag,
      headers: [`Contact: <${contact}>`, 'Content-Type: application/sdp'],
      body: answerOffer(invite.body, line.media, behaviour().video === true),
    });

  function ring(id: string, invite: SipMessage, from: Peer): void {
    const { busy, reject, ringOnly, answerAfterMs, hangupAfterMs } = behaviour();
    const toTag = sipId(6);
    const refusal = busy ? '486 Busy Here' : reject ? '603 Decline' : undefined;
    const status = refusal ?? '180 Ringing';
    const lastAnswer = formatAnswer(invite, status, { toTag, headers: [`Contact: <${contact}>`] });
    const talk: Talk = { toTag, invite, state: refusal ? 'refused' : 'ringing', lastAnswer, timers: [] };
    talks.set(id, talk);
    invites.push(invite);
    sip.send(lastAnswer, from);
    if (refusal || ringOnly) return;
    const answer = (): void => {
      talk.state = 'answered';
      talk.lastAnswer = accept(invite, toTag);
      sip.send(talk.lastAnswer, from);
      const to = soundAddress(invite.body);
      if (line.sound && to) talk.timers.push(startSound(line.rtp, to, { digits: [], isTone: line.sound === 'tone' }));
      if (hangupAfterMs !== undefined) talk.timers.push(setTimeout(() => hangUp(id, talk, from), hangupAfterMs));
    };
    talk.timers.push(setTimeout(answer, answerAfterMs ?? ANSWER_AFTER_MS));
  }

  function hangUp(id: string, { invite, toTag }: Talk, to: Peer): void {
    end(id);
    const headers = [`From: ${headerOf(invite, 'to')};tag=${toTag}`, `To: ${headerOf(invite, 'from')}`];
    const request = { method: 'BYE', uri: contactOf(invite) ?? contact, callId: id, sequence: 1, headers, to };
    void sip.request(request).catch(() => undefined); // the node may be gone
  }

  return {
    invites,
    byes,
    close: () => [...talks.keys()].forEach(end),
    take(message, from) {
      const id = headerOf(message, 'call-id') ?? '';
      const method = methodOf(message);
      const talk = talks.get(id);
      if (method === 'INVITE') {
        if (!talk) return ring(id, message, from);
        // A change inside the call, such as a session refresh; else said again, since it heard nothing.
        if (talk.state === 'answered') talk.lastAnswer = accept(message, talk.toTag);
        return sip.send(talk.lastAnswer, from);
      }
      if (method === 'ACK') {
        if (talk?.state === 'refused') end(id);
        return;
      }
      sip.send(formatAnswer(message, '200 OK', { toTag: talk?.toTag ?? sipId(6) }), from);
      if (method === 'BYE') {
        byes.push(message);
        end(id);
      }
      if (method === 'CANCEL' && talk?.state === 'ringing') {
        sip.send(formatAnswer(talk.invite, '487 Request Terminated', { toTag: talk.toTag }), from);
        end(id);
      }
    },
  };
}
