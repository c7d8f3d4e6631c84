/** The smallest SIP phone that a real node accepts: digest REGISTER over UDP, and a set way to take calls. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { PhoneBehaviour } from '../harness';

interface SipMessage {
  start: string;
  headers: Map<string, string[]>;
  body: string;
}

export interface SipPhone {
  register(expiresSeconds?: number): Promise<number>;
  unregister(): Promise<number>;
  close(): void;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

function parseSip(text: string): SipMessage {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [start = '', ...lines] = head.split('\r\n');
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const at = line.indexOf(':');
    const name = line.slice(0, at).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), line.slice(at + 1).trim()]);
  }
  return { start, headers, body: rest.join('\r\n\r\n') };
}

const one = (message: SipMessage, name: string): string => message.headers.get(name)?.[0] ?? '';

/** Takes PCMU, and VP8 where the phone has a video; every other line of the offer is declined. */
function answerSdp(offer: string, port: number, video: boolean): string {
  const vp8 = /a=rtpmap:(\d+) VP8\/90000/i.exec(offer)?.[1];
  const lines = offer.split(/\r?\n/).filter((line) => line.startsWith('m='));
  const media = (lines.length > 0 ? lines : ['m=audio 0 RTP/AVP 0']).map((line) => {
    const [kind, , transport = 'RTP/AVP', first = '0'] = line.slice(2).split(' ');
    if (kind === 'audio') return `m=audio ${port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n`;
    if (kind === 'video' && video && vp8)
      return `m=video ${port + 2} ${transport} ${vp8}\r\na=rtpmap:${vp8} VP8/90000\r\n`;
    return `m=${kind} 0 ${transport} ${first}\r\n`;
  });
  return `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n${media.join('')}`;
}

