/** One simulated media node: boots as a real one does, serves its Event Socket, takes phones, and fails on demand. */
import type { Logger } from '../../src/infra/logger';
import { createApi, heartbeat } from './event-socket/api-commands';
import { createCalls } from './channels/calls';
import { NodeContext } from './node-context';
import { openEventSocket, type EventSocket } from './event-socket/event-socket';
import { createDisk, type Disk } from './disk';
import {
  createGuest,
  dialFrom,
  identityOf,
  type DialExtras,
  type DialledCall,
  type GuestOptions,
  type SimulatedGuest,
} from './channels/dialling';
import { createPlans } from './channels/plan';
import { createRegistrar, type PhoneOptions, type Registration } from './phones/registrar';
import { type PhoneBehaviour } from './phones/phone-behaviour';
import { createRooms } from './conference/rooms';
import { loadPhoneProfile } from './phones/sip-profile';
import { openWebSocketPort, type WebSocketPort } from './phones/web-socket';
import { child, pairs } from './xml-client';
import { registerNode, unregisterNode } from './node-registry';

export type { DialExtras, DialledCall, GuestOptions, SimulatedGuest } from './channels/dialling';
export type { PhoneOptions } from './phones/registrar';
export type { PhoneBehaviour } from './phones/phone-behaviour';

export interface SimulatedNodeOptions {
  name: string;
  /** Where it asks; the query tells host and ports, as a real node's does. */
  xmlUrl: string;
  /** The secret it was enrolled with; a real node does not enrol by itself either. */
  password: string;
  /** Instead of the port event_socket.conf names. */
  eslPort?: number;
  heartbeatMs: number;
  logger: Logger;
  /** Milliseconds since 1970. */
  clock?: () => number;
  /** By how much its machine's clock is ahead; negative: behind. */
  clockOffsetMs?: number;
  /** What its modules.conf.xml leaves out: mod_av … */
  withoutModules?: readonly string[];
  /** How long it waits for an answer before it asks once more; as in xml_curl.conf.xml where it is left out. */
  questionTimeoutMs?: number;
  /** How long it asks for its configuration before it gives up. A real node asks once. */
  bootTimeoutMs?: number;
}

export interface SimulatedPhone {
  readonly id: string;
  readonly username: string;
  readonly domain: string;
  /** Where it is in the call it dialled itself. */
  dial(number: string, options?: DialExtras): DialledCall;
  behave(behaviour: PhoneBehaviour): void;
  /** Registers again. @returns the SIP status */
  refresh(expiresSeconds?: number): Promise<number>;
  unregister(): void;
  /** Registers from another socket, with the same Call-ID. @returns what closes the one it had */
  moveSocket(): Promise<() => void>;
  closeSocket(): void;
}

export interface Faults {
  /** Sockets stay open, nothing is answered, nothing is told: SIGSTOP. */
  freeze(): void;
  thaw(): void;
  /** Cuts the Event Socket connections. */
  drop(): void;
  /** The next `count` originates end with `cause`. */
  refuse(count: number, cause?: string): void;
  delayReplies(ms: number): void;
  silenceHeartbeats(silent?: boolean): void;
  /** The next `count` commands that would change something (and match) are answered +OK, and nothing is done. */
  loseCommands(count: number, matching?: RegExp): void;
  /** Nothing can be written: recordings don't start, and those that run end. */
  fillDisk(full?: boolean): void;
  /** Files that are recorded stop growing, and nobody is told. */
  stallRecordings(stalled?: boolean): void;
  /** Takes the program curl away, as on many images. */
  removeCurl(removed?: boolean): void;
  /** Unloads them, and loads all others again; a node that is started again has what its modules.conf.xml says. */
  unloadModules(names: readonly string[]): void;
  /** Rooms mix nothing but silence. */
  muteAudio(muted?: boolean): void;
  /** Commands to rooms are never answered. */
  stickConferences(stuck?: boolean): void;
  /** Sets its machine's clock so far ahead. FreeSWITCH goes on as it was, until it is told to read it (`fsctl sync_clock`). */
  setMachineClock(offsetMs: number): void;
  /** Takes the port for browsers away, or gives it back. */
  closeWebSocket(closed?: boolean): Promise<void>;
}

export interface SimulatedNode {
  readonly name: string;
  readonly eslPort: number;
  readonly eslPassword: string;
  readonly coreUuid: string;
  readonly channelCount: number;
  readonly isRunning: boolean;
  readonly faults: Faults;
  /** @throws Error naming the SIP status where the directory does not let it in */
  registerPhone(o: PhoneOptions): Promise<SimulatedPhone>;
  /** Somebody who only dials, with the credentials of a grant: an INVITE is their first word. */
  addGuest(o: GuestOptions): SimulatedGuest;
  phones(): { id: string; username: string; domain: string }[];
  /** Its rooms: names and who is in them. */
  rooms(): { name: string; channelIds: string[] }[];
  /** Its own folder; what it recorded is there also after kill(). */
  readonly folder: string;
  /** Ports closed, calls gone, no event told: kill -9. */
  kill(): Promise<void>;
  /** Takes the folder away; after kill(). */
  discard(): void;
  /** After kill: the same node with a new Core-UUID and nothing in it. */
  restart(): Promise<void>;
}

