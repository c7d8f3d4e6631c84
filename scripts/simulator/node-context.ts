/** What all parts of one simulated node share: who it is, its channels, its timers, and the way its events go out. */
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Logger } from '../../src/infra/logger';
import type { Element } from '../../src/freeswitch/xml/document';
import type { AcceptCall } from './channels/call-types';
import { floorLists, readNetworkLists, type NetworkLists } from './acl';
import { createDisk, type Disk } from './disk';
import type { Channel } from './channels/channel';
import { bindingsOf, sentFields } from './sent-fields';
import { post, readAnswer } from './xml-client';

export type EventBody = Record<string, string>;

/** All other modules ask without params, and so without saying which process they are of (switch_xml_open_cfg). */
const ASKED_WITH_PARAMS: ReadonlySet<string> = new Set(['conference.conf', 'sofia.conf']);

/** An Event Socket client that listens. */
export interface Listener {
  wants(name: string, subclass: string | undefined): boolean;
  deliver(json: string): void;
}

/** What can be wrong with a node, on demand. */
export interface FaultState {
  frozen: boolean;
  heartbeatsSilent: boolean;
  replyDelayMs: number;
  /** How many of the next originates are refused, and with what. */
  refusals: number;
  refusalCause: string;
  /** How many of the next commands that change something are answered +OK and not carried out. */
  lostCommands: number;
  lostPattern: RegExp;
  /** Nothing can be written any more. */
  diskFull: boolean;
  /** Files that are recorded stay as large as they are. */
  recordingsStalled: boolean;
  /** The program curl is not installed. */
  withoutCurl: boolean;
  /** As if they had been left out of modules.conf.xml. */
  missingModules: ReadonlySet<string>;
  /** Rooms mix nothing: everybody hears silence. */
  audioMuted: boolean;
  /** Commands to rooms are taken, and never answered: a mixer holds its lock. */
  conferencesStuck: boolean;
}

const XML_TIMEOUT_MS = 5000;

const configurationQuestion = (name: string): Record<string, string> => ({
  section: 'configuration',
  tag_name: 'configuration',
  key_name: 'name',
  key_value: name,
});

export interface NodeIdentity {
  name: string;
  host: string;
  sipPort: number;
  internodePort: number;
  /** Where it asks for its configuration, and with which password. */
  xmlUrl: string;
  password: string;
  clock: () => number;
  logger: Logger;
  disk?: Disk;
}

export class NodeContext {
  readonly channels = new Map<string, Channel>();
  readonly listeners = new Set<Listener>();
  readonly faults: FaultState = {
    frozen: false,
    heartbeatsSilent: false,
    replyDelayMs: 0,
    refusals: 0,
    refusalCause: 'NORMAL_TEMPORARY_FAILURE',
    lostCommands: 0,
    lostPattern: /^/,
    diskFull: false,
    recordingsStalled: false,
    withoutCurl: false,
    missingModules: new Set(),
    audioMuted: false,
    conferencesStuck: false,
  };
  /** Connections it made itself: they end with it. */
  readonly sockets = new Set<Socket>();
  /** What a fault of FreeSWITCH's own does: the process is gone. Set by the node. */
  crash: (why: string) => void = () => undefined;
  /** FreeSWITCH reads its machine's clock at its start, and when it is told to. Set by the node. */
  readMachineClock: () => void = () => undefined;
  /** It was told to, and does so when its last channel has ended. */
  readsClockWhenIdle = false;
  readonly coreUuid: string = randomUUID();
  readonly startedMs: number;
  readonly maxSessions = 1000;
  readonly sessionsPerSecond = 300;
  sessionsSinceStart = 0;
  sessionPeak = 0;
  isOver = false;
  /** From acl.conf; what is on disk where nobody answers. */
  networkLists: NetworkLists = floorLists();
  /** Phones and browsers are told 503 whatever they begin. */
  isStandby = false;
  questionTimeoutMs = XML_TIMEOUT_MS;
  /** Where its records go; from json_cdr.conf. */
  cdr?: { url: string; credentials: string; encode: boolean };
  /** How another node of this process hands a call in, and takes it back. Set by the calls of this node. */
  acceptCall?: (o: AcceptCall) => Channel | undefined;
  hangup?: (channel: Channel, cause: string) => void;
  #sequence = 0;
  readonly #timers = new Set<NodeJS.Timeout>();
  #whenThawed: (() => void)[] = [];
  #answering = 0;
  #behindAnswers: (() => void)[] = [];

