/** Commands are values: what goes over the wire can be read, compared and tested without a node. */
import { SwitchyardError } from '../../../errors';
import { sentName } from '../../../infra/text/dialled-name';
import { assertEndpoint, assertHost, assertName, assertToken, escapeArgument, variableBlock } from '../escape';
import { soundSource } from './sounds';

/** A command's line, without `api ` or `bgapi ` in front. */
export interface ApiCommand {
  readonly line: string;
  /** Legs whose bridge it takes apart or makes again: it waits until that has settled (settling.ts). */
  readonly reshapes?: readonly string[];
}

/** What is dialled, and where it goes when it answers. */
export interface OriginateOptions {
  /** Fixes the channel's uuid beforehand, so that it can be recorded before it is dialled. */
  legId: string;
  /** A dial string built by userEndpoint() or loopbackEndpoint(). */
  endpoint: string;
  variables: Readonly<Record<string, string>>;
  ringTimeoutSeconds: number;
  destination: { extension: string; dialplan: 'XML'; context: string };
}

const command = (...words: string[]): ApiCommand => ({ line: words.join(' ') });
/** A command that takes a bridge apart, or touches its media: made by this, it never meets one that has just begun. */
const reshaping = (legIds: readonly string[], made: ApiCommand): ApiCommand => ({ ...made, reshapes: legIds });
const leg = (legId: string): string => assertToken(legId, 'legId');

/** A registered user: the node asks its directory how to reach them. */
export function userEndpoint(username: string, domain: string): string {
  return `user/${assertName(username, 'username')}@${assertHost(domain, 'domain')}`;
}

/** A call of the node to itself, without SIP. */
export function loopbackEndpoint(extension: string, context: string): string {
  return `loopback/${assertToken(extension, 'extension')}/${assertToken(context, 'context')}`;
}

/** Dials, and sends the answered leg to an extension. */
export function originateCall(o: OriginateOptions): ApiCommand {
  const seconds = o.ringTimeoutSeconds;
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3600) {
    throw new SwitchyardError('invalid_request', 'ringTimeoutSeconds is not a whole number from 1 to 3600');
  }
  const variables = { ...o.variables, origination_uuid: leg(o.legId), originate_timeout: String(seconds) };
  const { extension, dialplan, context } = o.destination;
  return command(
    'originate',
    variableBlock(variables) + assertEndpoint(o.endpoint),
    assertName(extension, 'extension'),
    dialplan,
    assertToken(context, 'context'),
  );
}

/** Ends a channel with a cause the other side is told. */
export const killChannel = (legId: string, cause: string): ApiCommand =>
  command('uuid_kill', leg(legId), assertToken(cause, 'cause'));

/**
 * Ends every channel of the node in which a variable has this value. Without variable and value FreeSWITCH would end
 * all channels: both are words here, or it throws.
 */
export const hangUpMatching = (variable: string, value: string, cause: string): ApiCommand =>
  command('hupall', assertToken(cause, 'cause'), assertToken(variable, 'variable name'), assertName(value, variable));

/** Answers `true` or `false`. */
export const channelExists = (legId: string): ApiCommand => command('uuid_exists', leg(legId));

/** Everything known of one channel, as JSON. */
export const dumpChannel = (legId: string): ApiCommand => command('uuid_dump', leg(legId), 'json');

export const showChannels = (): ApiCommand => command('show channels as json');
/** Who hears whom: one row for each pair. */
export const showBridges = (): ApiCommand => command('show bridged_calls as json');
export const showRegistrations = (): ApiCommand => command('show registrations as json');

/**
 * What a profile itself has of one SIP user. `show registrations` is another list: the end of a phone's old socket takes the
 * phone out of it, whatever socket it has now (switch_core_del_registration goes by the Call-ID alone).
 */
export const showRegistrationsOf = (profile: string, username: string, domain: string): ApiCommand =>
  command(
    'sofia xmlstatus profile',
    assertToken(profile, 'profile'),
    'user',
    `${assertToken(username, 'username')}@${assertHost(domain, 'domain')}`,
  );

/** Makes the node ask for the user again. */
export const flushUserCache = (username: string, domain: string): ApiCommand =>
  command('xml_flush_cache id', assertName(username, 'username'), assertHost(domain, 'domain'));

