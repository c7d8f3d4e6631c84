/** Asks as nodes do, over keep-alive connections and bare sockets, so that the asker costs little beside the asked. */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { hashSipPassword } from '../../src/infra/secrets';

/** One round of questions; the users are asked one after the other and again from the first. */
export interface Round {
  port: number;
  path: string;
  credentials: string;
  users: number;
  connections: number;
  count: number;
  limitMs: number;
  /** What an answer about a user must hold; left out where every answer is the same. */
  expectUser: boolean;
}

export interface RoundResult {
  perSecond: number;
  answers: number;
  wrong: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
}

export const DOMAIN = 'clinic.example.test';
export const passwordOf = (index: number): string => `password-${index}`;
export const userName = (index: number): string => String(10_000 + index);

const NONCE = '5f0c1a52-6a3b-4e0f-9d5c-1f2e3d4c5b6a';

/** What the phone shows: a wrong one would be counted, and soon refused. */
function responseOf(index: number): string {
  const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
  const ha1 = hashSipPassword(userName(index), DOMAIN, passwordOf(index));
  return md5(`${ha1}:${NONCE}:00000001:0a4f113b:auth:${md5(`REGISTER:sip:${DOMAIN}`)}`);
}

/** The question of a REGISTER, field by field as FreeSWITCH 1.10 asks it. */
export function questionOf(index: number): string {
  const user = userName(index);
  const fields: [string, string][] = [
    ['hostname', 'bench'],
    ['section', 'directory'],
    ['tag_name', 'domain'],
    ['key_name', 'name'],
    ['key_value', DOMAIN],
    ['Event-Name', 'REQUEST_PARAMS'],
    ['Core-UUID', '2f1f7e1c-8c30-4f0e-9a5e-6d1d8a3f9b11'],
    ['FreeSWITCH-Hostname', 'media-node-01'],
    ['FreeSWITCH-Switchname', 'bench'],
    ['FreeSWITCH-IPv4', '192.0.2.10'],
    ['FreeSWITCH-IPv6', '::1'],
    ['Event-Date-Local', '2026-11-20 10:15:30'],
    ['Event-Date-GMT', 'Fri, 20 Nov 2026 10:15:30 GMT'],
    ['Event-Date-Timestamp', '1795169730123456'],
    ['Event-Calling-File', 'sofia_reg.c'],
    ['Event-Calling-Function', 'sofia_reg_parse_auth'],
    ['Event-Calling-Line-Number', '2846'],
    ['Event-Sequence', String(500 + index)],
    ['action', 'sip_auth'],
    ['sip_profile', 'internal'],
    ['sip_user_agent', 'Example Phone/4.2.1 (build 20261001)'],
    ['sip_auth_username', user],
    ['sip_auth_realm', DOMAIN],
    ['sip_auth_nonce', NONCE],
    ['sip_auth_uri', `sip:${DOMAIN}`],
    ['sip_contact_user', user],
    ['sip_contact_host', '198.51.100.23'],
    ['sip_to_user', user],
    ['sip_to_host', DOMAIN],
    ['sip_via_protocol', 'udp'],
    ['sip_via_host', '198.51.100.23'],
    ['sip_via_port', '5060'],
    ['sip_contact_port', '5060'],
    ['sip_to_tag', ''],
    ['sip_cseq', '2'],
    ['sip_from_user', user],
    ['sip_from_host', DOMAIN],
    ['sip_call_id', `a84b4c76e66710-${index}@198.51.100.23`],
    ['sip_request_host', DOMAIN],
    ['sip_auth_qop', 'auth'],
    ['sip_auth_cnonce', '0a4f113b'],
    ['sip_auth_nc', '00000001'],
    ['sip_auth_response', responseOf(index)],
    ['sip_auth_method', 'REGISTER'],
    ['client_port', '5060'],
    ['key', 'id'],
    ['user', user],
    ['domain', DOMAIN],
    ['ip', '198.51.100.23'],
  ];
  return fields.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
}

function requestOf(round: Round, index: number): Buffer {
  const body = questionOf(index);
  return Buffer.from(
    `POST ${round.path} HTTP/1.1\r\nHost: 127.0.0.1:${round.port}\r\n` +
      `Authorization: Basic ${Buffer.from(round.credentials).toString('base64')}\r\nUser-Agent: freeswitch-xml/1.0\r\n` +
      `Accept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `\r\n${body}`,
  );
}

export async function runRound(round: Round): Promise<RoundResult> {
  const requests = Array.from({ length: round.users }, (_, i) => requestOf(round, i));
  const times: number[] = [];
  const state = { sent: 0, wrong: 0 };
  const started = performance.now();
  const done = Array.from({ length: round.connections }, () => ask(round, requests, times, state, started));
  await Promise.all(done);
  const seconds = (performance.now() - started) / 1000;
  const sorted = Float64Array.from(times).sort();
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { perSecond: times.length / seconds, answers: times.length, wrong: state.wrong, p50: at(0.5), p99: at(0.99) };
}

/** One connection: a question, its answer, the next question. */
function ask(
  round: Round,
  requests: Buffer[],
  times: number[],
  state: { sent: number; wrong: number },
  started: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(round.port, '127.0.0.1');
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(new Error('a round took too long')), round.limitMs + 5000);
    let sentAt = 0;
    let user = 0;
    let text = '';
    const next = (): void => {
      if (state.sent >= round.count || performance.now() - started > round.limitMs) {
        clearTimeout(timer);
        socket.end();
        resolve();
        return;
      }
      user = state.sent++ % requests.length;
      sentAt = performance.now();
      socket.write(requests[user] as Buffer);
    };
    socket.on('connect', next);
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.on('data', (chunk) => {
      text = text ? text + chunk.toString('latin1') : chunk.toString('latin1');
      const head = text.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = /content-length: (\d+)/i.exec(text);
      if (text.length < head + 4 + Number(length?.[1])) return;
      times.push(performance.now() - sentAt);
      const right = text.startsWith('HTTP/1.1 200') && (!round.expectUser || text.includes(`id="${userName(user)}"`));
      if (!right) state.wrong += 1;
      text = '';
      next();
    });
  });
}
