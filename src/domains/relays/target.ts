/** Where a relay may go: reads the address, and keeps Switchyard from being sent to machines that are nobody's stream server. */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { SwitchyardError } from '../../errors';

/** An RTMP address in its parts. */
export interface Target {
  secure: boolean;
  /** A name, or an address without brackets. */
  host: string;
  port: number;
  /** The application, without a slash at either end. */
  app: string;
  /** How it is shown and told to the server: rtmp(s)://host[:port]/app, without the stream's key. */
  url: string;
}

export interface AddressRules {
  allowPrivate: boolean;
  /** Host names, addresses or networks (10.0.0.0/8) that are allowed whatever they are. */
  allowedHosts: readonly string[];
}

const APP = /^[A-Za-z0-9._~!$&'()*+,;=:@%-]+(\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*$/;
const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
/** Printable, without blanks. */
export const STREAM_KEY = /^[\x21-\x7e]{1,512}$/;

function refuse(path: string, message: string): never {
  throw new SwitchyardError('unprocessable', `The relay's address can not be used: ${path} ${message}.`, {
    errors: [{ path, message }],
  });
}

/**
 * Reads an address. Where no key is given apart, the last part of the path is the key, since that is how people write
 * it: so it is never shown.
 * @throws SwitchyardError unprocessable; its text repeats nothing of the address
 */
export function readTarget(text: string, streamKey: string | undefined): { target: Target; streamKey: string } {
  const found = /^(rtmps?):\/\/(\[[0-9a-f:.]+\]|[^/:@?#\s]+)(?::(\d{1,5}))?\/([^?#\s]*)$/i.exec(text);
  if (!/^rtmps?:\/\//i.test(text)) refuse('url', 'must begin with rtmp:// or rtmps://');
  if (!found) refuse('url', 'must be rtmp(s)://host[:port]/app, without user, question mark or blanks');
  const [, scheme, hostText, portText, path] = found;
  const host = hostText!.replace(/^\[|\]$/g, '').toLowerCase();
  if (isIP(host) === 0 && !HOST.test(host)) refuse('url', 'names no host');
  const secure = scheme!.toLowerCase() === 'rtmps';
  const port = portText === undefined ? (secure ? 443 : 1935) : Number(portText);
  if (port < 1 || port > 65_535) refuse('url', 'has a port that does not exist');
  const parts = path!.split('/').filter(Boolean);
  const key = streamKey ?? (parts.length > 1 ? parts.pop() : undefined);
  if (key === undefined) refuse('streamKey', 'is needed where the address has only an application');
  if (!STREAM_KEY.test(key)) refuse('streamKey', 'must have 1 to 512 printable characters without blanks');
  const app = parts.join('/');
  if (!APP.test(app) || app.length > 255) refuse('url', 'needs an application: rtmp://host/app');
  const shown = `${isIP(host) === 6 ? `[${host}]` : host}${portText === undefined ? '' : `:${port}`}`;
  return { target: { secure, host, port, app, url: `${secure ? 'rtmps' : 'rtmp'}://${shown}/${app}` }, streamKey: key };
}

/** Loopback, private, link-local (cloud metadata among them), shared, test, tunnel and multicast ranges. */
const FORBIDDEN: readonly [string, number][] = [
  ...(
    [
      '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24',
      '192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
      '::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 fc00::/7 fe80::/10',
      'fec0::/10 ff00::/8',
    ] as const
  )
    .join(' ')
    .split(' ')
    .map((range) => [range.split('/')[0]!, Number(range.split('/')[1])] as [string, number]),
];

function listOf(ranges: readonly [string, number][]): BlockList {
  const list = new BlockList();
  for (const [address, bits] of ranges) list.addSubnet(address, bits, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  return list;
}
const forbidden = listOf(FORBIDDEN);

/** ::ffff:10.0.0.1, in either notation, is 10.0.0.1. */
function unmap(address: string): string {
  const dotted = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (dotted) return dotted;
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address);
  if (!hex) return address;
  const [high, low] = [parseInt(hex[1]!, 16), parseInt(hex[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** True where Switchyard may open a connection to this address. `host` is the name it was found under. */
export function isAllowedAddress(rules: AddressRules, host: string, found: string): boolean {
  const address = unmap(found);
  const version = isIP(address);
  if (version === 0) return false;
  const family = version === 6 ? 'ipv6' : 'ipv4';
  if (rules.allowPrivate || !forbidden.check(address, family)) return true;
  return rules.allowedHosts.some((entry) => {
    if (entry.toLowerCase() === host || entry === address) return true;
    const [network, bits] = entry.split('/');
    if (bits === undefined || isIP(network!) !== version) return false;
    return listOf([[network!, Number(bits)]]).check(address, family);
  });
}

export type Resolve = (host: string) => Promise<string[]>;

/** As the system resolves names. */
export const resolveHost: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: false })).map(({ address }) => address);

/** Why a target is not used, in words that may be shown. */
export class TargetRefused extends Error {}

/**
 * The one address to connect to. It is looked up once and used as it is, so that a name can't lead elsewhere after it
 * was checked; a name with one forbidden address among others is refused whole.
 * @throws TargetRefused
 */
export async function findAddress(
  rules: AddressRules,
  host: string,
  resolve: Resolve,
  deadlineMs: number,
): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TargetRefused('its name was not resolved in time')), deadlineMs);
  });
  const asked = isIP(host) ? Promise.resolve([host]) : resolve(host);
  const found = await Promise.race([asked, late])
    .catch((error: unknown) => {
      throw error instanceof TargetRefused ? error : new TargetRefused('its name can not be resolved');
    })
    .finally(() => clearTimeout(timer));
  if (found.length === 0) throw new TargetRefused('its name can not be resolved');
  if (!found.every((address) => isAllowedAddress(rules, host, address))) {
    throw new TargetRefused('its address is a private, loopback or otherwise forbidden one');
  }
  return found[0]!;
}
