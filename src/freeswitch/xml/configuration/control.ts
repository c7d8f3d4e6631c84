/** How a node is steered and where it reports: the Event Socket, who may reach it, and call records. */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { element, params, type Element } from '../document';
import type { NodeSettings } from './settings';

/**
 * The Event Socket listens where Switchyard dials it, and lets in only who is named. It is told the networks themselves, and
 * not the name of a list: whatever `reloadacl` meets, FreeSWITCH then has them. It looks for a list of that name first
 * (switch_check_network_list_ip_port_token), which is how networks that were added later come in without a restart.
 */
export function eventSocketConf(node: NodeSettings): Element[] {
  return [
    params({
      'nat-map': false,
      'listen-ip': listenIp(node),
      'listen-port': node.eslPort,
      password: node.eslPassword,
      'apply-inbound-acl': controlNetworks(node),
      'stop-on-bind-error': true,
    }),
  ];
}

/** FreeSWITCH reads no more out of one text. */
const MOST_NETWORKS = 100;

/**
 * From where the Event Socket lets in, as one text: the loopback, who is named, and the node's own address. Of one family:
 * in such a text FreeSWITCH compares an address of IPv4 with the first bytes of an IPv6 network, and fd00::/8 would let in
 * every address that ends in 253.
 */
export function controlNetworks(node: Pick<NodeSettings, 'host' | 'controlHosts'>): string {
  const family = isIP(node.host);
  const own = controlCidrs(node).filter((entry) => isIP(entry.split('/')[0]!) === family);
  return own.slice(0, MOST_NETWORKS).join(',');
}

function controlCidrs(node: Pick<NodeSettings, 'host' | 'controlHosts'>): string[] {
  // Its own address: who dials it from the node's machine comes from there, and could come by the loopback as well.
  return unique(['127.0.0.0/8', '::1/128', ...[...(node.controlHosts ?? []), node.host].map(cidr)]);
}

/**
 * Where Switchyard is elsewhere, or dials another address than the loopback: everywhere, since who comes is looked at. A node
 * of IPv6 has its own address alone: at `::` FreeSWITCH takes IPv4 too, and would compare it with bytes of IPv6 networks.
 */
function listenIp({ host, controlHosts = [] }: NodeSettings): string {
  const isInside = isLoopback(host) && controlHosts.every(isLoopback);
  return isInside || isIP(host) === 6 ? host : '0.0.0.0';
}

/**
 * `esl`: who may connect to the Event Socket. `pool`: who may use the internode profile. Both deny the rest. The third stands
 * in the place of what the Event Socket was told, and has that in it: nobody who could come in is ever shut out. The last
 * is empty of meaning, and says by its name which answer this is.
 */
export function aclConf(node: NodeSettings): Element[] {
  const control = controlCidrs(node);
  const told = node.eslNetworks?.split(',') ?? [];
  return [
    element('network-lists', {}, [
      list('esl', control),
      list('pool', node.poolHosts.map(cidr)),
      ...(node.eslNetworks ? [list(node.eslNetworks, [...told, ...control])] : []),
      ...(node.listsMark ? [list(node.listsMark, [cidr(MARKED_ADDRESS)])] : []),
    ]),
  ];
}

/** Which the list that is a mark lets in. */
export const MARKED_ADDRESS = '127.0.0.1';

/** A name for what the lists of a pool say; a node that has a list of that name has these. */
export function markLists(o: { poolHosts: readonly string[]; controlNetworks: readonly string[] }): string {
  const said = JSON.stringify([unique(o.poolHosts).sort(), unique(o.controlNetworks).sort()]);
  return `switchyard-${createHash('sha256').update(said).digest('hex').slice(0, 20)}`;
}

/**
 * Records of both legs, sent once and again a few times: the receiver counts each once. Meanwhile the channel stays a
 * session of the node, so it gives up soon: what it could not send it leaves as a file (log_dir/json_cdr), which
 * Switchyard fetches by the Event Socket.
 */
export function jsonCdrConf(node: NodeSettings): Element[] {
  return [
    params({
      'log-b-leg': true,
      'prefix-a-leg': false,
      encode: false,
      'encode-values': false,
      url: node.cdrUrl,
      cred: node.cdrCredentials,
      'auth-scheme': 'basic',
      // As in freeswitch/autoload_configs/xml_curl.conf.xml: without them any certificate is believed.
      'enable-cacert-check': true,
      'enable-ssl-verifyhost': true,
      'ssl-cacert-file': '$${switchyard_ca_file}',
      retries: 2,
      delay: 2,
      timeout: 5,
      'log-http-and-disk': false,
      'log-errors-to-disk': true,
    }),
  ];
}

const unique = (texts: readonly (string | undefined)[]): string[] => [
  ...new Set(texts.filter((text) => text !== undefined)),
];

function list(name: string, cidrs: (string | undefined)[]): Element {
  return element(
    'list',
    { name, default: 'deny' },
    unique(cidrs).map((entry) => element('node', { type: 'allow', cidr: entry })),
  );
}

/** FreeSWITCH compares addresses only: a name must be resolved before it comes here, or it is left out. */
function cidr(host: string): string | undefined {
  const version = isIP(host);
  if (version === 4) return `${host}/32`;
  if (version === 6) return `${host}/128`;
  return /^[0-9a-f.:]+\/\d{1,3}$/i.test(host) ? host : undefined;
}

const isLoopback = (host: string): boolean => host.startsWith('127.') || host === '::1';
