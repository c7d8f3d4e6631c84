/** Every quota there is: what it counts, and what a domain may have where nobody said otherwise. */

/**
 * `counted`: rows, under a lock of the domain. `rate`: a token bucket that all replicas share. `streams`: connections,
 * counted where they are open. `each`: of every single user, by whoever takes in a registration.
 */
export type QuotaKind = 'counted' | 'rate' | 'streams' | 'each';

interface QuotaEntry {
  kind: QuotaKind;
  default: number;
  /** Of a rate: in how long so many may come. */
  windowMs?: number;
  about: string;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

export const QUOTAS = {
  callsPerSecond: {
    kind: 'rate',
    default: 100,
    windowMs: SECOND_MS,
    about: 'Calls begun in one second, over REST and by phones.',
  },
  queuedCalls: { kind: 'counted', default: 2000, about: 'Calls that wait for a node.' },
  ringingCalls: { kind: 'counted', default: 500, about: 'Calls that are being placed or ring.' },
  units: { kind: 'counted', default: 2000, about: 'Capacity claimed at once by calls and rooms, over the whole pool.' },
  openingRooms: { kind: 'counted', default: 100, about: 'Rooms held open for somebody who is not there yet.' },
  roomsOpenedPerMinute: {
    kind: 'rate',
    default: 600,
    windowMs: MINUTE_MS,
    about: 'Sessions of rooms begun in one minute.',
  },
  liveGrants: { kind: 'counted', default: 10_000, about: 'Grants that are neither expired nor revoked.' },
  grantsPerMinute: { kind: 'rate', default: 1200, windowMs: MINUTE_MS, about: 'Grants created in one minute.' },
  eventStreams: { kind: 'streams', default: 1000, about: "Event streams open by the domain's keys and grants." },
  eventStreamsPerGrant: { kind: 'streams', default: 10, about: 'Event streams open by one grant.' },
  relays: { kind: 'counted', default: 20, about: 'Relays that are not over.' },
  recordings: { kind: 'counted', default: 200, about: 'Recordings that run or are paused.' },
  recordedBytes: {
    kind: 'counted',
    default: 100_000_000_000,
    about: 'Bytes of all recordings: kept, on their way here, and being written.',
  },
  registrationsPerUser: {
    kind: 'each',
    default: 20,
    about: 'Phones registered as one user; a further one takes the place of the one not seen for longest.',
  },
  users: { kind: 'counted', default: 100_000, about: 'Users.' },
  rooms: { kind: 'counted', default: 10_000, about: 'Rooms, open or not.' },
  layouts: { kind: 'counted', default: 100, about: 'Layouts of its own.' },
} as const satisfies Record<string, QuotaEntry>;

export type QuotaName = keyof typeof QUOTAS;
type OfKind<K extends QuotaKind> = { [N in QuotaName]: (typeof QUOTAS)[N]['kind'] extends K ? N : never }[QuotaName];
export type CountedQuota = OfKind<'counted'>;
export type RateQuota = OfKind<'rate'>;

export const QUOTA_NAMES = Object.keys(QUOTAS) as QuotaName[];
/** Larger than any real limit, and whole as a JSON number. */
export const MOST_AMOUNT = 1_000_000_000_000_000;

const isQuota = (name: string): name is QuotaName => Object.hasOwn(QUOTAS, name);
export const windowMsOf = (quota: RateQuota): number => QUOTAS[quota].windowMs;

/** What a domain may have where no admin said otherwise. */
export type QuotaDefaults = Readonly<Record<QuotaName, number>>;

/** @param given the setting QUOTAS @throws Error naming what is no quota */
export function readDefaults(given: Readonly<Record<string, number>> = {}): QuotaDefaults {
  const unknown = Object.keys(given).filter((name) => !isQuota(name));
  if (unknown.length > 0) {
    throw new Error(`QUOTAS: there is no quota ${unknown.join(', ')}; there are: ${QUOTA_NAMES.join(', ')}`);
  }
  return Object.fromEntries(QUOTA_NAMES.map((name) => [name, given[name] ?? QUOTAS[name].default])) as Record<
    QuotaName,
    number
  >;
}

/** One sentence for whoever was refused. */
export function explainRefusal(quota: QuotaName, limit: number): string {
  const { about } = QUOTAS[quota];
  return `The domain's quota "${quota}" is ${limit}. What counts: ${about[0]!.toLowerCase()}${about.slice(1)}`;
}
