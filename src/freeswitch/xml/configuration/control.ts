/** How a node is steered and where it reports: the Event Socket, who may reach it, and call records. */
import { isIP } from 'node:net';
import { element, params, type Element } from '../document';
import type { NodeSettings } from './settings';

/** The Event Socket listens everywhere where Switchyard is elsewhere, and lets in only who is named in `esl`. */
export function eventSocketConf(node: NodeSettings): Element[] {
  const outside = outsideHosts(node.controlHosts ?? []);
  return [
    params({
      'nat-map': false,
      'listen-ip': outside.length > 0 ? '0.0.0.0' : '127.0.0.1',
      'listen-port': node.eslPort,
      password: node.eslPassword,
      'apply-inbound-acl': 'esl',
      'stop-on-bind-error': true,
    }),
  ];
}

/** `esl`: who may connect to the Event Socket. `pool`: who may use the internode profile. Both deny the rest. */
export function aclConf(node: NodeSettings): Element[] {
  return [
    element('network-lists', {}, [
      list('esl', ['127.0.0.0/8', '::1/128', ...(node.controlHosts ?? []).map(cidr)]),
      list('pool', node.poolHosts.map(cidr)),
    ]),
  ];
}

/** Records of both legs, sent once and again a few times: the receiver counts each once. */
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
      retries: 3,
      delay: 2,
      timeout: 10,
      'log-http-and-disk': false,
      'log-errors-to-disk': true,
    }),
  ];
}

function list(name: string, cidrs: (string | undefined)[]): Element {
  const nodes = [...new Set(cidrs.filter((entry) => entry !== undefined))];
  return element(
    'list',
    { name, default: 'deny' },
    nodes.map((entry) => element('node', { type: 'allow', cidr: entry })),
  );
}

/** FreeSWITCH compares addresses only: a name must be resolved before it comes here, or it is left out. */
function cidr(host: string): string | undefined {
  const version = isIP(host);
  if (version === 4) return `${host}/32`;
  if (version === 6) return `${host}/128`;
  return /^[0-9a-f.:]+\/\d{1,3}$/i.test(host) ? host : undefined;
}

function outsideHosts(hosts: string[]): string[] {
  return hosts.filter((host) => !host.startsWith('127.') && host !== '::1');
}