/** What its process does not take along. */
interface Machine {
  clockOffsetMs: number;
}

/** What is alive between a start and a kill. */
interface Life {
  node: NodeContext;
  socket: EventSocket;
  password: string;
  registrar: ReturnType<typeof createRegistrar>;
  calls: ReturnType<typeof createCalls>;
  rooms: ReturnType<typeof createRooms>;
  beat: NodeJS.Timeout;
  wsPort: number;
  /** Where the node has a port for browsers beside its Event Socket. */
  webSocket?: WebSocketPort;
}

const BOOT_TIMEOUT_MS = 15_000;
const BOOT_PAUSE_MS = 250;

/** @throws Error where Switchyard gives it no Event Socket configuration in time, or the port is taken */
export async function startSimulatedNode(o: SimulatedNodeOptions): Promise<SimulatedNode> {
  const disk = createDisk();
  const machine: Machine = { clockOffsetMs: o.clockOffsetMs ?? 0 };
  let life: Life | undefined = await boot(o, disk, machine, []);
  /** A real node's registrations are in a database of its own, and outlive it. */
  let kept: Registration[] = [];
  const kill = async (): Promise<void> => {
    const ending = life;
    life = undefined;
    if (!ending) return;
    kept = ending.registrar.all();
    clearInterval(ending.beat);
    ending.node.end();
    unregisterNode(ending.node);
    await Promise.all([ending.socket.close(), ending.webSocket?.close()]);
  };
  const watchCrash = (): void => {
    const { node } = alive();
    node.crash = (why) => {
      o.logger.warn({ node: o.name, why }, 'a simulated node crashed, as a real one does');
      void kill();
    };
  };
  const alive = (): Life => {
    if (!life) throw new Error(`${o.name} is not running`);
    return life;
  };
  watchCrash();
  return {
    name: o.name,
    get eslPort() {
      return alive().socket.port;
    },
    get eslPassword() {
      return alive().password;
    },
    get coreUuid() {
      return alive().node.coreUuid;
    },
    get channelCount() {
      return life?.node.channels.size ?? 0;
    },
    get isRunning() {
      return life !== undefined;
    },
    faults: createFaults(alive, machine),
    addGuest: (options) => createGuest(alive, options),
    rooms: () =>
      [...alive().rooms.byName.values()].map((r) => ({
        name: r.name,
        channelIds: r.members.map((m) => m.channel.uuid),
      })),
    get folder() {
      return disk.folder;
    },
    discard: () => disk.remove(),
    phones: () =>
      alive()
        .registrar.all()
        .map(({ id, username, domain }) => ({ id, username, domain })),
    async registerPhone(options) {
      const made = await alive().registrar.register(options);
      if (typeof made === 'number') throw new Error(`REGISTER of ${options.username}@${options.domain} got ${made}`);
      return phoneOf(alive, options, made);
    },
    kill,
    async restart() {
      if (life) return;
      life = await boot(o, disk, machine, kept);
      watchCrash();
    },
  };
}

async function boot(
  o: SimulatedNodeOptions,
  disk: Disk,
  machine: Machine,
  kept: readonly Registration[],
): Promise<Life> {
  const query = new URL(o.xmlUrl).searchParams;
  const port = (name: string): number => Number(query.get(name)) || 0;
  const host = query.get('host') ?? '127.0.0.1';
  const rightClock = o.clock ?? Date.now;
  let offsetMs = machine.clockOffsetMs;
  const clock = (): number => rightClock() + offsetMs;
  const node = new NodeContext({
    ...{ name: o.name, host, sipPort: port('sip'), internodePort: port('internode') },
    ...{ xmlUrl: o.xmlUrl, password: o.password, clock, logger: o.logger, disk },
  });
  node.readMachineClock = () => void (offsetMs = machine.clockOffsetMs);
  node.faults.missingModules = new Set(o.withoutModules);
  node.questionTimeoutMs = o.questionTimeoutMs ?? node.questionTimeoutMs;
  const settings = await askUntil(node, o.bootTimeoutMs ?? BOOT_TIMEOUT_MS);
  await node.loadNetworkLists();
  await readCdrSettings(node);
  const registrar = createRegistrar(node, kept);
  const calls = createCalls(node, registrar);
  const rooms = createRooms(node, calls);
  const api = createApi({ node, calls, registrar, rooms, plans: () => plans });
  const plans = createPlans(node, calls, rooms, api.runNow);
  const eslPort = o.eslPort ?? (Number(settings['listen-port']) || 8021);
  const password = settings.password ?? 'ClueCon';
  const acl = settings['apply-inbound-acl'] ?? '127.0.0.0/8';
  const socket = await openEventSocket(node, api, host, eslPort, { password, acl });
  const wsPort = port('ws');
  const webSocket = wsPort > 0 && wsPort !== eslPort ? await openWebSocketPort(node, host, wsPort) : undefined;
  registerNode(node);
  // Planned by its time of day: where the clock is set back, none comes until it is as late again.
  let dueMs = node.clock();
  const beat = setInterval(() => {
    if (node.clock() < dueMs) return;
    dueMs = node.clock() + o.heartbeatMs / 2;
    heartbeat(node);
  }, o.heartbeatMs);
  return { node, socket, password, registrar, calls, rooms, beat, wsPort, webSocket };
}

