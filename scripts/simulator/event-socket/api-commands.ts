/** The commands a simulated node knows, with the very words a real one answers. */
import { randomUUID } from 'node:crypto';
import { hostAndPort } from '../../../src/address';
import { isAllowed } from '../acl';
import { NO_CHANNEL, onChannel, type Command, type NodeParts } from './api-command';
import type { NodeContext } from '../node-context';
import { splitWords } from '../channels/dial-string';
import type { Channel } from '../channels/channel';
import { MEDIA_COMMANDS } from '../media/media-commands';
import { profileXml } from '../phones/profile-list';
import { createRoomCommands } from '../conference/commands/commands';
import { spawnStream, SPAWN_STREAM_COMMANDS } from './spawn-stream';
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
  const { node } = parts;
  const conference = createRoomCommands({
    node,
    rooms: parts.rooms,
    transfer: (m, application) =>
      node.later(1, () => void parts.plans().run(m.channel, [{ app: 'conference', data: application }])),
    dial: (_room, name, [target = '', callerNumber, callerName]) =>
      void originate(
        parts,
        `${target} &conference(${name}@default) XML default '${callerName ?? ''}' ${callerNumber ?? '0000000000'}`,
      ),
  });
  function runNow(line: string): string {
    const { name, rest } = named(line);
    const { faults } = node;
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
      if (node.faults.replyDelayMs > 0)
        await new Promise<void>((done) => void node.later(node.faults.replyDelayMs, done));
      const { name, rest } = named(line);
      if (name === 'conference' && node.faults.conferencesStuck) return new Promise<string>(() => undefined);
      if (SPAWN_STREAM_COMMANDS.has(name)) return spawnStream(node, name, rest);
      if (name === 'xml_locate') return locate(node, rest);
      if (name === 'reloadacl') {
        await node.loadNetworkLists();
        return '+OK acl reloaded\n';
      }
      // It says so when it has read them.
      const rescanned = name === 'sofia' ? /^profile (\S+) rescan/.exec(rest)?.[1] : undefined;
      if (rescanned) await rescanPhoneProfile(node, rescanned);
      return node.answerFirst(() => runNow(line));
    },
  };
}

function named(line: string): { name: string; rest: string } {
  const at = line.indexOf(' ');
  return at < 0 ? { name: line, rest: '' } : { name: line.slice(0, at), rest: line.slice(at + 1).trim() };
}

/** What the node would be configured with, as it comes from Switchyard; what is on disk otherwise holds nothing of ours. */
async function locate(node: NodeContext, rest: string): Promise<string> {
  const [section, tag, attribute, name] = splitWords(rest);
  if (section !== 'configuration' || tag !== 'configuration' || attribute !== 'name' || !name) return '-ERR bad args\n';
  return (await node.locate(name)) ?? "can't find anything\n";
}

