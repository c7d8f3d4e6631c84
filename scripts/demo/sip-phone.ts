/** A small SIP phone over UDP, so that the demo can register at real nodes and answer with sound (PCMU silence). */
import { randomBytes, randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import {
  answerChallenge,
  formatAnswer,
  formatRequest,
  headerOf,
  parseChallenge,
  parseSip,
  type SipMessage,
} from './sip-message';

const REGISTER_TIMEOUT_MS = 5000;
const RESEND_MS = 500;
const FRAME_MS = 20;
const FRAME_BYTES = 160;

export interface PhoneOptions {
  username: string;
  domain: string;
  password: string;
  /** The node it registers at. */
  nodeHost: string;
  nodePort: number;
  /** Where it listens. */
  host?: string;
  answerAfterMs: number;
  /** Answers "486 Busy Here" instead. */
  busy?: boolean;
}

export interface Phone {
  /** RTP packets it has received, over all calls. */
  heard(): number;
  /** Unregisters and closes. */
  stop(): Promise<void>;
}

/** A phone whose plug can be pulled. */
export interface FragilePhone extends Phone {
  /** Closes without a word. */
  vanish(): void;
}

interface Talk {
  callId: string;
  toTag: string;
  invite: SipMessage;
  timers: NodeJS.Timeout[];
  state: 'ringing' | 'answered';
  lastAnswer: string;
}

/** @throws Error where the node refuses the registration or does not answer. */
export async function startPhone(options: PhoneOptions): Promise<FragilePhone> {
  const host = options.host ?? '127.0.0.1';
  const sip = createSocket('udp4');
  const rtp = createSocket('udp4');
  [sip, rtp].forEach((socket) => socket.on('error', () => undefined));
  sip.bind(0, host);
  rtp.bind(0, host);
  await Promise.all([once(sip, 'listening'), once(rtp, 'listening')]);
  const contact = `sip:${options.username}@${host}:${sip.address().port}`;
  const callId = randomBytes(8).toString('hex');
  const talks = new Map<string, Talk>();
  const answers = new Map<string, (message: SipMessage) => void>();
  let packets = 0;
  let cseq = 0;
  rtp.on('message', () => packets++);

  const send = (text: string, port = options.nodePort, address = options.nodeHost): void =>
    sip.send(Buffer.from(text), port, address);

  const ask = (extra: string[], expires: number): Promise<SipMessage> => {
    cseq += 1;
    const branch = `z9hG4bK${randomBytes(6).toString('hex')}`;
    const identity = `<sip:${options.username}@${options.domain}>`;
    const request = formatRequest(`REGISTER sip:${options.domain} SIP/2.0`, [
      `Via: SIP/2.0/UDP ${host}:${sip.address().port};branch=${branch};rport`,
      `From: ${identity};tag=${callId.slice(0, 6)}`,
      `To: ${identity}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} REGISTER`,
      `Contact: <${contact}>`,
      `Expires: ${expires}`,
      'User-Agent: Switchyard demo phone',
      ...extra,
    ]);
    return new Promise((resolve, reject) => {
      const key = `${cseq} REGISTER`;
      const resend = setInterval(() => send(request), RESEND_MS);
      const timer = setTimeout(() => {
        finish();
        reject(new Error(`${options.nodeHost}:${options.nodePort} did not answer the registration.`));
      }, REGISTER_TIMEOUT_MS);
      const finish = (): void => {
        clearInterval(resend);
        clearTimeout(timer);
        answers.delete(key);
      };
      answers.set(key, (message) => {
        if (/^SIP\/2\.0 1/.test(message.start)) return;
        finish();
        resolve(message);
      });
      send(request);
    });
  };

  const register = async (expires: number): Promise<void> => {
    const uri = `sip:${options.domain}`;
    let answer = await ask([], expires);
    const challenge = headerOf(answer, 'www-authenticate');
    if (/ 401 /.test(answer.start) && challenge) {
      const { username, password } = options;
      const proof = answerChallenge(parseChallenge(challenge), { method: 'REGISTER', uri, username, password });
      answer = await ask([`Authorization: ${proof}`], expires);
    }
    if (!/ 200 /.test(answer.start)) throw new Error(`The registration was refused: ${answer.start.slice(8)}`);
  };

  const endTalk = (id: string): void => {
    talks.get(id)?.timers.forEach((timer) => clearTimeout(timer));
    talks.delete(id);
  };

  const answerInvite = (invite: SipMessage, reply: (text: string) => void): void => {
    const id = headerOf(invite, 'call-id') ?? '';
    const known = talks.get(id);
    if (known && known.state === 'ringing') return reply(known.lastAnswer); // sent again, since it heard nothing
    const toTag = known?.toTag ?? randomBytes(6).toString('hex');
    const ok = formatAnswer(invite, '200 OK', {
      toTag,
      headers: [`Contact: <${contact}>`, 'Content-Type: application/sdp'],
      body: describeMedia(host, rtp.address().port),
    });
    if (known) {
      known.lastAnswer = ok;
      return reply(ok); // a change inside the call, such as a session refresh
    }
    if (options.busy) return reply(formatAnswer(invite, '486 Busy Here', { toTag }));
    const ringing = formatAnswer(invite, '180 Ringing', { toTag, headers: [`Contact: <${contact}>`] });
    const talk: Talk = { callId: id, toTag, invite, timers: [], state: 'ringing', lastAnswer: ringing };
    talks.set(id, talk);
    reply(ringing);
    talk.timers.push(
      setTimeout(() => {
        talk.state = 'answered';
        talk.lastAnswer = ok;
        reply(ok);
        talk.timers.push(playSilence(rtp, invite.body));
      }, options.answerAfterMs),
    );
  };

  sip.on('message', (data, from) => {
    const message = parseSip(data.toString('utf8'));
    if (!message) return;
    if (message.start.startsWith('SIP/2.0')) return answers.get(headerOf(message, 'cseq') ?? '')?.(message);
    const reply = (text: string): void => send(text, from.port, from.address);
    const id = headerOf(message, 'call-id') ?? '';
    const method = message.start.split(' ')[0];
    const toTag = talks.get(id)?.toTag ?? randomBytes(4).toString('hex');
    if (method === 'INVITE') return answerInvite(message, reply);
    if (method === 'ACK') return;
    reply(formatAnswer(message, '200 OK', { toTag }));
    if (method === 'BYE') endTalk(id);
    const talk = talks.get(id);
    if (method === 'CANCEL' && talk?.state === 'ringing') {
      reply(formatAnswer(talk.invite, '487 Request Terminated', { toTag }));
      endTalk(id);
    }
  });

  const close = (): void => {
    [...talks.keys()].forEach(endTalk);
    sip.close();
    rtp.close();
  };
  try {
    await register(600);
  } catch (fault) {
    close();
    throw fault;
  }
  return {
    heard: () => packets,
    vanish: close,
    stop: async () => {
      await register(0).catch(() => undefined); // the node may be gone already
      close();
    },
  };
}

function describeMedia(host: string, port: number): string {
  return [
    'v=0',
    `o=- ${Date.now()} 1 IN IP4 ${host}`,
    's=-',
    `c=IN IP4 ${host}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0`,
    'a=rtpmap:0 PCMU/8000',
    'a=ptime:20',
    'a=sendrecv',
    '',
  ].join('\r\n');
}

/** Sends silence to where the offer wants sound, until its timer is cleared. */
function playSilence(socket: Socket, offer: string): NodeJS.Timeout {
  const port = Number(/^m=audio (\d+)/m.exec(offer)?.[1] ?? 0);
  const address = /^c=IN IP4 (\S+)/m.exec(offer)?.[1] ?? '127.0.0.1';
  const packet = Buffer.alloc(12 + FRAME_BYTES, 0xff);
  packet[0] = 0x80;
  packet[1] = 0;
  packet.writeUInt32BE(randomInt(2 ** 32), 8);
  let sequence = randomInt(2 ** 15);
  let timestamp = randomInt(2 ** 31);
  return setInterval(() => {
    packet.writeUInt16BE(sequence & 0xffff, 2);
    packet.writeUInt32BE(timestamp >>> 0, 4);
    sequence += 1;
    timestamp += FRAME_BYTES;
    if (port) socket.send(packet, port, address);
  }, FRAME_MS);
}
