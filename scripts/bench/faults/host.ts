/** The process of some simulated nodes: each with phones, a gate for each of its two ways, a tap, and faults on order. */
import { createLogger } from '../../../src/infra/logger';
import { startSimulatedNode, type PhoneBehaviour, type SimulatedNode, type SimulatedPhone } from '../../simulator/node';
import { enrolNode } from '../../nodes/enrol';
import { openGate, type Gate } from './injecting/gate';
import { serveOrders } from './orders';
import { createRandom, type Random } from './random';
import { openTap, type Tap } from './injecting/taps';

export interface NodePlan {
  name: string;
  zone: string;
  /** The Event Socket as Switchyard reaches it, and the one behind the gate. */
  gatePort: number;
  eslPort: number;
  sipPort: number;
  capacity: number;
}

export interface PhonePlan {
  node: string;
  username: string;
  domain: string;
  password: string;
  /** Always answers, at once, and never hangs up; else it has its moods. */
  steady?: boolean;
}

export type NodeFault =
  'kill' | 'restart' | 'freeze' | 'thaw' | 'drop' | 'cut' | 'heal' | 'heal_reset' | 'slow' | 'fast' | 'refuse' | 'lose';

interface Place {
  node: SimulatedNode;
  eslGate: Gate;
  xmlGate: Gate;
  tap: Tap;
  frozen: boolean;
}

interface Kept extends PhonePlan {
  phone?: SimulatedPhone;
  refreshedMs: number;
}

const REFRESH_EVERY_MS = 60_000;
const LOOK_EVERY_MS = 500;
const EXPIRES_SECONDS = 240;

const logger = createLogger(process.env.LOG_LEVEL ?? 'error');
const places = new Map<string, Place>();
const phones = new Map<string, Kept>();
let random: Random;

/** Each ring is another mood: the getters are read once for each. */
function moods(): PhoneBehaviour {
  return {
    get busy() {
      return random.chance(3);
    },
    get reject() {
      return random.chance(3);
    },
    get ringOnly() {
      return random.chance(6);
    },
    get answerAfterMs() {
      return random.int(30, 1500);
    },
    get hangupAfterMs() {
      return random.chance(15) ? random.int(20_000, 60_000) : random.int(500, 8000);
    },
  };
}

async function start(o: {
  nodes: NodePlan[];
  apiPorts: number[];
  joinToken: string;
  heartbeatMs: number;
  questionTimeoutMs?: number;
  seed: number;
}): Promise<void> {
  random = createRandom(o.seed);
  let turn = 0;
  const replicas = (): number[] => {
    turn += 1;
    return o.apiPorts.map((_, i) => o.apiPorts[(turn + i) % o.apiPorts.length]!);
  };
  for (const plan of o.nodes) {
    const { name, gatePort, eslPort, sipPort, zone, capacity } = plan;
    const eslGate = await openGate(gatePort, () => [eslPort]);
    const xmlGate = await openGate(0, replicas);
    const query = `host=127.0.0.1&esl=${gatePort}&sip=${sipPort}&internode=${sipPort}&ws=${sipPort}&zone=${zone}&capacity=${capacity}`;
    const xmlUrl = `http://127.0.0.1:${xmlGate.port}/freeswitch/xml?${query}`;
    const password = `${name}-secret-of-this-node`;
    // At one replica after the other, which then follows it; through the gate it would be the same one for all.
    const at = o.apiPorts[places.size % o.apiPorts.length]!;
    const asked = { name, xmlUrl: `http://127.0.0.1:${at}/freeswitch/xml?${query}`, secret: password };
    await enrolNode(asked, o.joinToken);
    const { heartbeatMs, questionTimeoutMs } = o;
    const own = { name, xmlUrl, password, eslPort };
    const node = await startSimulatedNode({ ...own, heartbeatMs, questionTimeoutMs, logger });
    const tap = openTap({ node: name, port: eslPort, password: () => node.eslPassword, logger });
    places.set(name, { node, eslGate, xmlGate, tap, frozen: false });
  }
  setInterval(() => void keepPhones(), LOOK_EVERY_MS);
}