async function originate(parts: NodeParts, rest: string): Promise<string> {
  const { node, calls } = parts;
  const [dialString, destination, dialplan, context, callerName, callerNumber, seconds] = splitWords(rest);
  if (!dialString || !destination) return ORIGINATE_USAGE;
  if (node.faults.replyDelayMs > 0) await new Promise<void>((done) => void node.later(node.faults.replyDelayMs, done));
  if (node.faults.refusals > 0) {
    node.faults.refusals -= 1;
    return `-ERR ${node.faults.refusalCause}\n`;
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
  if (app) node.later(1, () => void parts.plans().run(result.channel, [{ app: app[1]!, data: app[2] ?? '' }]));
  else node.later(1, () => parts.plans().transfer(result.channel, destination, (dialplan && context) || 'default'));
  return `+OK ${result.channel.uuid}\n`;
}

const listing = (rows: unknown[]): string =>
  rows.length === 0 ? '{"row_count": 0}\n' : JSON.stringify({ row_count: rows.length, rows });

/** Afterwards, so that the answer goes out before the events it causes. */
const soon = (parts: NodeParts, run: () => void): string => {
  parts.node.later(0, run);
  return '+OK\n';
};

const hold: Command = (parts, rest) => {
  const words = splitWords(rest);
  const off = words[0] === 'off';
  const channel = parts.node.channels.get(words[off || words[0] === 'toggle' ? 1 : 0] ?? '');
  if (channel && words[0] !== 'toggle' && off !== (channel.callState === 'HELD')) return '-ERR Operation failed\n'; // it is so already
  if (channel && channel.answeredUs > 0) {
    channel.callState = off ? 'UNHELD' : 'HELD';
    parts.node.emitChannel(off ? 'CHANNEL_UNHOLD' : 'CHANNEL_HOLD', channel);
    if (off) channel.callState = 'ACTIVE';
  }
  return '+OK Success\n'; // said for a channel that is not there as well
};

function syncClock(node: NodeContext, how: 'sync_clock' | 'sync_clock_when_idle'): string {
  if (how === 'sync_clock_when_idle' && node.channels.size > 0) {
    node.readsClockWhenIdle = true;
    return '+OK clock will synchronize when there are no more calls\n';
  }
  node.readMachineClock();
  return '+OK clock synchronized\n';
}

const COMMANDS: Record<string, Command> = {
  status: ({ node }) => {
    const ms = node.clock() - node.startedMs;
    const channels = node.channels.size;
    return (
      `UP ${upTime(ms)}\nFreeSWITCH (Version 1.10.12-release git a88d069 2024-08-02 21:02:27Z 64bit) is ready\n` +
      `${node.sessionsSinceStart} session(s) since startup\n${channels} session(s) - peak ${node.sessionPeak}, last 5min ${node.sessionPeak} \n` +
      `0 session(s) per Sec out of max ${node.sessionsPerSecond}, peak 0, last 5min 0 \n${node.maxSessions} session(s) max\n` +
      `min idle cpu 0.00/95.00\nCurrent Stack Size/Max 240K/8192K\n`
    );
  },
  version: () => `FreeSWITCH Version ${VERSION} (git a88d069 2024-08-02 21:02:27Z 64bit)\n`,
  echo: (_, rest) => rest,
  eval(parts, rest) {
    const [, uuid, text] = /^uuid:(\S+)\s+(.*)$/s.exec(rest) ?? [];
    return parts.plans().expand(text ?? rest, parts.node.channels.get(uuid ?? ''));
  },
  hostname: ({ node }) => node.name,
  switchname: ({ node }) => node.name,
  uptime: ({ node }, rest) => `${Math.floor((node.clock() - node.startedMs) / (rest === 'ms' ? 1 : 1000))}\n`,
  create_uuid: () => randomUUID(),
  global_getvar: ({ node }, rest) => {
    if (rest === 'core_uuid') return node.coreUuid;
    if (rest === 'switchyard_xml_url') return node.xmlUrl;
    if (rest === 'recordings_dir') return node.disk.recordings;
    if (rest === 'log_dir') return node.disk.logs;
    return /^(base|temp|storage)_dir$/.test(rest) ? node.disk.folder : '';
  },
  module_exists: ({ node }, rest) =>
    rest === '' ? '-ERR no reply\n' : String(/^mod_\w+$/.test(rest) && !node.faults.missingModules.has(rest)),
  show: ({ node, registrar }, rest) => {
    if (/^channels\b/.test(rest)) return listing([...node.channels.values()].map((l) => l.row(node.name)));
    if (/^registrations\b/.test(rest)) return listing(registrar.rows());
    if (/^bridged_calls\b/.test(rest)) return listing(bridgedPairs(node));
    if (/^(calls|detailed_calls)\b/.test(rest)) return listing([]);
    return SHOW_USAGE;
  },
  sofia: ({ node, registrar }, rest) => {
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
      `${name.padStart(25)}\tprofile\t${`sip:mod_sofia@${hostAndPort(node.host, port)}`.padStart(42)}\tRUNNING (0)\n`;
    const rule = `${'='.repeat(97)}\n`;
    return `${'Name'.padStart(25)}\t   Type\t${'Data'.padStart(42)}\tState\n${rule}${row('internode', node.internodePort)}${row('internal', node.sipPort)}${rule}2 profiles 0 aliases\n`;
  },
  sofia_contact: ({ registrar }, rest) => {
    const asked = /^(?:([^/]+)\/)?([^@]+)@(.+)$/.exec(rest);
    const found = asked ? registrar.contactsOf(asked[2]!, asked[3]!) : [];
    return found.length === 0 ? 'error/user_not_registered' : found.map((r) => `sofia/internal/${r.uri}`).join(',');
  },
  reloadxml: () => '+OK [Success]\n',
  xml_flush_cache: () => '+OK cleared 0 entries\n',
  fsctl: ({ node }, rest) => {
    if (rest === 'sync_clock' || rest === 'sync_clock_when_idle') return syncClock(node, rest);
    return rest.startsWith('sps') ? `+OK sessions per second: ${node.sessionsPerSecond}\n` : '+OK\n';
  },
  acl: ({ node }, rest) => {
    const [address = '', list = ''] = splitWords(rest);
    return String(isAllowed(node.networkLists, address, list));
  },
  load: () => '+OK Reloading XML\n+OK\n',
  hupall: (parts, rest) => {
    const [cause = 'MANAGER_REQUEST', name, value] = splitWords(rest);
    const isMeant = (channel: Channel): boolean => !name || !value || channel.variables.get(name) === value;
    soon(parts, () =>
      [...parts.node.channels.values()].filter(isMeant).forEach((channel) => parts.calls.hangup(channel, cause)),
    );
    if (name && value) return `+OK hangup all channels matching [${name}]=[${value}] with cause: ${cause}\n`;
    return `+OK hangup all channels with cause ${cause}\n`;
  },
  originate: () => '-ERR NORMAL_TEMPORARY_FAILURE\n',
  uuid_exists: ({ node }, rest) => String(node.channels.has(rest.trim())),
  uuid_kill: onChannel(
    (parts, channel, [cause]) => soon(parts, () => parts.calls.hangup(channel, cause ?? 'NORMAL_CLEARING')),
    NO_CHANNEL,
    '-USAGE: <uuid> [cause]\n',
  ),
  uuid_dump: onChannel(({ node }, channel) =>
    JSON.stringify({ ...node.stamp('CHANNEL_DATA', 'mod_commands.c', 'uuid_dump_function'), ...channel.headers() }),
  ),
  uuid_getvar: onChannel((_, channel, [name]) => channel.variables.get(name ?? '') ?? '_undef_'),
  uuid_setvar: onChannel((_, channel, [name, ...value]) => {
    if (name) channel.variables.set(name, value.join(' '));
    return '+OK\n';
  }),
  uuid_hold: hold,
  uuid_transfer: onChannel((parts, channel, words) => {
    const flag = words[0]?.startsWith('-') ? words.shift() : undefined;
    const [extension, , context] = words;
    if (!extension) return '-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n';
    const moved = flag === '-both' ? [channel, channel.peer] : flag === '-bleg' ? [channel.peer] : [channel];
    return soon(parts, () => transferAway(parts, moved, extension, context));
  }),
  uuid_park: onChannel((parts, channel) =>
    soon(parts, () => {
      part(parts, channel);
      void parts.plans().run(channel, [{ app: 'park', data: '' }]);
    }),
  ),
  uuid_bridge: (parts, rest) => {
    const [a, b] = splitWords(rest).map((uuid) => parts.node.channels.get(uuid));
    if (!a || !b) return '-ERR Invalid uuid\n';
    soon(parts, () => rejoin(parts, a, b));
    return `+OK ${b.uuid}\n`;
  },
  uuid_broadcast: onChannel(() => '+OK Message sent\n', '-ERR invalid uuid\n'),
  uuid_break: onChannel(() => '+OK\n'),
  uuid_send_dtmf: onChannel((parts, channel, [digits = '']) => {
    parts.node.later(1, () => channel.far?.pressed?.(digits.replace(/@\d+$/, '').replace(/w/gi, '')));
    return `+OK ${channel.uuid} sent DTMF ${digits}.\n`;
  }, '-ERR Cannot locate session!\n'),
};

/** Of each pair that hears each other one row, with the other's uuid in it. */
function bridgedPairs(node: NodeContext): Record<string, string>[] {
  const own = [...node.channels.values()].filter((channel) => channel.peer && channel.other?.type !== 'originator');
  return own.map((channel) => ({ ...channel.row(node.name), b_uuid: channel.peer!.uuid }));
}

/** Two channels leave whom they talked with, who then end as their plans say, and hear each other. */
function rejoin(parts: NodeParts, a: Channel, b: Channel): void {
  if (a.isOver || b.isOver || a.peer === b) return;
  const left = [a, b].flatMap((channel) => {
    const peer = channel.peer;
    channel.run += 1;
    if (!peer) return [];
    channel.peer = peer.peer = undefined;
    const [from, to] = channel.other?.type === 'originator' ? [peer, channel] : [channel, peer];
    parts.node.emitChannel('CHANNEL_UNBRIDGE', from, {
      'Bridge-A-Unique-ID': from.uuid,
      'Bridge-B-Unique-ID': to.uuid,
    });
    return [peer];
  });
  b.other = { channel: a, type: 'originator' };
  a.endsWithPeer = b.endsWithPeer = true;
  parts.calls.bridge(a, b);
  for (const channel of left)
    if (channel.variables.get('hangup_after_bridge') !== 'false') parts.calls.hangup(channel, 'NORMAL_CLEARING');
}

/** Takes a channel out of its bridge; the one left behind ends unless it was moved as well. */
function part(parts: NodeParts, channel: Channel, alsoMoved: (Channel | undefined)[] = []): void {
  const peer = channel.peer;
  channel.run += 1;
  if (!peer) return;
  channel.peer = peer.peer = undefined;
  const a = channel.other?.type === 'originator' ? peer : channel;
  const b = a === channel ? peer : channel;
  parts.node.emitChannel('CHANNEL_UNBRIDGE', a, { 'Bridge-A-Unique-ID': a.uuid, 'Bridge-B-Unique-ID': b.uuid });
  if (!alsoMoved.includes(peer)) parts.calls.hangup(peer, 'NORMAL_CLEARING');
}

function transferAway(
  parts: NodeParts,
  channels: (Channel | undefined)[],
  extension: string,
  context = 'default',
): void {
  for (const channel of channels) {
    if (!channel || channel.isOver) continue;
    part(parts, channel, channels);
    parts.plans().transfer(channel, extension, context);
  }
}

function upTime(ms: number): string {
  const s = Math.floor(ms / 1000);
  const [days, hours, minutes] = [Math.floor(s / 86400) % 365, Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  return `${Math.floor(s / 31536000)} years, ${days} days, ${hours} hours, ${minutes} minutes, ${s % 60} seconds, ${Math.floor(ms % 1000)} milliseconds, 0 microseconds`;
}

export function heartbeat(node: NodeContext): void {
  if (node.faults.heartbeatsSilent) return;
  node.emit('HEARTBEAT', 'switch_core.c', 'send_heartbeat', () => {
    const ms = Math.floor(node.clock() - node.startedMs);
    const channels = node.channels.size;
    return {
      'Event-Info': 'System Ready',
      'Up-Time': upTime(ms),
      'FreeSWITCH-Version': VERSION,
      'Uptime-msec': String(ms),
      'Session-Count': String(channels),
      'Max-Sessions': String(node.maxSessions),
      'Session-Per-Sec': String(node.sessionsPerSecond),
      'Session-Per-Sec-Last': '0',
      'Session-Per-Sec-Max': '0',
      'Session-Per-Sec-FiveMin': '0',
      'Session-Since-Startup': String(node.sessionsSinceStart),
      'Session-Peak-Max': String(node.sessionPeak),
      'Session-Peak-FiveMin': String(node.sessionPeak),
      'Idle-CPU': Math.max(0, 95 - channels * 0.5).toFixed(6),
    };
  });
}
