/** Reads what a node says of itself in the query of its one URL: where it is, and what it can carry. */
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { SwitchyardError } from '../../errors';
import type { NodeSettings } from '../../freeswitch/xml';
import type { NodeAddress } from '../../domains/nodes/nodes';
import { hostAndPort } from '../../address';
import { hostAddress } from '../../infra/text/host-address';

const port = z.coerce.number().int().min(1).max(65535);

const schema = z.object({
  /** An address and no name: FreeSWITCH binds to it, and compares it. */
  host: hostAddress,
  esl: port,
  sip: port,
  internode: port,
  ws: port,
  /** FreeSWITCH itself speaks TLS to browsers there. */
  wss: port.optional(),
  /** The node's address as the world sees it, where that is translated to `host` (NAT). */
  public: hostAddress.optional(),
  wsUrl: z.url({ protocol: /^wss?$/ }).optional(),
  zone: z
    .string()
    .regex(/^[A-Za-z0-9._-]{0,64}$/)
    .default(''),
  capacity: z.coerce.number().min(1).max(1_000_000).default(100),
  rtp: z
    .string()
    .regex(/^\d{1,5}-\d{1,5}$/)
    .default('16384-32768'),
});

const PORT_RULE = 'must be a port from 1 to 65535';
/** What each part must be, for whoever writes the URL on a node. */
const RULES: Readonly<Record<string, string>> = {
  host: 'must be an IP address without a zone, and no name (127.0.0.1 or ::1, not localhost): FreeSWITCH binds to it',
  public: 'must be an IP address without a zone, and no name: it is told to phones',
  ...{ esl: PORT_RULE, sip: PORT_RULE, internode: PORT_RULE, ws: PORT_RULE, wss: PORT_RULE },
  wsUrl: 'must begin with ws:// or wss://',
  zone: 'must be at most 64 of A-Z a-z 0-9 . _ -',
  capacity: 'must be a number from 1 to 1000000',
  rtp: 'must be two ports, like 16384-32768',
};

function readQuery(url: string): Record<string, string> {
  const at = url.indexOf('?');
  const entries = at < 0 ? [] : [...new URLSearchParams(url.slice(at + 1))];
  return Object.fromEntries(entries.filter(([, value]) => value !== ''));
}

/** @throws invalid_request naming the part of the URL that is wrong; undefined where it has no query at all. */
export function readNodeAddress(url: string): NodeAddress | undefined {
  const query = readQuery(url);
  if (Object.keys(query).length === 0) return undefined;
  const parsed = schema.safeParse(query);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((i) => ({ path: i.path.join('.'), message: i.message }));
    const said = faults.map(({ path }) => (RULES[path] ? `${path} ${RULES[path]}` : path)).join(', ');
    throw new SwitchyardError('invalid_request', `The node's URL: ${said}`, { errors: faults });
  }
  const q = parsed.data;
  return {
    host: q.host,
    eslPort: q.esl,
    sipPort: q.sip,
    internodePort: q.internode,
    wsPort: q.ws,
    wsUrl: q.wsUrl ?? (q.wss === undefined && q.public === undefined ? null : signalUrlOf(q)),
    ...(q.public === undefined ? {} : { publicHost: q.public }),
    zone: q.zone,
    capacityUnits: q.capacity,
  };
}

function signalUrlOf(q: z.infer<typeof schema>): string {
  const host = q.public ?? q.host;
  return q.wss === undefined ? `ws://${hostAndPort(host, q.ws)}` : `wss://${hostAndPort(host, q.wss)}`;
}

/** What a node's configuration needs to know of it beyond its row. What is missing or wrong is left out. */
export function readNodeDoors(
  url: string,
): Pick<NodeSettings, 'rtpFrom' | 'rtpTo'> & Partial<Pick<NodeSettings, 'wssPort' | 'publicHost'>> {
  const { rtp, wss, public: address } = schema.partial().catch({ rtp: '16384-32768' }).parse(readQuery(url));
  const [from, to] = rtp!.split('-').map(Number);
  return {
    rtpFrom: from ?? 16384,
    rtpTo: to ?? 32768,
    ...(wss === undefined ? {} : { wssPort: wss }),
    ...(address === undefined ? {} : { publicHost: address }),
  };
}

/**
 * The scheme and host by which a node came, for the address of its call records: behind a proxy that ends TLS it is
 * what the proxy says. Who could say it wrongly is the node, of its own records.
 */
export function readNodeBase(headers: IncomingHttpHeaders, publicUrl?: string): string {
  const host = headers.host ?? 'localhost';
  const said = String(headers['x-forwarded-proto'] ?? '')
    .split(',')[0]!
    .trim();
  const known = publicUrl === undefined ? undefined : new URL(publicUrl);
  const scheme =
    said === 'https' || said === 'http' ? said : known?.host === host ? known.protocol.slice(0, -1) : 'http';
  return `${scheme}://${host}`;
}
