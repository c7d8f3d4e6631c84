/** One simulated media node: boots as a real one does, serves its Event Socket, takes phones, and fails on demand. */
import type { Logger } from '../infra/logger';
import { createApi, heartbeat } from './api-commands';
import { createCalls } from './calls';
import { NodeCore } from './core';
import { openEventSocket, type EventSocket } from './event-socket';
import { createPlans } from './plan';
import { createRegistrar, type PhoneBehaviour, type PhoneOptions, type Registration } from './registrar';
import { child, pairs } from './xml-client';
import { enterYard, leaveYard } from './yard';

export type { PhoneBehaviour, PhoneOptions } from './registrar';

export interface SimulatedNodeOptions {
  name: string;
  /** Where it asks; the query tells host and ports, as a real node's does. */
  xmlUrl: string;
  /** `<join token>.<secret of this node>` */
  password: string;
  /** Instead of the port event_socket.conf names. */
  eslPort?: number;
  heartbeatMs: number;
  logger: Logger;
  /** Milliseconds since 1970. */
  clock?: () => number;
  /** How long it asks for its configuration before it gives up. A real node asks once. */
  bootTimeoutMs?: number;
}

export interface SimulatedPhone {
  readonly id: string;
  readonly username: string;
  readonly domain: string;
  /** Where it is in the call it dialled itself. */
  dial(number: string, options?: { callerName?: string; hangupAfterMs?: number }): DialledCall;
  behave(behaviour: PhoneBehaviour): void;
  /** Registers again. @returns the SIP status */
  refresh(expiresSeconds?: number): Promise<number>;
  unregister(): void;
}

export interface DialledCall {
  /** The channel's uuid; undefined where the node is gone. */
  readonly legId: string | undefined;
  readonly answered: Promise<boolean>;
  readonly ended: Promise<string>;
  hangup(): void;
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
  phones(): { id: string; username: string; domain: string }[];
  /** Ports closed, calls gone, no event told: kill -9. */
  kill(): Promise<void>;
  /** After kill: the same node with a new Core-UUID and nothing in it. */
  restart(): Promise<void>;
}

/** What is alive between a start and a kill. */
interface Life {
  core: NodeCore;
  socket: EventSocket;
  password: string;
  registrar: ReturnType<typeof createRegistrar>;
  calls: ReturnType<typeof createCalls>;
  beat: NodeJS.Timeout;
}

const BOOT_TIMEOUT_MS = 15_000;
const BOOT_PAUSE_MS = 250;
/** Asked for by a real node's modules as they load. */
const OTHER_CONFIGURATIONS = ['acl.conf', 'sofia.conf'];

/** @throws Error where Switchyard gives it no Event Socket configuration in time, or the port is taken */
export async function startSimulatedNode(o: SimulatedNodeOptions): Promise<SimulatedNode> {
  let life: Life | undefined = await boot(o);
  const alive = (): Life => {
    if (!life) throw new Error(`${o.name} is not running`);
    return life;
  };
  return {
    name: o.name,
    get eslPort() {
      return alive().socket.port;
    },
    get eslPassword() {
      return alive().password;
    },
    get coreUuid() {
      return alive().core.coreUuid;
    },
    get channelCount() {
      return life?.core.legs.size ?? 0;
    },
    get isRunning() {
      return life !== undefined;
    },
    faults: createFaults(alive),
    phones: () =>
      alive()
        .registrar.all()
        .map(({ id, username, domain }) => ({ id, username, domain })),
    async registerPhone(options) {
      const made = await alive().registrar.register(options);
      if (typeof made === 'number') throw new Error(`REGISTER of ${options.username}@${options.domain} got ${made}`);
      return phoneOf(alive, options, made);
    },
    async kill() {
      const ending = life;
      life = undefined;
      if (!ending) return;
      clearInterval(ending.beat);
      ending.core.end();
      leaveYard(ending.core);
      await ending.socket.close();
    },
    async restart() {
      if (!life) life = await boot(o);
    },
  };
}

