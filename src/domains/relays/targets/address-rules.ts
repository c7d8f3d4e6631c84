/** Keeps Switchyard from being sent to machines that are nobody's stream server: ports, special addresses, and our own. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isInList, listNetworks, readAddress } from '../../../address';
import { isPublicAddress } from './ranges';
import { FORBIDDEN, TargetRefused, UNREACHABLE } from './refusal';
import { withDeadline } from '../../../infra/flow/deadline';

/** Plain data: it goes to the relay process as it is. */
export interface AddressRules {
  allowPrivate: boolean;
  /** Host names, addresses or networks (10.0.0.0/8) that are allowed whatever they are. */
  allowedHosts: readonly string[];
  /** First and last of each range that relays may go to. */
  ports: readonly (readonly [number, number])[];
  /** Names and addresses of the pool and of Switchyard itself: allowed only where `allowedHosts` says so. */
  ownHosts: readonly string[];
}

export const isAllowedPort = (rules: Pick<AddressRules, 'ports'>, port: number): boolean =>
  rules.ports.some(([first, last]) => first <= port && port <= last);

/** Like `1935, 443, 8000 to 8010`. */
export const describePorts = ({ ports }: Pick<AddressRules, 'ports'>): string =>
  ports.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(', ');

/**
 * True where Switchyard may open a connection to this address.
 * @param host the name it was found under
 * @param own addresses of ours. Where private ones are allowed, ours that are private are as well
 */
export function isAllowedAddress(
  rules: Pick<AddressRules, 'allowPrivate' | 'allowedHosts'>,
  host: string,
  found: string,
  own: readonly string[] = [],
): boolean {
  const address = found.includes('%') ? undefined : readAddress(found);
  if (address === undefined) return false;
  if (isPublicAddress(address) ? !isOneOf(own, address) : rules.allowPrivate) return true;
  return rules.allowedHosts.some((entry) => {
    if (entry.toLowerCase() === host) return true;
    // Of its own family: an IPv4 address would be in ::/0 as well.
    return isIP(readAddress(entry.split('/')[0]!) ?? '') === isIP(address) && isInList(listNetworks([entry]), address);
  });
}

/** The same address may be written in several ways. */
function isOneOf(own: readonly string[], address: string): boolean {
  return isInList(listNetworks(own.filter((each) => !each.includes('%'))), address);
}

export type Resolve = (host: string) => Promise<string[]>;

/** As the system resolves names. */
export const resolveHost: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: false })).map(({ address }) => address);

/**
 * The one address to connect to. It is looked up once and used as it is, so that a name can't lead elsewhere after it
 * was checked; a name with one forbidden address among others is refused whole.
 * @param resolveOwn how names of ours are resolved; its own where it is left out
 * @throws TargetRefused
 */
export async function findAddress(
  rules: AddressRules,
  { host, port }: { host: string; port: number },
  resolve: Resolve,
  deadlineMs: number,
  resolveOwn: Resolve = resolve,
): Promise<string> {
  if (!isAllowedPort(rules, port)) throw new TargetRefused(`its port is none of ${describePorts(rules)}`);
  const found = await inTime(isIP(host) ? Promise.resolve([host]) : resolve(host), deadlineMs).catch(
    (error: unknown) => {
      throw error instanceof TargetRefused ? error : new TargetRefused(FORBIDDEN, 'its name can not be resolved');
    },
  );
  if (found.length === 0) throw new TargetRefused(FORBIDDEN, 'its name can not be resolved');
  // A name of ours that nobody knows now can't be what the target leads to.
  const own = await inTime(
    Promise.all(rules.ownHosts.map((each) => (isIP(each) ? [each] : resolveOwn(each).catch(() => [])))),
    deadlineMs,
  );
  const wrong = found.find((address) => !isAllowedAddress(rules, host, address, own.flat()));
  if (wrong !== undefined) {
    throw new TargetRefused(FORBIDDEN, `it leads to ${wrong}, which is private, special or one of ours`);
  }
  return found[0]!;
}

const inTime = <T>(asked: Promise<T>, deadlineMs: number): Promise<T> =>
  withDeadline(asked, deadlineMs, () => {
    throw new TargetRefused(UNREACHABLE, 'a name was not resolved in time');
  });
