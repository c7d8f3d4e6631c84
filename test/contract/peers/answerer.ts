/** A small Switchyard for the wire contract: it answers a node's questions with the project's own documents. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hashSipPassword } from '../../../src/infra/secrets';
import {
  bridgeToUserPlan,
  configurationXml,
  echoPlan,
  notFoundXml,
  parseXmlRequest,
  refusePlan,
  userXml,
  type XmlRequest,
} from '../../../src/freeswitch/xml';
import type { NodePorts } from '../harness';
import { roomConfiguration, roomPlan, type RoomProfiles } from './rooms-answerer';

export const DOMAIN = 'clinic.test';
export const PASSWORD = 'a phone password';
export const ESL_PASSWORD = 'contract-esl';
const USERS = new Set(['1001', '1002', '1003', '1004', '1005', '1006', '1007', '1008', '1009']);
/** The user whose not answering a test waits for. Everybody else rings for as long as a busy machine needs to answer. */
export const NOBODY_ANSWERS = '1005';
export const ringSeconds = (username: string): number => (username === NOBODY_ANSWERS ? 2 : 40);

export interface Answerer {
  xmlUrl: string;
  requests: XmlRequest[];
  forms: Record<string, string>[];
  cdrs: { contentType: string; body: string }[];
  authorizations: Set<string>;
  /** The rooms that may start or be entered, each with its profile. */
  rooms: RoomProfiles;
  /** What was uploaded by PUT: path and body. */
  uploads: { path: string; body: Buffer; headers: Record<string, unknown> }[];
  /** From where other nodes may send calls. */
  poolHosts: string[];
  /** So many of the next questions for this destination are cut off, as by the death of who was asked. */
  cut: { destination: string; times: number };
  close(): Promise<void>;
}

export async function openAnswerer(nodeName: string, password: string, ports: NodePorts): Promise<Answerer> {
  const seen: Omit<Answerer, 'xmlUrl' | 'close'> = {
    requests: [],
    forms: [],
    cdrs: [],
    authorizations: new Set(),
    rooms: new Map(),
    uploads: [],
    poolHosts: ['127.0.0.1'],
    cut: { destination: '', times: 0 },
  };
  let base = '';
  const settings = (): Parameters<typeof configurationXml>[1] => ({
    name: nodeName,
    host: '127.0.0.1',
    eslPort: ports.esl,
    eslPassword: ESL_PASSWORD,
    sipPort: ports.sip,
    internodePort: ports.internode,
    wsPort: ports.ws,
    rtpFrom: ports.rtpFrom,
    rtpTo: ports.rtpTo,
    heartbeatSeconds: 1,
    cdrUrl: `${base}/cdr`,
    cdrCredentials: `${nodeName}:${password}`,
    poolHosts: seen.poolHosts,
    zone: '',
  });

  function answer(request: XmlRequest): string {
    if (request.kind === 'configuration')
      return (
        roomConfiguration(request.name, request.conferenceName, seen.rooms, settings()) ??
        configurationXml(request.name, settings()) ??
        notFoundXml()
      );
    if (request.kind === 'user' && request.domain === DOMAIN && USERS.has(request.username)) {
      const { username, domain } = request;
      return userXml({
        domain,
        username,
        ha1: hashSipPassword(username, domain, PASSWORD),
        displayName: `Zoë ${username}`,
        callerNumber: username,
        dialString: request.purpose === 'user_call' ? `\${sofia_contact(internal/${username}@${domain})}` : undefined,
      });
    }
    if (request.kind !== 'dialplan') return notFoundXml();
    const callId = request.callId ?? 'contract-call';
    if (request.destination === 'echo') return echoPlan({ callId });
    const room = roomPlan(request.destination);
    if (room !== undefined) return room;
    if (request.destination === 'refuse') return refusePlan({ sipStatus: 404, reason: 'nobody', callId });
    if (!USERS.has(request.destination)) return notFoundXml();
    return bridgeToUserPlan({
      callId,
      username: request.destination,
      domain: DOMAIN,
      callerName: request.callerName,
      callerNumber: request.callerNumber,
      ringTimeoutSeconds: ringSeconds(request.destination),
    });
  }

  const server = createServer((request, response) => {
    void readBytes(request).then((bytes) => {
      if (request.method === 'PUT') {
        seen.uploads.push({ path: request.url ?? '', body: bytes, headers: request.headers });
        response.statusCode = 201;
        return response.end('kept');
      }
      const body = bytes.toString('utf8');
      seen.authorizations.add(request.headers.authorization ?? '');
      if (request.url?.startsWith('/cdr')) {
        seen.cdrs.push({ contentType: request.headers['content-type'] ?? '', body });
        return response.end();
      }
      const form = Object.fromEntries(new URLSearchParams(body));
      const asked = parseXmlRequest(form);
      seen.forms.push(form);
      seen.requests.push(asked);
      if (asked.kind === 'dialplan' && asked.destination === seen.cut.destination && seen.cut.times-- > 0) {
        return request.socket.destroy();
      }
      response.setHeader('Content-Type', 'text/xml');
      return response.end(answer(asked));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const query = `host=127.0.0.1&esl=${ports.esl}&sip=${ports.sip}&internode=${ports.internode}&ws=${ports.ws}`;
  return {
    ...seen,
    xmlUrl: `${base}/xml?${query}&rtp=${ports.rtpFrom}-${ports.rtpTo}&zone=&capacity=100&wsUrl=`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
