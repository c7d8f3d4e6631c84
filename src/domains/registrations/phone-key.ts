/** Says which registrations are of one phone: a phone that starts again, or at another node, has a new Call-ID and is the same. */
import type { RegisteredEvent } from '../../freeswitch/esl';
import { readHost, uriHost } from '../../address';

const DEFAULT_PORTS: Readonly<Record<string, string>> = { tls: '5061', wss: '443', ws: '80' };

/** Every page of sipML5 names this host, and its user: two of one user would throw each other out. Their sockets tell of their end. */
const NOBODYS_HOSTS: readonly string[] = ['df7jal23ls0d.invalid', 'anonymous.invalid'];

/**
 * A socket is one phone: its host and port as the phone names them, and from where it came, since many homes have a
 * 192.168.1.5. The user part is left out: some phones draw a new one at each start. A browser has no address to name, and
 * draws a host that ends in `.invalid` (RFC 7118), which is its own wherever it comes from.
 * @returns empty where the contact does not say whose it is
 */
export function phoneKeyOf(phone: Pick<RegisteredEvent, 'contact' | 'networkIp' | 'transport'>): string {
  const uri = /<([^<>]*)>/.exec(phone.contact)?.[1] ?? phone.contact;
  const parsed = /^\s*sips?:(?:([^@;?]*)@)?(\[[0-9A-Fa-f:.]+(?:%[^\]]*)?\]|[^:;?\s]+)(?::(\d{1,5}))?/i.exec(uri);
  if (!parsed) return '';
  const [, user = '', name, port] = parsed;
  const host = readHost(name!);
  if (NOBODYS_HOSTS.includes(host)) return '';
  if (host.endsWith('.invalid')) return `${user}@${host}`;
  return `${uriHost(host)}:${port ?? DEFAULT_PORTS[phone.transport] ?? '5060'} from ${readHost(phone.networkIp)}`;
}