export const reloadAcl = (): ApiCommand => command('reloadacl');

/** Whether a list of that name lets that address in: `true` or `false`, and `false` where there is no such list. */
export const checkAcl = (address: string, list: string): ApiCommand =>
  command('acl', assertHost(address, 'address'), assertToken(list, 'list'));

/** Asks for a configuration as if it were loaded, and answers with it: what nobody answers comes from the node's disk. */
export const locateConfiguration = (name: string): ApiCommand =>
  command('xml_locate configuration configuration name', assertToken(name, 'configuration'));

/** Whether a module is loaded: `true` or `false`. */
export const moduleExists = (name: string): ApiCommand => command('module_exists', assertToken(name, 'module'));

export const rescanProfile = (name: string): ApiCommand =>
  command('sofia profile', assertToken(name, 'profile'), 'rescan');

/** Milliseconds since its process began. */
export const readUptime = (): ApiCommand => command('uptime ms');

/** The cheapest thing a node can answer: it tells that the node is alive. */
export const probe = (): ApiCommand => command('echo alive');

/** The profile of phones and browsers. */
export const PHONE_PROFILE = 'internal';

/** Ends a registration: the phone has to register again. */
export const flushRegistration = (profile: string, sipCallId: string): ApiCommand =>
  command(
    'sofia profile',
    assertToken(profile, 'profile'),
    'flush_inbound_reg',
    escapeArgument(sipCallId, 'sipCallId'),
  );

/** Ends all registrations of one SIP user: FreeSWITCH takes `user@domain` in the place of a Call-ID. */
export const flushRegistrationsOf = (profile: string, username: string, domain: string): ApiCommand =>
  command(
    'sofia profile',
    assertToken(profile, 'profile'),
    'flush_inbound_reg',
    `${assertName(username, 'username')}@${assertHost(domain, 'domain')}`,
  );

/** An empty value takes the variable away. */
export const setVariable = (legId: string, name: string, value: string): ApiCommand =>
  command(
    'uuid_setvar',
    leg(legId),
    assertToken(name, 'variable name'),
    ...(value === '' ? [] : [escapeArgument(value, name)]),
  );

/** Answers the value alone, or `_undef_`; `-ERR` where there is no such channel. */
export const readVariable = (legId: string, name: string): ApiCommand =>
  command('uuid_getvar', leg(legId), assertToken(name, 'variable name'));

export const holdChannel = (legId: string): ApiCommand => reshaping([legId], command('uuid_hold', leg(legId)));
export const unholdChannel = (legId: string): ApiCommand => reshaping([legId], command('uuid_hold off', leg(legId)));

/** Sends a channel elsewhere; `whose` takes the other side of its bridge, or both. */
export function transferChannel(
  legId: string,
  to: { extension: string; context: string },
  whose: 'own' | 'other' | 'both' = 'own',
): ApiCommand {
  const flag = { own: [], other: ['-bleg'], both: ['-both'] }[whose];
  const made = command(
    'uuid_transfer',
    leg(legId),
    ...flag,
    assertToken(sentName(to.extension), 'extension'),
    'XML',
    assertToken(to.context, 'context'),
  );
  return reshaping([legId], made);
}

/** Plays digits to the channel's far end. */
export function sendDtmf(legId: string, digits: string, millisecondsEach = 100): ApiCommand {
  if (!/^[0-9A-Da-d*#wW]{1,128}$/.test(digits)) {
    throw new SwitchyardError('invalid_request', 'digits hold something that is no DTMF digit');
  }
  if (!(millisecondsEach >= 1 && millisecondsEach <= 10_000)) {
    throw new SwitchyardError('invalid_request', 'a digit lasts from 1 to 10000 milliseconds');
  }
  return command('uuid_send_dtmf', leg(legId), `${digits}@${Math.trunc(millisecondsEach)}`);
}

/** Plays a file or tones to one side, or to both. `APP::DATA` would run an application in the place of a path. */
export function playFile(legId: string, source: string, to: 'aleg' | 'bleg' | 'both' = 'both'): ApiCommand {
  const sound = soundSource(source);
  if (/^[^:]*::/.test(sound)) throw new SwitchyardError('invalid_request', 'path names an application');
  return command('uuid_broadcast', leg(legId), sound, to);
}