async function boot(o: SimulatedNodeOptions): Promise<Life> {
  const query = new URL(o.xmlUrl).searchParams;
  const port = (name: string): number => Number(query.get(name)) || 0;
  const host = query.get('host') ?? '127.0.0.1';
  const clock = o.clock ?? Date.now;
  const core = new NodeCore(o.name, host, port('sip'), port('internode'), o.xmlUrl, o.password, clock, o.logger);
  const settings = await askUntil(core, o.bootTimeoutMs ?? BOOT_TIMEOUT_MS);
  for (const name of OTHER_CONFIGURATIONS) await core.configuration(name);
  await takeCdrSettings(core);
  for (const profile of ['internal', 'internode'])
    await core.directory('', 'config_sofia', { purpose: 'gateways', profile });
  const registrar = createRegistrar(core);
  const calls = createCalls(core, registrar);
  const api = createApi({ core, calls, registrar, plans: () => plans });
  const plans = createPlans(core, calls, api.runNow);
  const eslPort = o.eslPort ?? (Number(settings['listen-port']) || 8021);
  const password = settings.password ?? 'ClueCon';
  const socket = await openEventSocket(core, api, host, eslPort, password);
  enterYard(core);
  const beat = setInterval(() => heartbeat(core), o.heartbeatMs);
  return { core, socket, password, registrar, calls, beat };
}

async function askUntil(core: NodeCore, timeoutMs: number): Promise<Record<string, string>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const section = await core.configuration('event_socket.conf');
    const settings = pairs(child(child(section, 'configuration'), 'settings'), 'param');
    if (settings.password) return settings;
    if (Date.now() > deadline) throw new Error(`${core.name} was given no event_socket.conf`);
    await new Promise((done) => setTimeout(done, BOOT_PAUSE_MS));
  }
}

async function takeCdrSettings(core: NodeCore): Promise<void> {
  const section = await core.configuration('json_cdr.conf');
  const s = pairs(child(child(section, 'configuration'), 'settings'), 'param');
  if (s.url) core.cdr = { url: s.url, credentials: s.cred ?? '', encode: s.encode === 'true' };
}

function createFaults(alive: () => Life): Faults {
  return {
    freeze() {
      alive().core.faults.frozen = true;
      alive().socket.freeze();
    },
    thaw() {
      alive().core.thaw();
      alive().socket.thaw();
    },
    drop: () => alive().socket.drop(),
    refuse(count, cause = 'NORMAL_TEMPORARY_FAILURE') {
      Object.assign(alive().core.faults, { refusals: count, refusalCause: cause });
    },
    delayReplies: (ms) => void (alive().core.faults.replyDelayMs = ms),
    silenceHeartbeats: (silent = true) => void (alive().core.faults.heartbeatsSilent = silent),
  };
}

function phoneOf(alive: () => Life, options: PhoneOptions, made: Registration): SimulatedPhone {
  let current = made;
  return {
    id: made.id,
    username: options.username,
    domain: options.domain,
    dial: (number, extra = {}) => dialFrom(alive(), current, number, extra),
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
  };
}

function dialFrom(
  life: Life,
  phone: Registration,
  number: string,
  extra: { callerName?: string; hangupAfterMs?: number },
): DialledCall {
  let settleAnswer: (answered: boolean) => void = () => undefined;
  let settleEnd: (cause: string) => void = () => undefined;
  const answered = new Promise<boolean>((done) => (settleAnswer = done));
  const ended = new Promise<string>((done) => (settleEnd = done));
  const { core, calls } = life;
  const leg = calls.takeIn({
    profile: 'internal',
    context: 'users',
    destination: number,
    callerName: extra.callerName ?? phone.username,
    callerNumber: phone.username,
    variables: {
      sip_authorized: 'true',
      sip_auth_username: phone.username,
      sip_auth_realm: phone.domain,
      user_name: phone.username,
      domain_name: phone.domain,
      sip_from_user: phone.username,
      sip_from_host: phone.domain,
      sip_to_host: phone.domain,
      presence_id: `${phone.username}@${phone.domain}`,
      ...phone.variables,
    },
    far: {
      answered() {
        settleAnswer(true);
        if (extra.hangupAfterMs !== undefined)
          core.later(extra.hangupAfterMs, () => leg && calls.hangup(leg, 'NORMAL_CLEARING'));
      },
      ended(cause) {
        settleAnswer(false);
        settleEnd(cause);
      },
    },
  });
  return {
    legId: leg?.uuid,
    answered,
    ended,
    hangup: () => {
      if (leg) calls.hangup(leg, leg.answeredUs > 0 ? 'NORMAL_CLEARING' : 'ORIGINATOR_CANCEL');
    },
  };
}
