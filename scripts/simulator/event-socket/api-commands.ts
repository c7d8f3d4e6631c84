/** The commands a simulated node knows, with the very words a real one answers. */
import { randomUUID } from 'node:crypto';
import { hostAndPort } from '../../../src/address';
import { isAllowed } from '../acl';
import { NO_CHANNEL, onLeg, type Command, type NodeParts } from './api-command';
import type { NodeCore } from '../node-context';
import { splitWords } from '../channels/dial-string';
import type { Leg } from '../channels/channel';
import { MEDIA_COMMANDS } from '../media/media-commands';
import { profileXml } from '../phones/profile-list';
import { createRoomCommands } from '../conference/commands';
import { runInShell, SHELL_COMMANDS } from './spawn-stream';
import { rescanPhoneProfile } from '../phones/sip-profile';

const VERSION = '1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit';
const ORIGINATE_USAGE =
  '-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] [<timeout_sec>]\n';
const SHOW_USAGE =
  '-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|calls|detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|interfaces|interface_types|tasks|limits|status\n';
const DEFAULT_RING_SECONDS = 60;

export interface Api {
  run(line: string): Promise<string>;
  /** For `${…}` inside of plans: originate and the like can't be run there. */
  runNow(line: string): string;
}

/** A command that only asks is never lost. */
const ASKS =
  /^(show|status|version|echo|eval|global_getvar|uuid_(exists|dump|getvar)|conference( \S+)? (json_)?(list|count|get)\b)/;

export function createApi(parts: NodeParts): Api {
  const { core } = parts;
  const conference = createRoomCommands({
    core,
    rooms: parts.rooms,
    transfer: (m, application) =>
      core.later(1, () => void parts.plans().run(m.leg, [{ app: 'conference', data: application }])),
    dial: (_room, name, [target = '', callerNumber, callerName]) =>
      void originate(
        parts,
        `${target} &conference(${name}@default) XML default '${callerName ?? ''}' ${callerNumber ?? '0000000000'}`,
      ),
  });
  function runNow(line: string): string {
    const { name, rest } = named(line);
    const { faults } = core;
    if (faults.lostCommands > 0 && !ASKS.test(line) && faults.lostPattern.test(line)) {
      faults.lostCommands -= 1;
      return '+OK\n';
    }
    if (name === 'conference') return conference(rest);
    const command = COMMANDS[name] ?? MEDIA_COMMANDS[name];
    return command ? command(parts, rest) : `-ERR ${name} Command not found!\n`;
  }
  return {
    runNow,
    async run(line) {
      if (named(line).name === 'originate') return originate(parts, named(line).rest);
      if (core.faults.replyDelayMs > 0)
        await new Promise<void>((done) => void core.later(core.faults.replyDelayMs, done));
      const { name, rest } = named(line);
      if (name === 'conference' && core.faults.conferencesStuck) return new Promise<string>(() => undefined);
      if (SHELL_COMMANDS.has(name)) return runInShell(core, name, rest);
      if (name === 'xml_locate') return locate(core, rest);
      if (name === 'reloadacl') {
        await core.loadNetworkLists();
        return '+OK acl reloaded\n';
      }
      // It says so when it has read them.
      const rescanned = name === 'sofia' ? /^profile (\S+) rescan/.exec(rest)?.[1] : undefined;
      if (rescanned) await rescanPhoneProfile(core, rescanned);
      return core.answerFirst(() => runNow(line));
    },
  };
}

function named(line: string): { name: string; rest: string } {
  const at = line.indexOf(' ');
  return at < 0 ? { name: line, rest: '' } : { name: line.slice(0, at), rest: line.slice(at + 1).trim() };
}

/** What the node would be configured with, as it comes from Switchyard; what is on disk otherwise holds nothing of ours. */
async function locate(core: NodeCore, rest: string): Promise<string> {
  const [section, tag, attribute, name] = splitWords(rest);
  if (section !== 'configuration' || tag !== 'configuration' || attribute !== 'name' || !name) return '-ERR bad args\n';
  return (await core.locate(name)) ?? "can't find anything\n";
}