/** In the order in which a real node's modules load: the Event Socket's comes last. */
async function askUntil(node: NodeContext, timeoutMs: number): Promise<Record<string, string>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    await node.configuration('conference.conf', { presence: 'true' });
    loadPhoneProfile(node, await node.configuration('sofia.conf'));
    for (const profile of ['internal', 'internode'])
      await node.directory('', 'config_sofia', { purpose: 'gateways', profile });
    const section = await node.configuration('event_socket.conf');
    const settings = pairs(child(child(section, 'configuration'), 'settings'), 'param');
    if (settings.password) return settings;
    if (Date.now() > deadline) throw new Error(`${node.name} was given no event_socket.conf`);
    await new Promise((done) => setTimeout(done, BOOT_PAUSE_MS));
  }
}

async function readCdrSettings(node: NodeContext): Promise<void> {
  const section = await node.configuration('json_cdr.conf');
  const s = pairs(child(child(section, 'configuration'), 'settings'), 'param');
  if (s.url) node.cdr = { url: s.url, credentials: s.cred ?? '', encode: s.encode === 'true' };
}

/** What a phone always does it does also in a call it dials; only how it takes calls is left out. */
function withHabits({ talks, video, digits, quality }: PhoneBehaviour, extra: DialExtras): DialExtras {
  return { talks, video, digits, quality, ...extra };
}

function createFaults(alive: () => Life, machine: Machine): Faults {
  return {
    setMachineClock: (offsetMs) => void (machine.clockOffsetMs = offsetMs),
    freeze() {
      alive().node.faults.frozen = true;
      alive().socket.freeze();
    },
    thaw() {
      alive().node.thaw();
      alive().socket.thaw();
    },
    drop: () => alive().socket.drop(),
    // What a node says of itself: NORMAL_TEMPORARY_FAILURE is only made of a SIP answer.
    refuse(count, cause = 'SWITCH_CONGESTION') {
      Object.assign(alive().node.faults, { refusals: count, refusalCause: cause });
    },
    delayReplies: (ms) => void (alive().node.faults.replyDelayMs = ms),
    silenceHeartbeats: (silent = true) => void (alive().node.faults.heartbeatsSilent = silent),
    loseCommands(count, matching = /^/) {
      Object.assign(alive().node.faults, { lostCommands: count, lostPattern: matching });
    },
    fillDisk: (full = true) => void (alive().node.faults.diskFull = full),
    removeCurl: (removed = true) => void (alive().node.faults.withoutCurl = removed),
    unloadModules: (names) => void (alive().node.faults.missingModules = new Set(names)),
    muteAudio: (muted = true) => void (alive().node.faults.audioMuted = muted),
    stickConferences: (stuck = true) => void (alive().node.faults.conferencesStuck = stuck),
    async closeWebSocket(closed = true) {
      const life = alive();
      await life.webSocket?.close();
      life.webSocket = closed ? undefined : await openWebSocketPort(life.node, life.node.host, life.wsPort);
    },
    stallRecordings: (stalled = true) => void (alive().node.faults.recordingsStalled = stalled),
  };
}

function phoneOf(alive: () => Life, options: PhoneOptions, made: Registration): SimulatedPhone {
  let current = made;
  return {
    id: made.id,
    username: options.username,
    domain: options.domain,
    dial: (number, extra = {}) => dialFrom(alive(), identityOf(current), number, withHabits(current.behaviour, extra)),
    behave: (behaviour) => {
      current.behaviour = behaviour;
    },
    async refresh(expiresSeconds) {
      const again = await alive().registrar.register(
        { ...options, behaviour: current.behaviour, expiresSeconds },
        current,
      );
      if (typeof again === 'number') return again;
      current = again;
      return 200;
    },
    unregister: () => alive().registrar.unregister(current, 'unregister'),
    async moveSocket() {
      const old = current;
      const { behaviour } = old;
      const again = await alive().registrar.register({ ...options, behaviour }, old, 'another');
      if (typeof again === 'number') throw new Error(`REGISTER of ${options.username} got ${again}`);
      current = again;
      return () => alive().registrar.closeSocket(old);
    },
    closeSocket: () => alive().registrar.closeSocket(current),
  };
}
