/** Reads what a node says of itself in the query of its one URL: where it is, and what it can carry. */
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { SwitchyardError } from '../errors';
import type { NodeSettings } from '../freeswitch/xml';
import type { NodeAddress } from '../domains/nodes/nodes';

const port = z.coerce.number().int().min(1).max(65535);

const schema = z.object({
  /** An address and no name: FreeSWITCH binds to it, and compares it. */
  host: z.union([z.ipv4(), z.ipv6()]),
  esl: port,
  sip: port,
  internode: port,
  ws: port,
  /** FreeSWITCH itself speaks TLS to browsers there. */
  wss: port.optional(),
  /** The node's address as the world sees it, where that is translated to `host` (NAT). */
  public: z.union([z.ipv4(), z.ipv6()]).optional(),
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
    throw new SwitchyardError('invalid_request', `The node's URL: ${faults.map((f) => f.path).join(', ')}`, {
      errors: faults,
    });
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
  const named = host.includes(':') ? `[${host}]` : host;
  return q.wss === undefined ? `ws://${named}:${q.ws}` : `wss://${named}:${q.wss}`;
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