async function originate(parts: NodeParts, rest: string): Promise<string> {
  const { core, calls } = parts;
  const [dialString, destination, dialplan, context, callerName, callerNumber, seconds] = splitWords(rest);
  if (!dialString || !destination) return ORIGINATE_USAGE;
  if (core.faults.replyDelayMs > 0) await new Promise<void>((done) => void core.later(core.faults.replyDelayMs, done));
  if (core.faults.refusals > 0) {
    core.faults.refusals -= 1;
    return `-ERR ${core.faults.refusalCause}\n`;
  }
  const timeout = /(?:^|[{,])originate_timeout='?(\d+)/.exec(dialString)?.[1] ?? seconds;
  const result = await calls.dial({
    dialString,
    variables: {},
    timeoutSeconds: Number(timeout) || DEFAULT_RING_SECONDS,
    callerName: callerName ?? '',
    callerNumber: callerNumber ?? '0000000000',
  });
  if ('cause' in result) return `-ERR ${result.cause}\n`;
  const app = /^&(\w+)(?:\((.*)\))?$/s.exec(destination);
  if (app) core.later(1, () => void parts.plans().run(result.leg, [{ app: app[1]!, data: app[2] ?? '' }]));
  else core.later(1, () => parts.plans().transfer(result.leg, destination, (dialplan && context) || 'default'));
  return `+OK ${result.leg.uuid}\n`;
}

const listing = (rows: unknown[]): string =>
  rows.length === 0 ? '{"row_count": 0}\n' : JSON.stringify({ row_count: rows.length, rows });

/** Afterwards, so that the answer goes out before the events it causes. */
const soon = (parts: NodeParts, run: () => void): string => {
  parts.core.later(0, run);
  return '+OK\n';
};

const hold: Command = (parts, rest) => {
  const words = splitWords(rest);
  const off = words[0] === 'off';
  const leg = parts.core.legs.get(words[off || words[0] === 'toggle' ? 1 : 0] ?? '');
  if (leg && words[0] !== 'toggle' && off !== (leg.callState === 'HELD')) return '-ERR Operation failed\n'; // it is so already
  if (leg && leg.answeredUs > 0) {
    leg.callState = off ? 'UNHELD' : 'HELD';
    parts.core.emitLeg(off ? 'CHANNEL_UNHOLD' : 'CHANNEL_HOLD', leg);
    if (off) leg.callState = 'ACTIVE';
  }
  return '+OK Success\n'; // said for a channel that is not there as well
};

function syncClock(core: NodeCore, how: 'sync_clock' | 'sync_clock_when_idle'): string {
  if (how === 'sync_clock_when_idle' && core.legs.size > 0) {
    core.readsClockWhenIdle = true;
    return '+OK clock will synchronize when there are no more calls\n';
  }
  core.readMachineClock();
  return '+OK clock synchronized\n';
}

const COMMANDS: Record<string, Command> = {
  status: ({ core }) => {
    const ms = core.clock() - core.startedMs;
    const legs = core.legs.size;
    return (
      `UP ${upTime(ms)}\nFreeSWITCH (Version 1.10.12-release git a88d069 2024-08-02 21:02:27Z 64bit) is ready\n` +
      `${core.sessionsSinceStart} session(s) since startup\n${legs} session(s) - peak ${core.sessionPeak}, last 5min ${core.sessionPeak} \n` +
      `0 session(s) per Sec out of max ${core.sessionsPerSecond}, peak 0, last 5min 0 \n${core.maxSessions} session(s) max\n` +
      `min idle cpu 0.00/95.00\nCurrent Stack Size/Max 240K/8192K\n`
    );
  },
  version: () => `FreeSWITCH Version ${VERSION} (git a88d069 2024-08-02 21:02:27Z 64bit)\n`,
  echo: (_, rest) => rest,
  eval(parts, rest) {
    const [, uuid, text] = /^uuid:(\S+)\s+(.*)$/s.exec(rest) ?? [];
    return parts.plans().expand(text ?? rest, parts.core.legs.get(uuid ?? ''));
  },
  hostname: ({ core }) => core.name,
  switchname: ({ core }) => core.name,
  uptime: ({ core }, rest) => `${Math.floor((core.clock() - core.startedMs) / (rest === 'ms' ? 1 : 1000))}\n`,
  create_uuid: () => randomUUID(),
  global_getvar: ({ core }, rest) => {
    if (rest === 'core_uuid') return core.coreUuid;
    if (rest === 'switchyard_xml_url') return core.xmlUrl;
    if (rest === 'recordings_dir') return core.disk.recordings;
    if (rest === 'log_dir') return core.disk.logs;
    return /^(base|temp|storage)_dir$/.test(rest) ? core.disk.folder : '';
  },
  module_exists: ({ core }, rest) =>
    rest === '' ? '-ERR no reply\n' : String(/^mod_\w+$/.test(rest) && !core.faults.missingModules.has(rest)),
  show: ({ core, registrar }, rest) => {
    if (/^channels\b/.test(rest)) return listing([...core.legs.values()].map((l) => l.row(core.name)));
    if (/^registrations\b/.test(rest)) return listing(registrar.rows());
    if (/^bridged_calls\b/.test(rest)) return listing(bridgedPairs(core));
    if (/^(calls|detailed_calls)\b/.test(rest)) return listing([]);
    return SHOW_USAGE;
  },
  sofia: ({ core, registrar }, rest) => {
    if (/^profile \S+ rescan/.test(rest)) return 'Reload XML [Success]\n+OK scan complete\n';
    const flushed = /^profile \S+ flush_inbound_reg (\S+)/.exec(rest)?.[1];
    if (flushed) {
      for (const r of registrar.all())
        if (r.sipCallId === flushed || `${r.username}@${r.domain}` === flushed) registrar.unregister(r, 'expire');
      return '+OK flushing all registrations matching specified call_id\n';
    }
    const asked = /^xmlstatus profile internal user (\S+)@(\S+)$/.exec(rest);
    if (asked) return profileXml(registrar.contactsOf(asked[1]!, asked[2]!));
    if (/^status profile internal/.test(rest))
      return `${'='.repeat(97)}\nName             \tinternal\nContext          \tusers\nREGISTRATIONS    \t${registrar.all().length}\n`;
    const row = (name: string, port: number): string =>
      `${name.padStart(25)}\tprofile\t${`sip:mod_sofia@${hostAndPort(core.host, port)}`.padStart(42)}\tRUNNING (0)\n`;
    const rule = `${'='.repeat(97)}\n`;
    return `${'Name'.padStart(25)}\t   Type\t${'Data'.padStart(42)}\tState\n${rule}${row('internode', core.internodePort)}${row('internal', core.sipPort)}${rule}2 profiles 0 aliases\n`;
  },
  sofia_contact: ({ registrar }, rest) => {
    const asked = /^(?:([^/]+)\/)?([^@]+)@(.+)$/.exec(rest);
    const found = asked ? registrar.contactsOf(asked[2]!, asked[3]!) : [];
    return found.length === 0 ? 'error/user_not_registered' : found.map((r) => `sofia/internal/${r.uri}`).join(',');
  },
  reloadxml: () => '+OK [Success]\n',
  xml_flush_cache: () => '+OK cleared 0 entries\n',
  fsctl: ({ core }, rest) => {
    if (rest === 'sync_clock' || rest === 'sync_clock_when_idle') return syncClock(core, rest);
    return rest.startsWith('sps') ? `+OK sessions per second: ${core.sessionsPerSecond}\n` : '+OK\n';
  },
  acl: ({ core }, rest) => {
    const [address = '', list = ''] = splitWords(rest);
    return String(isAllowed(core.networkLists, address, list));
  },
  load: () => '+OK Reloading XML\n+OK\n',
  hupall: (parts, rest) => {
    const [cause = 'MANAGER_REQUEST', name, value] = splitWords(rest);
    const isMeant = (leg: Leg): boolean => !name || !value || leg.variables.get(name) === value;
    soon(parts, () => [...parts.core.legs.values()].filter(isMeant).forEach((leg) => parts.calls.hangup(leg, cause)));
    if (name && value) return `+OK hangup all channels matching [${name}]=[${value}] with cause: ${cause}\n`;
    return `+OK hangup all channels with cause ${cause}\n`;
  },
  originate: () => '-ERR NORMAL_TEMPORARY_FAILURE\n',
  uuid_exists: ({ core }, rest) => String(core.legs.has(rest.trim())),
  uuid_kill: onLeg(
    (parts, leg, [cause]) => soon(parts, () => parts.calls.hangup(leg, cause ?? 'NORMAL_CLEARING')),
    NO_CHANNEL,
    '-USAGE: <uuid> [cause]\n',
  ),
  uuid_dump: onLeg(({ core }, leg) =>
    JSON.stringify({ ...core.stamp('CHANNEL_DATA', 'mod_commands.c', 'uuid_dump_function'), ...leg.headers() }),
  ),
  uuid_getvar: onLeg((_, leg, [name]) => leg.variables.get(name ?? '') ?? '_undef_'),
  uuid_setvar: onLeg((_, leg, [name, ...value]) => {
    if (name) leg.variables.set(name, value.join(' '));
    return '+OK\n';
  }),
  uuid_hold: hold,
  uuid_transfer: onLeg((parts, leg, words) => {
    const flag = words[0]?.startsWith('-') ? words.shift() : undefined;
    const [extension, , context] = words;
    if (!extension) return '-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n';
    const moved = flag === '-both' ? [leg, leg.peer] : flag === '-bleg' ? [leg.peer] : [leg];
    return soon(parts, () => transferAway(parts, moved, extension, context));
  }),
  uuid_park: onLeg((parts, leg) =>
    soon(parts, () => {
      part(parts, leg);
      void parts.plans().run(leg, [{ app: 'park', data: '' }]);
    }),
  ),
  uuid_bridge: (parts, rest) => {
    const [a, b] = splitWords(rest).map((uuid) => parts.core.legs.get(uuid));
    if (!a || !b) return '-ERR Invalid uuid\n';
    soon(parts, () => rejoin(parts, a, b));
    return `+OK ${b.uuid}\n`;
  },
  uuid_broadcast: onLeg(() => '+OK Message sent\n', '-ERR invalid uuid\n'),
  uuid_break: onLeg(() => '+OK\n'),
  uuid_send_dtmf: onLeg((parts, leg, [digits = '']) => {
    parts.core.later(1, () => leg.far?.pressed?.(digits.replace(/@\d+$/, '').replace(/w/gi, '')));
    return `+OK ${leg.uuid} sent DTMF ${digits}.\n`;
  }, '-ERR Cannot locate session!\n'),
};

/** Of each pair that hears each other one row, with the other's uuid in it. */
function bridgedPairs(core: NodeParts['core']): Record<string, string>[] {
  const own = [...core.legs.values()].filter((leg) => leg.peer && leg.other?.type !== 'originator');
  return own.map((leg) => ({ ...leg.row(core.name), b_uuid: leg.peer!.uuid }));
}

/** Two channels leave whom they talked with, who then end as their plans say, and hear each other. */
function rejoin(parts: NodeParts, a: Leg, b: Leg): void {
  if (a.isOver || b.isOver || a.peer === b) return;
  const left = [a, b].flatMap((leg) => {
    const peer = leg.peer;
    leg.run += 1;
    if (!peer) return [];
    leg.peer = peer.peer = undefined;
    const [from, to] = leg.other?.type === 'originator' ? [peer, leg] : [leg, peer];
    parts.core.emitLeg('CHANNEL_UNBRIDGE', from, { 'Bridge-A-Unique-ID': from.uuid, 'Bridge-B-Unique-ID': to.uuid });
    return [peer];
  });
  b.other = { leg: a, type: 'originator' };
  a.endsWithPeer = b.endsWithPeer = true;
  parts.calls.bridge(a, b);
  for (const leg of left)
    if (leg.variables.get('hangup_after_bridge') !== 'false') parts.calls.hangup(leg, 'NORMAL_CLEARING');
}

/** Takes a channel out of its bridge; the one left behind ends unless it was moved as well. */
function part(parts: NodeParts, leg: Leg, alsoMoved: (Leg | undefined)[] = []): void {
  const peer = leg.peer;
  leg.run += 1;
  if (!peer) return;
  leg.peer = peer.peer = undefined;
  const a = leg.other?.type === 'originator' ? peer : leg;
  const b = a === leg ? peer : leg;
  parts.core.emitLeg('CHANNEL_UNBRIDGE', a, { 'Bridge-A-Unique-ID': a.uuid, 'Bridge-B-Unique-ID': b.uuid });
  if (!alsoMoved.includes(peer)) parts.calls.hangup(peer, 'NORMAL_CLEARING');
}

function transferAway(parts: NodeParts, legs: (Leg | undefined)[], extension: string, context = 'default'): void {
  for (const leg of legs) {
    if (!leg || leg.isOver) continue;
    part(parts, leg, legs);
    parts.plans().transfer(leg, extension, context);
  }
}

export function upTime(ms: number): string {
  const s = Math.floor(ms / 1000);
  const [days, hours, minutes] = [Math.floor(s / 86400) % 365, Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  return `${Math.floor(s / 31536000)} years, ${days} days, ${hours} hours, ${minutes} minutes, ${s % 60} seconds, ${Math.floor(ms % 1000)} milliseconds, 0 microseconds`;
}

export function heartbeat(core: NodeCore): void {
  if (core.faults.heartbeatsSilent) return;
  core.emit('HEARTBEAT', 'switch_core.c', 'send_heartbeat', () => {
    const ms = Math.floor(core.clock() - core.startedMs);
    const legs = core.legs.size;
    return {
      'Event-Info': 'System Ready',
      'Up-Time': upTime(ms),
      'FreeSWITCH-Version': VERSION,
      'Uptime-msec': String(ms),
      'Session-Count': String(legs),
      'Max-Sessions': String(core.maxSessions),
      'Session-Per-Sec': String(core.sessionsPerSecond),
      'Session-Per-Sec-Last': '0',
      'Session-Per-Sec-Max': '0',
      'Session-Per-Sec-FiveMin': '0',
      'Session-Since-Startup': String(core.sessionsSinceStart),
      'Session-Peak-Max': String(core.sessionPeak),
      'Session-Peak-FiveMin': String(core.sessionPeak),
      'Idle-CPU': Math.max(0, 95 - legs * 0.5).toFixed(6),
    };
  });
}
