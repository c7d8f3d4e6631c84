/** After a reconnect a node's own listings say what is true now; this reads them as rows. */
import { EslError } from '../connection/faults';
import { asTold, type ReadTime } from '../events/event-clock';

/** One live channel, from `show channels as json`. */
export interface ChannelRow {
  legId: string;
  direction: 'inbound' | 'outbound';
  createdAtMs: number;
  channelName: string;
  /** CS_EXECUTE, CS_EXCHANGE_MEDIA … */
  state: string;
  /** RINGING, EARLY, ACTIVE, HELD … */
  callState: string;
  callerName: string;
  callerNumber: string;
  destination: string;
  context: string;
  /** What it runs: bridge, conference, echo … Empty where another channel runs it. */
  application: string;
  /** accountcode: where Switchyard placed the leg, its call's id. */
  callId?: string;
  /** The uuid both legs of one bridge share. */
  bridgeId?: string;
}

/** One registration, from `show registrations as json`. */
export interface ListedRegistration {
  username: string;
  domain: string;
  sipCallId: string;
  contactUrl: string;
  expiresAtMs: number;
  networkIp: string;
  networkPort: number;
  transport: string;
  profile: string;
}

type Row = Record<string, unknown>;

function rowsOf(text: string, what: string): Row[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new EslError('bad_reply', `${what} came as something that is not JSON`, { cause });
  }
  const rows = (parsed as { rows?: unknown } | null)?.rows ?? []; // no rows at all: the field is missing
  if (!Array.isArray(rows)) throw new EslError('bad_reply', `${what} came without a list of rows`);
  return rows.filter((r): r is Row => typeof r === 'object' && r !== null);
}

const text = (row: Row, name: string): string => {
  const value = row[name];
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
};

const count = (row: Row, name: string): number => {
  const n = Number(text(row, name));
  return Number.isFinite(n) ? n : 0;
};

/** The last moment that a Date holds, in seconds. */
const LAST_SECOND = 8.64e12;

const momentMs = (row: Row, name: string, read: ReadTime): number => {
  const seconds = count(row, name);
  return seconds > 0 && seconds <= LAST_SECOND ? read(seconds * 1000) : 0;
};

const portOf = (row: Row, name: string): number => {
  const port = count(row, name);
  return Number.isInteger(port) && port >= 0 && port <= 65_535 ? port : 0;
};

/** Reads the answer of showChannels(). Rows without a uuid are left out. @param read gives the node's times by our clock */
export function parseChannels(json: string, read: ReadTime = asTold): ChannelRow[] {
  return rowsOf(json, 'The list of channels')
    .filter((row) => text(row, 'uuid') !== '')
    .map((row) => ({
      legId: text(row, 'uuid'),
      direction: text(row, 'direction') === 'outbound' ? 'outbound' : 'inbound',
      createdAtMs: momentMs(row, 'created_epoch', read),
      channelName: text(row, 'name'),
      state: text(row, 'state'),
      callState: text(row, 'callstate'),
      callerName: text(row, 'cid_name'),
      callerNumber: text(row, 'cid_num'),
      destination: text(row, 'dest'),
      context: text(row, 'context'),
      application: text(row, 'application'),
      callId: text(row, 'accountcode') || undefined,
      bridgeId: text(row, 'call_uuid') || undefined,
    }));
}

/** Reads the answer of showBridges(). @returns for each channel that hears another one, which */
export function parseBridges(json: string): Map<string, string> {
  const partners = new Map<string, string>();
  for (const row of rowsOf(json, 'The list of bridged channels')) {
    const [one, other] = [text(row, 'uuid'), text(row, 'b_uuid')];
    if (one === '' || other === '') continue;
    partners.set(one, other);
    partners.set(other, one);
  }
  return partners;
}

/** A phone of one user, as the profile itself has it. */
export interface ProfileRegistration {
  sipCallId: string;
  networkIp: string;
  networkPort: number;
}

/** Reads the answer of showRegistrationsOf(). It is no whole XML: FreeSWITCH writes a Call-ID as it came. */
export function parseProfileRegistrations(text: string): ProfileRegistration[] {
  return [...text.matchAll(/<registration>([^]*?)<\/registration>/g)].map(([, entry = '']) => {
    const field = (name: string): string => new RegExp(`<${name}>(.*)</${name}>`).exec(entry)?.[1] ?? '';
    return {
      sipCallId: field('call-id'),
      networkIp: field('network-ip'),
      networkPort: Number(field('network-port')) || 0,
    };
  });
}

/** Reads the answer of showRegistrations(). Rows without a user are left out. @param read gives the node's times by our clock */
export function parseRegistrations(json: string, read: ReadTime = asTold): ListedRegistration[] {
  return rowsOf(json, 'The list of registrations')
    .filter((row) => text(row, 'reg_user') !== '')
    .map((row) => {
      // The url is `sofia/PROFILE/sip:…`: only there does the listing name the profile.
      const url = /^sofia\/([^/]+)\/(.*)$/s.exec(text(row, 'url'));
      return {
        username: text(row, 'reg_user'),
        domain: text(row, 'realm'),
        sipCallId: text(row, 'token'),
        contactUrl: url?.[2] ?? text(row, 'url'),
        expiresAtMs: momentMs(row, 'expires', read),
        networkIp: text(row, 'network_ip'),
        networkPort: portOf(row, 'network_port'),
        transport: listedTransport(text(row, 'url'), text(row, 'network_proto')),
        profile: url?.[1] ?? '',
      };
    });
}

/**
 * `network_proto` says `udp` of a WebSocket. The path that the node wrote behind the contact knows better, and where it
 * wrote none the contact itself. Of a browser that came by `wss` both say `ws`.
 */
function listedTransport(url: string, proto: string): string {
  const said = /fs_path=.*transport(?:=|%3D)([A-Za-z]+)/i.exec(url) ?? /;transport=(wss?)(?![A-Za-z])/i.exec(url);
  return (said?.[1] ?? proto).toLowerCase();
}

/** Reads the answer of dumpChannel(): a channel's own headers. undefined where it is none. */
export function readDump(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
