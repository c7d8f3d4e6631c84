/** Decides which media nodes run where, and starts them: real ones where there is a FreeSWITCH, else simulated ones. */
import { existsSync } from 'node:fs';
import { StartFault } from '../project';
import { findProgram } from '../stores/redis';
import type { StartOptions } from '../startup/options';

/** What a node takes up. */
export interface NodePlan {
  name: string;
  kind: 'real' | 'simulated';
  host: string;
  /** Its address as the world sees it, where that is not `host` (NAT). */
  publicHost?: string;
  sipPort: number;
  internodePort: number;
  wsPort: number;
  /** Where the node itself speaks TLS to browsers; its certificate is `certs/wss.pem` in its folder. */
  wssPort?: number;
  eslPort: number;
  rtpFrom: number;
  rtpTo: number;
  wsUrl: string;
}

/** Each node has 20 ports of its own, whether it uses them or not, so that numbers are easy to tell. */
const PORTS_PER_NODE = 20;
const RTP_PORTS_PER_NODE = 1000;

/** The freeswitch to run, or undefined where nodes are to be simulated. */
export function findFreeswitch(options: Pick<StartOptions, 'simulated' | 'freeswitchBin'>): string | undefined {
  if (options.simulated) return undefined;
  if (!options.freeswitchBin) return findProgram('freeswitch');
  if (!existsSync(options.freeswitchBin))
    throw new StartFault(`FREESWITCH_BIN names ${options.freeswitchBin}, and there is no such file.`);
  return options.freeswitchBin;
}

export function planNodes(options: StartOptions, kind: NodePlan['kind']): NodePlan[] {
  return Array.from({ length: options.nodeCount }, (_, index) => {
    const base = options.nodePortBase + index * PORTS_PER_NODE;
    const rtpFrom = options.nodeRtpBase + index * RTP_PORTS_PER_NODE;
    const wsPort = base + 6;
    return {
      name: `node-${index + 1}`,
      kind,
      host: options.nodeHost,
      ...(options.nodePublicHost === undefined ? {} : { publicHost: options.nodePublicHost }),
      sipPort: base,
      internodePort: base + 2,
      wsPort,
      eslPort: base + 8,
      rtpFrom,
      rtpTo: rtpFrom + RTP_PORTS_PER_NODE - 1,
      wsUrl: `ws://${options.nodePublicHost ?? options.nodeHost}:${wsPort}`,
    };
  });
}

/** Where a node asks Switchyard; the query says how it can be reached. */
export function xmlUrlOf(plan: NodePlan, nodesUrl: string): string {
  const query = new URLSearchParams({
    host: plan.host,
    esl: String(plan.eslPort),
    sip: String(plan.sipPort),
    internode: String(plan.internodePort),
    ws: String(plan.wsPort),
    ...(plan.wssPort === undefined ? {} : { wss: String(plan.wssPort) }),
    rtp: `${plan.rtpFrom}-${plan.rtpTo}`,
    zone: '',
    capacity: '100',
    ...(plan.publicHost === undefined ? {} : { public: plan.publicHost }),
    wsUrl: plan.wsUrl,
  });
  return `${nodesUrl}/freeswitch/xml?${query.toString()}`;
}

/** What has to be free before anything starts, and which setting moves it. */
export function portsOf(options: StartOptions, plans: NodePlan[]): { port: number; use: string; setting: string }[] {
  const nodePorts = plans.flatMap((plan) => {
    const ports: [number, string][] =
      plan.kind === 'real'
        ? [
            [plan.sipPort, 'SIP'],
            [plan.internodePort, 'calls between nodes'],
            [plan.wsPort, 'WebSocket'],
            [plan.eslPort, 'Event Socket'],
          ]
        : [[plan.eslPort, 'Event Socket']];
    return ports.map(([port, use]) => ({
      port,
      use: `${use} of ${plan.name}`,
      setting: 'NODE_PORT_BASE or --node-port-base',
    }));
  });
  return [
    { port: options.httpPort, use: 'Switchyard itself', setting: 'HTTP_PORT or --http-port' },
    ...(options.operationsPort
      ? [{ port: options.operationsPort, use: 'operations', setting: 'OPERATIONS_PORT or --operations-port' }]
      : []),
    ...(options.nodesPort ? [{ port: options.nodesPort, use: 'the doors of nodes', setting: 'NODES_PORT' }] : []),
    ...nodePorts,
    ...(options.postgresPort && !options.databaseUrl
      ? [{ port: options.postgresPort, use: 'Postgres', setting: 'POSTGRES_PORT' }]
      : []),
    ...(options.redisPort && !options.redisUrl
      ? [{ port: options.redisPort, use: 'Redis', setting: 'REDIS_PORT' }]
      : []),
  ];
}
