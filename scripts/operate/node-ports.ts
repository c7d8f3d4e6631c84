/** Gives each new node a name and ports that nothing else has: not start's nodes, not ours, not another program. */
import { isPortFree } from '../stores/ports';
import { StartFault } from '../project';
import type { NodePlan } from '../nodes/media-nodes';
import type { KeptNode } from './kept';

const PORTS_PER_NODE = 20;
const RTP_PORTS_PER_NODE = 1000;
const START_RTP_BASE = 16_384;
/** start's first four nodes end here; with more of them we begin later. */
const LEAST_RTP_BASE = 20_384;

/** `pool-1`, `pool-2` …: the lowest number that is free. */
export function nextName(taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) if (!taken.has(`pool-${number}`)) return `pool-${number}`;
}

/** The first of twenty ports of a node. */
function portsFrom(base: number): { sip: number; internode: number; ws: number; esl: number } {
  return { sip: base, internode: base + 2, ws: base + 6, esl: base + 8 };
}

/** @param startedNodes how many nodes a `start` on this machine has @throws StartFault where none are left */
export async function findPorts(
  kept: readonly KeptNode[],
  o: { portBase: number; startedNodes: number; host: string },
): Promise<{ portBase: number; rtpFrom: number }> {
  const bases = new Set(kept.map((node) => node.portBase));
  const media = new Set(kept.map((node) => node.rtpFrom));
  const rtpBase = Math.max(LEAST_RTP_BASE, START_RTP_BASE + o.startedNodes * RTP_PORTS_PER_NODE);
  let rtpFrom = rtpBase;
  while (media.has(rtpFrom)) rtpFrom += RTP_PORTS_PER_NODE;
  if (rtpFrom + RTP_PORTS_PER_NODE > 65_536) throw new StartFault('No media ports are left on this machine.');
  for (let base = o.portBase; base + PORTS_PER_NODE < 65_536; base += PORTS_PER_NODE) {
    if (bases.has(base)) continue;
    const free = await Promise.all(Object.values(portsFrom(base)).map((port) => isPortFree(port, o.host)));
    if (free.every(Boolean)) return { portBase: base, rtpFrom };
  }
  throw new StartFault(`No ports are left from ${o.portBase} on: choose another --port-base.`);
}

/** The node as `start` would plan one. */
export function planOf(node: KeptNode, host: string, publicHost?: string): NodePlan {
  const ports = portsFrom(node.portBase ?? 0);
  const rtpFrom = node.rtpFrom ?? LEAST_RTP_BASE;
  return {
    name: node.name,
    kind: node.kind,
    host,
    ...(publicHost === undefined ? {} : { publicHost }),
    sipPort: ports.sip,
    internodePort: ports.internode,
    wsPort: ports.ws,
    eslPort: ports.esl,
    rtpFrom,
    rtpTo: rtpFrom + RTP_PORTS_PER_NODE - 1,
    wsUrl: `ws://${publicHost ?? host}:${ports.ws}`,
  };
}