/** @param o where the node's internal profile listens, who registers there, and how the phone treats calls */
export async function openSipPhone(o: {
  nodePort: number;
  username: string;
  domain: string;
  password: string;
  behaviour: PhoneBehaviour;
}): Promise<SipPhone> {
  const socket: Socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  const port = socket.address().port;
  const callId = `${randomBytes(8).toString('hex')}@phone`;
  const fromTag = randomBytes(4).toString('hex');
  const timers = new Set<NodeJS.Timeout>();
  const waiters = new Map<string, (m: SipMessage) => void>();
  let sequence = 0;

  const send = (text: string, to = o.nodePort): void => socket.send(text, to, '127.0.0.1');
  const later = (ms: number, run: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      run();
    }, ms);
    timers.add(timer);
  };

  async function request(expires: number, authorization?: string): Promise<SipMessage> {
    sequence += 1;
    const branch = `z9hG4bK${randomBytes(6).toString('hex')}`;
    const lines = [
      `REGISTER sip:${o.domain} SIP/2.0`,
      `Via: SIP/2.0/UDP 127.0.0.1:${port};branch=${branch};rport`,
      'Max-Forwards: 70',
      `From: <sip:${o.username}@${o.domain}>;tag=${fromTag}`,
      `To: <sip:${o.username}@${o.domain}>`,
      `Call-ID: ${callId}`,
      `CSeq: ${sequence} REGISTER`,
      `Contact: <sip:${o.username}@127.0.0.1:${port}>`,
      `Expires: ${expires}`,
      'User-Agent: contract-phone',
      ...(authorization ? [`Authorization: ${authorization}`] : []),
      'Content-Length: 0',
    ];
    const answer = new Promise<SipMessage>((resolve, reject) => {
      waiters.set(String(sequence), resolve);
      later(30_000, () => reject(new Error('the node did not answer REGISTER')));
    });
    send(`${lines.join('\r\n')}\r\n\r\n`);
    return answer;
  }

  async function registerWith(expires: number): Promise<number> {
    const first = await request(expires);
    const challenge = one(first, 'www-authenticate');
    if (!challenge) return Number(first.start.split(' ')[1]);
    const field = (name: string): string => new RegExp(`${name}="?([^",]+)`).exec(challenge)?.[1] ?? '';
    const [realm, nonce, uri, cnonce] = [field('realm'), field('nonce'), `sip:${o.domain}`, '0a4f113b'];
    const ha1 = md5(`${o.username}:${realm}:${o.password}`);
    const response = md5(`${ha1}:${nonce}:00000001:${cnonce}:auth:${md5(`REGISTER:${uri}`)}`);
    const second = await request(
      expires,
      `Digest username="${o.username}", realm="${realm}", nonce="${nonce}", uri="${uri}", algorithm=MD5, qop=auth, nc=00000001, cnonce="${cnonce}", response="${response}"`,
    );
    return Number(second.start.split(' ')[1]);
  }

  function reply(to: SipMessage, status: string, from: RemoteInfo, body = ''): void {
    const copied = (to.headers.get('via') ?? []).map((v) => `Via: ${v}`);
    const tag = one(to, 'to').includes(';tag=') ? '' : `;tag=${fromTag}`;
    const lines = [
      `SIP/2.0 ${status}`,
      ...copied,
      `From: ${one(to, 'from')}`,
      `To: ${one(to, 'to')}${status.startsWith('100') ? '' : tag}`,
      `Call-ID: ${one(to, 'call-id')}`,
      `CSeq: ${one(to, 'cseq')}`,
      `Contact: <sip:${o.username}@127.0.0.1:${port}>`,
      ...(body ? ['Content-Type: application/sdp'] : []),
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    send(`${lines.join('\r\n')}\r\n\r\n${body}`, from.port);
  }

  function hangUp(invite: SipMessage, from: RemoteInfo): void {
    const target = /<([^>]+)>/.exec(one(invite, 'contact'))?.[1] ?? '';
    const lines = [
      `BYE ${target} SIP/2.0`,
      `Via: SIP/2.0/UDP 127.0.0.1:${port};branch=z9hG4bK${randomBytes(6).toString('hex')};rport`,
      'Max-Forwards: 70',
      `From: ${one(invite, 'to')};tag=${fromTag}`,
      `To: ${one(invite, 'from')}`,
      `Call-ID: ${one(invite, 'call-id')}`,
      'CSeq: 1 BYE',
      'Content-Length: 0',
    ];
    send(`${lines.join('\r\n')}\r\n\r\n`, from.port);
  }

  const cancelled = new Set<string>();
  const seen = new Set<string>();
  function takeInvite(invite: SipMessage, from: RemoteInfo): void {
    const id = one(invite, 'call-id');
    if (seen.has(id)) return;
    seen.add(id);
    const b = o.behaviour;
    reply(invite, '100 Trying', from);
    if (b.busy) return reply(invite, '486 Busy Here', from);
    if (b.reject) return reply(invite, '603 Decline', from);
    reply(invite, '180 Ringing', from);
    if (b.ringOnly) return;
    later(b.answerAfterMs ?? 100, () => {
      if (cancelled.has(id)) return;
      reply(invite, '200 OK', from, answerSdp(invite.body, port + 2, b.video === true));
      if (b.hangupAfterMs !== undefined) later(b.hangupAfterMs, () => hangUp(invite, from));
    });
  }

  const invites = new Map<string, SipMessage>();
  socket.on('message', (data, from) => {
    const message = parseSip(data.toString('utf8'));
    if (message.start.startsWith('SIP/2.0')) {
      if (message.start.startsWith('SIP/2.0 1')) return;
      waiters.get(one(message, 'cseq').split(' ')[0] ?? '')?.(message);
    } else if (message.start.startsWith('INVITE')) {
      invites.set(one(message, 'call-id'), message);
      takeInvite(message, from);
    } else if (message.start.startsWith('CANCEL')) {
      cancelled.add(one(message, 'call-id'));
      reply(message, '200 OK', from);
      const invite = invites.get(one(message, 'call-id'));
      if (invite) reply(invite, '487 Request Terminated', from);
    } else if (!message.start.startsWith('ACK')) {
      reply(message, '200 OK', from);
    }
  });

  return {
    register: (expires = 300) => registerWith(expires),
    unregister: () => registerWith(0),
    close() {
      for (const timer of timers) clearTimeout(timer);
      socket.close();
    },
  };
}