let keeping = false;
/** Phones come back to a node that was started again, and refresh now and then. */
async function keepPhones(): Promise<void> {
  if (keeping) return;
  keeping = true;
  for (const [index, kept] of [...phones.values()].entries()) {
    const place = places.get(kept.node);
    if (!place?.node.isRunning) {
      kept.phone = undefined;
      continue;
    }
    if (place.frozen || (kept.phone && Date.now() - kept.refreshedMs < REFRESH_EVERY_MS)) continue;
    if (kept.phone) {
      if ((await kept.phone.refresh(EXPIRES_SECONDS).catch(() => 0)) === 200) kept.refreshedMs = Date.now();
      else kept.refreshedMs += 5000;
      continue;
    }
    const { username, domain, password, steady } = kept;
    const behaviour = steady ? { answerAfterMs: 50 } : moods();
    // It lived through its node's death: it comes back with the socket that it had.
    const socket = { host: `127.2.${Math.floor(index / 250)}.${(index % 250) + 1}`, port: 5060 };
    const options = { username, domain, password, expiresSeconds: EXPIRES_SECONDS, behaviour, socket };
    kept.phone = await place.node.registerPhone(options).catch(() => undefined);
    kept.refreshedMs = Date.now();
  }
  keeping = false;
}

async function fault({
  node: name,
  fault: what,
  ms = 0,
  count = 1,
}: {
  node: string;
  fault: NodeFault;
  ms?: number;
  count?: number;
}): Promise<void> {
  const place = places.get(name);
  if (!place) throw new Error(`no node ${name}`);
  const { node, eslGate, xmlGate, tap } = place;
  switch (what) {
    case 'kill':
      await node.kill();
      tap.nodeDied();
      await Promise.all([eslGate.shut(), xmlGate.shut()]);
      place.frozen = false;
      return;
    case 'restart':
      await xmlGate.open();
      if (!node.isRunning) await node.restart();
      return eslGate.open();
    case 'cut':
      eslGate.cut();
      return xmlGate.cut();
    case 'heal':
    case 'heal_reset':
      eslGate.heal(what === 'heal_reset');
      return xmlGate.heal(what === 'heal_reset');
    case 'drop':
      return eslGate.reset();
  }
  if (!node.isRunning) return;
  switch (what) {
    case 'freeze':
      place.frozen = true;
      return node.faults.freeze();
    case 'thaw':
      place.frozen = false;
      return node.faults.thaw();
    case 'slow':
    case 'fast':
      return node.faults.delayReplies(what === 'slow' ? ms : 0);
    case 'refuse':
      return node.faults.refuse(count, random.pick(['SWITCH_CONGESTION', 'NORMAL_TEMPORARY_FAILURE', 'MAX_CALLS']));
    case 'lose':
      // An originate that is answered +OK has made its channel on every FreeSWITCH: that one is never lost.
      return node.faults.loseCommands(count, /^(?!originate)/);
  }
}

serveOrders({
  start,
  fault,
  async addPhones(list: PhonePlan[]) {
    for (const plan of list) phones.set(plan.username, { ...plan, refreshedMs: 0 });
    await keepPhones();
  },
  dial(o: { username: string; number: string; hangupAfterMs: number }) {
    const phone = phones.get(o.username)?.phone;
    const node = phone && places.get(phones.get(o.username)!.node)!;
    if (!phone || !node?.node.isRunning || node.frozen) return undefined;
    return phone.dial(o.number, { hangupAfterMs: o.hangupAfterMs }).channelId;
  },
  registered: () => [...phones.values()].filter((p) => p.phone).map((p) => p.username),
  describe: () =>
    [...places].map(([name, { node }]) => ({
      name,
      isRunning: node.isRunning,
      eslPassword: node.isRunning ? node.eslPassword : '',
    })),
  rings: () => [...places.values()].flatMap(({ tap }) => tap.rings),
});