  readonly name: string;
  readonly host: string;
  readonly sipPort: number;
  readonly internodePort: number;
  readonly xmlUrl: string;
  readonly password: string;
  readonly clock: () => number;
  readonly logger: Logger;
  readonly disk: Disk;

  constructor(o: NodeIdentity) {
    this.name = o.name;
    this.host = o.host;
    this.sipPort = o.sipPort;
    this.internodePort = o.internodePort;
    this.xmlUrl = o.xmlUrl;
    this.password = o.password;
    this.clock = o.clock;
    this.logger = o.logger;
    this.disk = o.disk ?? createDisk();
    this.startedMs = o.clock();
  }

  removeChannel(uuid: string): void {
    this.channels.delete(uuid);
    if (this.channels.size > 0 || !this.readsClockWhenIdle) return;
    this.readsClockWhenIdle = false;
    this.readMachineClock();
  }

  /** A file's or stream's format is its module's: mod_av brings mp4 and rtmp, mod_sndfile wav. */
  hasFormatOf(path: string): boolean {
    return !this.faults.missingModules.has(path.endsWith('.wav') ? 'mod_sndfile' : 'mod_av');
  }

  nowUs(): number {
    return this.clock() * 1000;
  }

  /** A timer that ends with the node, and waits while it is frozen. */
  later(ms: number, run: () => void): () => void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.isOver) return;
      if (this.faults.frozen) this.#whenThawed.push(run);
      else run();
    }, ms);
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
    };
  }

  /** Runs now, or after the thaw. */
  whenAwake(run: () => void): void {
    if (this.faults.frozen) this.#whenThawed.push(run);
    else if (!this.isOver) run();
  }

  thaw(): void {
    this.faults.frozen = false;
    const waiting = this.#whenThawed;
    this.#whenThawed = [];
    for (const run of waiting) if (!this.isOver) run();
  }

  end(): void {
    this.isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#whenThawed = [];
    for (const socket of this.sockets) socket.destroy();
  }

  /** While a command runs, what it causes is told behind its answer: one thread of FreeSWITCH writes both. */
  answerFirst<T>(run: () => T): T {
    this.#answering += 1;
    try {
      return run();
    } finally {
      setImmediate(() => {
        this.#answering -= 1;
        if (this.#answering === 0) for (const tell of this.#behindAnswers.splice(0)) tell();
      });
    }
  }

  /** Tells now, or behind the answers that are under way. */
  tell(run: () => void): void {
    if (this.#answering > 0) this.#behindAnswers.push(run);
    else run();
  }

  /** The headers every event and every question begins with. */
  stamp(name: string, file: string, fn: string): EventBody {
    const nowMs = this.clock();
    const date = new Date(nowMs);
    return {
      'Event-Name': name,
      'Core-UUID': this.coreUuid,
      'FreeSWITCH-Hostname': this.name,
      'FreeSWITCH-Switchname': this.name,
      'FreeSWITCH-IPv4': this.host,
      'FreeSWITCH-IPv6': '::1',
      'Event-Date-Local': date.toISOString().slice(0, 19).replace('T', ' '),
      'Event-Date-GMT': date.toUTCString(),
      'Event-Date-Timestamp': String(Math.floor(nowMs * 1000)),
      'Event-Calling-File': file,
      'Event-Calling-Function': fn,
      'Event-Calling-Line-Number': '1',
      'Event-Sequence': String(++this.#sequence),
    };
  }

  /** Builds an event only where somebody listens. */
  emit(name: string, file: string, fn: string, body: () => EventBody, subclass?: string): void {
    if (this.isOver || this.faults.frozen) return;
    let json: string | undefined;
    for (const listener of this.listeners) {
      if (!listener.wants(name, subclass)) continue;
      if (json === undefined) {
        const head: EventBody = subclass === undefined ? {} : { 'Event-Subclass': subclass };
        json = JSON.stringify({ ...head, ...this.stamp(name, file, fn), ...body() });
      }
      const text = json;
      this.tell(() => listener.deliver(text));
    }
  }

  emitChannel(name: string, channel: Channel, extra: EventBody = {}): void {
    this.emit(name, 'switch_channel.c', 'switch_channel_perform', () => ({
      ...extra,
      ...(channel.cause === undefined ? {} : { 'Hangup-Cause': channel.cause }),
      ...channel.headers(),
    }));
  }

  /**
   * Each binding of the section in turn, until one has something to say (switch_xml_locate).
   * @returns the answer's section; undefined where both say "not found" or nobody answered
   */
  async ask(fields: Record<string, string>): Promise<Element | undefined> {
    return (await this.askInTurn(fields))?.section;
  }

  private async askInTurn(fields: Record<string, string>): Promise<{ section: Element; body: string } | undefined> {
    for (const binding of bindingsOf(fields.section ?? '')) {
      const answer = await this.askRaw(sentFields(binding, fields));
      const section = answer.status === 200 ? readAnswer(answer.body) : undefined;
      if (section) return { section, body: answer.body };
      if (this.isOver) return undefined;
    }
    return undefined;
  }

  askRaw(fields: Record<string, string>): Promise<{ status: number; body: string }> {
    return post({
      url: this.xmlUrl,
      name: this.name,
      password: this.password,
      body: new URLSearchParams({ hostname: this.name, ...fields }).toString(),
      contentType: 'application/x-www-form-urlencoded',
      userAgent: 'freeswitch-xml/1.0',
      timeoutMs: this.questionTimeoutMs,
    });
  }

  /**
   * The phone of this channel sends nothing more. After the time that the channel says, its node gives it up.
   * @returns what stops that
   */
  fallSilent(channel: Channel): () => void {
    const isHeld = channel.callState === 'HELD';
    const ms = Number(channel.variables.get(isHeld ? 'media_hold_timeout_audio' : 'media_timeout_audio') ?? '0');
    if (!(ms > 0)) return () => undefined;
    const stop = this.later(ms, () => this.hangup?.(channel, 'MEDIA_TIMEOUT'));
    channel.onEnd.push(stop);
    return stop;
  }

  async loadNetworkLists(): Promise<void> {
    this.networkLists = new Map(); // thrown away before it asks
    const section = await this.configuration('acl.conf');
    this.networkLists = section ? readNetworkLists(section) : floorLists();
  }

  /** The answer to a question for a configuration, as text. */
  async locate(name: string): Promise<string | undefined> {
    return (await this.askInTurn(configurationQuestion(name)))?.body;
  }

  configuration(name: string, fields: Record<string, string> = {}): Promise<Element | undefined> {
    return this.ask({
      ...configurationQuestion(name),
      ...(ASKED_WITH_PARAMS.has(name) ? this.stamp('REQUEST_PARAMS', 'switch_xml.c', 'switch_xml_open_cfg') : {}),
      ...fields,
    });
  }

  directory(domain: string, fn: string, fields: Record<string, string>): Promise<Element | undefined> {
    return this.ask({
      section: 'directory',
      tag_name: 'domain',
      key_name: 'name',
      key_value: domain,
      ...this.stamp('REQUEST_PARAMS', 'mod_sofia.c', fn),
      ...fields,
    });
  }
}
