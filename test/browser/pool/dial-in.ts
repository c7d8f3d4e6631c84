/** A telephone that dials in over SIP and UDP, presses digits, and knows how its call ended. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  answerChallenge,
  formatAnswer,
  formatRequest,
  headerOf,
  parseChallenge,
  parseSip,
  type SipMessage,
} from '../../../scripts/demo/sip-message';
import { describeSound, FRAME_MS, isLoud, startSound } from './dial-in-sound';

export interface DialIn {
  /** Waits until a prompt was heard and is over. */
  waitForPrompt(): Promise<void>;
  press(digits: string): Promise<void>;
  /** Frames of 20 ms that were more than silence. */
  heard(): number;
  /** A final status, or the Reason of the BYE; undefined while it talks. */
  end(): string | undefined;
  hangup(): Promise<void>;
}

export interface Telephone {
  /** Resolves when it is answered or refused. */
  dial(number: string): Promise<DialIn>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const QUIET_MS = 400;
const HOST = '127.0.0.1';

/** @throws where the node refuses the registration */
export async function openTelephone(o: {
  username: string;
  password: string;
  domain: string;
  nodePort: number;
}): Promise<Telephone> {
  const sip = createSocket('udp4');
  const rtp = createSocket('udp4');
  for (const socket of [sip, rtp]) {
    socket.on('error', () => undefined);
    socket.bind(0, HOST);
    await once(socket, 'listening');
  }
  const contact = `sip:${o.username}@${HOST}:${sip.address().port}`;
  const answers = new Map<string, (message: SipMessage) => void>();
  const calls = new Map<string, Call>();
  const send = (text: string): void => sip.send(Buffer.from(text), o.nodePort, HOST);

  interface Call {
    id: string;
    tag: string;
    sequence: number;
    target: string;
    to: string;
    /** Where the node listens for sound; 0 before it is known. */
    remotePort: number;
    loudFrames: number;
    lastLoudMs: number;
    end: string | undefined;
    digits: string[];
    timer: NodeJS.Timeout | undefined;
    ack(message: SipMessage): void;
  }

  rtp.on('message', (data, from) => {
    const call = [...calls.values()].find(({ remotePort }) => remotePort === from.port);
    if (!call || !isLoud(data)) return;
    call.loudFrames += 1;
    call.lastLoudMs = Date.now();
  });

  sip.on('message', (data) => {
    const message = parseSip(data.toString('utf8'));
    if (!message) return;
    const id = headerOf(message, 'call-id') ?? '';
    const call = calls.get(id);
    if (message.start.startsWith('SIP/2.0')) {
      if (message.start.startsWith('SIP/2.0 1')) return;
      const waiter = answers.get(`${id} ${headerOf(message, 'cseq')}`);
      if (waiter) waiter(message);
      else if (headerOf(message, 'cseq')?.endsWith('INVITE')) call?.ack(message); // said again: our ACK was lost
      return;
    }
    const method = message.start.split(' ')[0];
    if (method === 'ACK') return;
    const toTag = call?.tag ?? 'phone';
    if (method === 'INVITE') {
      const headers = [`Contact: <${contact}>`, 'Content-Type: application/sdp'];
      return send(formatAnswer(message, '200 OK', { toTag, headers, body: describeSound(HOST, rtp.address().port) }));
    }
    send(formatAnswer(message, '200 OK', { toTag }));
    if (method === 'BYE' && call) endCall(call, headerOf(message, 'reason') ?? 'BYE');
  });

  function endCall(call: Call, how: string): void {
    call.end ??= how;
    clearInterval(call.timer);
  }

  /** Sends a request until it is answered. @throws where that takes too long */
  async function ask(key: string, text: string): Promise<SipMessage> {
    const resend = setInterval(() => send(text), 500);
    let late: NodeJS.Timeout | undefined;
    try {
      return await new Promise<SipMessage>((resolve, reject) => {
        answers.set(key, resolve);
        late = setTimeout(() => reject(new Error(`No answer to ${key}.`)), TIMEOUT_MS);
        send(text);
      });
    } finally {
      clearInterval(resend);
      clearTimeout(late);
      answers.delete(key);
    }
  }

  async function request(
    method: string,
    call: Pick<Call, 'id' | 'tag' | 'target' | 'to'> & { sequence: number },
    headers: string[] = [],
    body = '',
  ): Promise<SipMessage> {
    const lines = [...common(method, call), ...headers];
    return ask(`${call.id} ${call.sequence} ${method}`, formatRequest(`${method} ${call.target} SIP/2.0`, lines, body));
  }

  function common(method: string, call: { id: string; tag: string; to: string; sequence: number }): string[] {
    return [
      `Via: SIP/2.0/UDP ${HOST}:${sip.address().port};branch=z9hG4bK${call.id}${call.sequence}${method};rport`,
      `From: <sip:${o.username}@${o.domain}>;tag=${call.tag}`,
      `To: ${call.to}`,
      `Call-ID: ${call.id}`,
      `CSeq: ${call.sequence} ${method}`,
      `Contact: <${contact}>`,
    ];
  }

  function prove(challenged: SipMessage, method: string, uri: string): string[] {
    const proxy = headerOf(challenged, 'proxy-authenticate');
    const challenge = parseChallenge(proxy ?? headerOf(challenged, 'www-authenticate') ?? '');
    const { username, password } = o;
    const proof = answerChallenge(challenge, { method, uri, username, password });
    return [`${proxy ? 'Proxy-Authorization' : 'Authorization'}: ${proof}`];
  }

  const registration = { id: randomBytes(8).toString('hex'), tag: 'reg', sequence: 0 };
  async function register(expires: number): Promise<void> {
    const uri = `sip:${o.domain}`;
    const about = { ...registration, target: uri, to: `<sip:${o.username}@${o.domain}>` };
    const headers = [`Expires: ${expires}`];
    let answer = await request('REGISTER', { ...about, sequence: (registration.sequence += 1) }, headers);
    if (/ 401 /.test(answer.start)) {
      const proof = prove(answer, 'REGISTER', uri);
      const again = { ...about, sequence: (registration.sequence += 1) };
      answer = await request('REGISTER', again, [...headers, ...proof]);
    }
    if (!/ 200 /.test(answer.start)) throw new Error(`Not registered: ${answer.start}`);
  }

  async function dial(number: string): Promise<DialIn> {
    const target = `sip:${number}@${o.domain}`;
    const call: Call = {
      id: randomBytes(8).toString('hex'),
      tag: randomBytes(4).toString('hex'),
      sequence: 1,
      target,
      to: `<${target}>`,
      remotePort: 0,
      loudFrames: 0,
      lastLoudMs: 0,
      end: undefined,
      digits: [],
      timer: undefined,
      ack(message) {
        const to = headerOf(message, 'to') ?? call.to;
        send(formatRequest(`ACK ${call.target} SIP/2.0`, common('ACK', { ...call, to })));
      },
    };
    calls.set(call.id, call);
    const withSound = ['Content-Type: application/sdp'];
    const sound = describeSound(HOST, rtp.address().port);
    let answer = await request('INVITE', call, withSound, sound);
    if (/ 40[17] /.test(answer.start)) {
      call.ack(answer);
      call.sequence += 1;
      answer = await request('INVITE', call, [...withSound, ...prove(answer, 'INVITE', target)], sound);
    }
    if (/ 200 /.test(answer.start)) {
      call.to = headerOf(answer, 'to') ?? call.to;
      call.target = /<([^>]+)>/.exec(headerOf(answer, 'contact') ?? '')?.[1] ?? target;
      call.remotePort = Number(/^m=audio (\d+)/m.exec(answer.body)?.[1] ?? 0);
      call.timer = startSound(rtp, { host: HOST, port: call.remotePort }, call.digits);
    } else call.end = answer.start.replace('SIP/2.0 ', '');
    call.ack(answer);
    return follow(call);
  }

  function follow(call: Call): DialIn {
    return {
      heard: () => call.loudFrames,
      end: () => call.end,
      async waitForPrompt() {
        const from = call.loudFrames;
        const until = Date.now() + TIMEOUT_MS;
        while (call.loudFrames === from || Date.now() - call.lastLoudMs < QUIET_MS) {
          if (call.end !== undefined || Date.now() > until)
            throw new Error(`No prompt was heard: ${call.end ?? 'late'}`);
          await sleep(FRAME_MS);
        }
      },
      async press(digits) {
        call.digits.push(...digits);
        while (call.digits.length > 0 && call.end === undefined) await sleep(FRAME_MS);
      },
      async hangup() {
        if (call.end !== undefined) return;
        call.sequence += 1;
        endCall(call, 'hung up');
        await request('BYE', call);
      },
    };
  }

  await register(300);
  return {
    dial,
    async close() {
      for (const call of calls.values())
        await follow(call)
          .hangup()
          .catch(() => undefined); // the node may be gone
      await register(0).catch(() => undefined);
      sip.close();
      rtp.close();
    },
  };
}
