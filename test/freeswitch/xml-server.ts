/** The least that can answer a node: our own documents over HTTP, without database or pool, and a memory of what was asked. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findFreePort } from '../../scripts/stores/ports';
import {
  configurationXml,
  notFoundXml,
  parseXmlRequest,
  type NodeSettings,
  type XmlRequest,
} from '../../src/freeswitch/xml';

export interface XmlServer {
  settings: NodeSettings;
  xmlUrl: string;
  /** Basic credentials, as they came. */
  readonly credentials: Set<string>;
  readonly asked: { request: XmlRequest; form: Record<string, string> }[];
  /** Call records, decoded. */
  readonly records: Record<string, unknown>[];
  /** Answers what is not configuration; undefined: not found. */
  answer: (request: XmlRequest) => string | undefined;
  close(): Promise<void>;
}

/** Starts it, with settings for one node on free ports. */
export async function startXmlServer(name: string): Promise<XmlServer> {
  const asked: XmlServer['asked'] = [];
  const records: XmlServer['records'] = [];
  const credentials = new Set<string>();
  const http = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      credentials.add(Buffer.from((req.headers.authorization ?? '').slice(6), 'base64').toString());
      const body = Buffer.concat(chunks).toString();
      if (req.url?.startsWith('/cdr')) {
        records.push(JSON.parse(body) as Record<string, unknown>);
        return res.end('ok');
      }
      const form = Object.fromEntries(new URLSearchParams(body));
      const request = parseXmlRequest(form);
      asked.push({ request, form });
      const xml =
        request.kind === 'configuration' ? configurationXml(request.name, server.settings) : server.answer(request);
      return res.setHeader('content-type', 'text/xml').end(xml ?? notFoundXml());
    });
  });
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const [eslPort, sipPort, internodePort, wsPort] = await Promise.all([1, 2, 3, 4].map(() => findFreePort()));
  const server: XmlServer = {
    settings: {
      name,
      host: '127.0.0.1',
      eslPort: eslPort!,
      eslPassword: 'an-esl-password',
      sipPort: sipPort!,
      internodePort: internodePort!,
      wsPort: wsPort!,
      rtpFrom: 26000,
      rtpTo: 26200,
      heartbeatSeconds: 1,
      cdrUrl: `${url}/cdr?leg=any&x=1`,
      cdrCredentials: `${name}:cdr-secret`,
      poolHosts: ['127.0.0.1'],
    },
    xmlUrl: `${url}/xml?host=127.0.0.1&esl=${eslPort}&sip=${sipPort}`,
    credentials,
    asked,
    records,
    answer: () => undefined,
    close: () => new Promise((done) => http.close(() => done())),
  };
  return server;
}
