/** Turns the contact a phone registered into an address that leads back to that phone, and to nobody else. */
import { hostAndPort, readAddress, readHost } from '../../address';
import { holdsDialWord } from './escape';

/** From where a REGISTER came, as the node saw it. */
export interface ContactSource {
  networkIp: string;
  networkPort: number;
  /** udp, tcp, tls, ws or wss. */
  transport: string;
}

/** Parameters by which a phone, or a proxy it names, would choose where its calls go (RFC 3261 19.1.1, mod_sofia). */
const LEADS_ELSEWHERE: readonly string[] = ['fs_path', 'maddr', 'received', 'route', 'lr', 'ttl', 'method', 'comp'];
/**
 * What a dial string takes as it is: no comma, bracket, brace, bar, quote, blank, `^` or `$`. No `;` in the user part,
 * where mod_sofia finds a parameter as well (it looks for `;fs_path=` anywhere, sofia_glue_get_destination).
 */
const USER = /^[A-Za-z0-9_.!~*()+=&%-]{1,256}$/;
const PARAMETER = /^[A-Za-z0-9_.!~*+-]{1,64}(?:=[A-Za-z0-9_.!~*()+%:/&-]{0,256})?$/;
const HIDDEN_PARAMETER = /%3b|fs_path/i;
const TRANSPORTS: readonly string[] = ['udp', 'tcp', 'tls', 'ws', 'wss'];

interface ContactParts {
  scheme: 'sip' | 'sips';
  user: string;
  host: string;
  port: number | undefined;
  parameters: readonly string[];
}

/**
 * Without a user part `sofia/PROFILE/…` would look a registration up (`user%domain`), and headers behind a `?` would
 * become headers of the INVITE, a Route too (nta.c 4116): neither is taken.
 * @returns undefined where it is no SIP address, or holds anything that a dial string would act on
 */
function parseContact(contact: string): ContactParts | undefined {
  const inBrackets = /<([^<>]*)>/.exec(contact);
  const uri = (inBrackets ? inBrackets[1]! : contact).trim();
  const parsed =
    /^(sips?):([^@<>]*)@(\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~-]{1,32})?\]|[A-Za-z0-9.-]{1,253})(?::(\d{1,5}))?((?:;[^;?]*)*)$/.exec(
      uri,
    );
  if (!parsed || holdsDialWord(uri)) return undefined;
  const [, scheme, user, host, port, rest = ''] = parsed;
  if (!USER.test(user!) || HIDDEN_PARAMETER.test(user!)) return undefined;
  const parameters = rest.split(';').filter((parameter) => parameter !== '');
  if (!parameters.every((parameter) => PARAMETER.test(parameter))) return undefined;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) return undefined;
  return {
    scheme: scheme as 'sip' | 'sips',
    user: user!,
    // A zone names the phone's own interface, and means nothing at the node.
    host: host!.replace(/%.*\]$/, ']'),
    port: port === undefined ? undefined : Number(port),
    parameters,
  };
}

const nameOf = (parameter: string): string => parameter.split('=', 1)[0]!.toLowerCase();

/**
 * The address to dial. A phone writes into its contact what it likes: any host and port, and parameters that name
 * another next hop; a node would send the INVITE there. So these parameters go, and the call takes the way that the
 * REGISTER came: where the contact's host is another than its source (a NAT, a WebSocket, a second interface, a lie),
 * `fs_path` names the source, and the rest of the contact only stands in the request for the phone to know itself by.
 * @returns undefined where the contact can't be dialled, or nobody knows where it came from
 */
export function contactToDial(contact: string, source: ContactSource): string | undefined {
  const parts = parseContact(contact);
  const from = readAddress(source.networkIp);
  if (!parts || from === undefined || !TRANSPORTS.includes(source.transport)) return undefined;
  const kept = parts.parameters.filter((parameter) => !LEADS_ELSEWHERE.includes(nameOf(parameter)));
  const port = parts.port === undefined ? '' : `:${parts.port}`;
  const address = [`${parts.scheme}:${parts.user}@${parts.host}${port}`, ...kept].join(';');
  const isDirect = readHost(parts.host) === from && !/^wss?$/.test(source.transport);
  if (isDirect) return address;
  if (!(source.networkPort > 0 && source.networkPort < 65536)) return undefined;
  const path = `sip:${parts.user}@${hostAndPort(from, source.networkPort)};transport=${source.transport}`;
  return `${address};fs_path=${encodeURIComponent(path)}`;
}
