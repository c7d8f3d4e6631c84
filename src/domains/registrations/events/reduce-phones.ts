/** What becomes of users' phones by a batch of reports: from what is known, to what is written, told and forgotten. Pure. */
import type { RegisteredEvent, UnregisteredEvent } from '../../../freeswitch/esl';
import type { EventDraft } from '../../events/events.store';
import type { NodeRow } from '../../nodes/nodes.store';
import { judgeEnd } from '../ended';
import { phoneKeyOf } from '../phone-key';
import { describe, draftOf, isLiving } from '../registrations';
import type { NamedHolder, RegistrationRow } from '../registrations.store';

export type TellingNode = Pick<NodeRow, 'id' | 'name'>;
export type FoundRegistration = Omit<RegisteredEvent, 'type' | 'status' | 'atMs'>;

/** One thing that a node tells of phones, whether by an event or in a list. */
export type PhoneReport =
  /** `unproven`: listed from before its node was started again, and not heard of since. */
  | { kind: 'registered'; node: TellingNode; found: FoundRegistration; unproven?: boolean }
  | { kind: 'unregistered'; node: TellingNode; ended: Omit<UnregisteredEvent, 'type' | 'atMs'> }
  | { kind: 'rung_in_vain'; node: TellingNode; registrationId: string; since: Date };

/** All there is to know of the users whom a batch is about. */
export interface KnownPhones {
  /** By loginKey(). */
  holders: ReadonlyMap<string, NamedHolder>;
  phones: readonly RegistrationRow[];
  /** By domain: how many phones one user may have. */
  limits: ReadonlyMap<string, number>;
}

/** The first use of a grant, told only where it is the first for the database too. */
export interface GrantUse {
  grantId: string;
  by: TellingNode;
}

export interface PhoneChanges {
  /** As they are now. */
  saved: RegistrationRow[];
  removedIds: string[];
  /** In the order in which it came about. */
  told: (EventDraft | GrantUse)[];
  /** What their nodes have to forget: else they list these, and would ring them. */
  forgotten: Pick<RegistrationRow, 'node_id' | 'profile' | 'sip_call_id'>[];
  /** Phones that may be gone: their nodes are asked. */
  doubts: { node: TellingNode; row: RegistrationRow; reason: string }[];
  refusals: { domainId: string; limit: number; used: number }[];
}

/** What the profile allows (`sip-force-expires-max`): a node that tells of more has another profile. */
const LONGEST_SECONDS = 3600;

/** FreeSWITCH ends a registration up to this long after its time; until then it still works. */
const EXPIRY_GRACE_MS = 60_000;

/** The name by which a user or a grant logs in; domains are the same in capitals. */
export const loginKey = (username: string, domain: string): string => `${username}@${domain.toLowerCase()}`;

/** Nobody is called over a grant that has expired, whatever its node still lists. */
export function expiryOf(found: Pick<FoundRegistration, 'expiresSeconds'>, nowMs: number): number {
  return nowMs + Math.min(found.expiresSeconds, LONGEST_SECONDS) * 1000 + EXPIRY_GRACE_MS;
}

/** What is told of a phone, as its row has it. */
export const columnsOf = (found: FoundRegistration) => ({
  contact: found.contact,
  profile: found.profile,
  user_agent: found.userAgent,
  network_ip: found.networkIp,
  network_port: found.networkPort || null,
  transport: found.transport,
});

interface Reducing extends PhoneChanges {
  known: KnownPhones;
  /** By user, as they are after what was taken in; the newest last. */
  byUser: Map<string, RegistrationRow[]>;
  now: Date;
  createId: () => string;
  savedIds: Map<string, RegistrationRow>;
}

/** Takes reports in, in their order: each sees what the ones before it have changed. */
export function reducePhones(
  known: KnownPhones,
  reports: readonly PhoneReport[],
  o: { now: Date; createId: () => string },
): PhoneChanges {
  const byUser = new Map<string, RegistrationRow[]>();
  for (const row of known.phones) byUser.set(row.user_id, [...(byUser.get(row.user_id) ?? []), { ...row }]);
  const empty: PhoneChanges = { saved: [], removedIds: [], told: [], forgotten: [], doubts: [], refusals: [] };
  const to: Reducing = { ...empty, known, byUser, ...o, savedIds: new Map() };
  for (const report of reports) {
    if (report.kind === 'registered') handleRegistered(to, report);
    else if (report.kind === 'unregistered') handleUnregistered(to, report);
    else handleRungInVain(to, report);
  }
  const { removedIds, told, forgotten, doubts, refusals, savedIds } = to;
  return { saved: [...savedIds.values()], removedIds, told, forgotten, doubts, refusals };
}

function handleRegistered(to: Reducing, o: Extract<PhoneReport, { kind: 'registered' }>): void {
  const { node, found, unproven = false } = o;
  const holder = to.known.holders.get(loginKey(found.username, found.domain));
  if (!holder?.enabled || holder.grant_revoked_at) return;
  const expiresMs = Math.min(expiryOf(found, to.now.getTime()), holder.grant_expires_at?.getTime() ?? Infinity);
  if (expiresMs <= to.now.getTime()) return;
  const phones = phonesOf(to, holder.id);
  const phoneKey = phoneKeyOf(found);
  const isElsewhere = phones.some((row) => phoneKey !== '' && row.phone_key === phoneKey && row.node_id !== node.id);
  // It has gone there in the meantime: what is listed here is what it left.
  if (unproven && isElsewhere) return forget(to, { ...found, node_id: node.id, sip_call_id: found.sipCallId });
  const before = phones.find((row) => row.node_id === node.id && row.sip_call_id === found.sipCallId);
  const isMoved =
    before !== undefined &&
    (before.network_ip !== found.networkIp || before.network_port !== (found.networkPort || null));
  const isNew = before === undefined || before.unreachable_at !== null;
  const row: RegistrationRow = {
    ...(before ?? firstOf(to, node, holder, found)),
    ...columnsOf(found),
    phone_key: phoneKey,
    refreshed_at: to.now,
    expires_at: new Date(expiresMs),
    unreachable_at: null,
    unproven,
    ...(isMoved ? { moved_at: to.now } : {}),
  };
  save(to, row);
  if (isMoved || (isNew && !unproven)) dropLeftBehind(to, node, row);
  if (!isNew) return;
  const shown = { ...row, grant_id: holder.grant_id };
  to.told.push(
    draftOf('registration.created', shown, { username: holder.username, node: node.name, ...describe(shown) }),
  );
  if (holder.grant_id !== null) to.told.push({ grantId: holder.grant_id, by: node });
  dropSurplus(to, row);
}

const firstOf = (to: Reducing, node: TellingNode, holder: NamedHolder, found: FoundRegistration) => ({
  id: to.createId(),
  node_id: node.id,
  domain_id: holder.domain_id,
  user_id: holder.id,
  sip_call_id: found.sipCallId,
  registered_at: to.now,
  grant_id: holder.grant_id,
  moved_at: null,
});

/** A phone is one, whatever Call-ID it has now and wherever it registers: it was started again, or has changed its node. */
function dropLeftBehind(to: Reducing, node: TellingNode, row: RegistrationRow): void {
  const isSame = (other: RegistrationRow): boolean =>
    (other.node_id === row.node_id && other.contact === row.contact) ||
    (row.phone_key !== '' && other.phone_key === row.phone_key);
  for (const gone of phonesOf(to, row.user_id).filter((other) => other.id !== row.id && isSame(other))) {
    remove(to, gone);
    const by = gone.node_id === row.node_id ? { node: node.name } : {};
    to.told.push(draftOf('registration.ended', gone, { ...by, reason: 'replaced', ...describe(gone) }));
    // The same contact at the same node is one there as well (multiple-registrations=contact).
    if (gone.node_id !== row.node_id || gone.contact !== row.contact) forget(to, gone);
  }
}

/**
 * A user may have so many phones: a further one takes the place of the one not seen for longest, as a phone that was
 * started again does. Those that are gone give way first.
 */
function dropSurplus(to: Reducing, row: RegistrationRow): void {
  const limit = to.known.limits.get(row.domain_id) ?? Infinity;
  const surplus = phonesOf(to, row.user_id).reverse().sort(byLastSeen).slice(limit);
  if (surplus.length === 0) return;
  to.refusals.push({ domainId: row.domain_id, limit, used: limit + surplus.length });
  for (const gone of surplus) {
    remove(to, gone);
    to.told.push(draftOf('registration.ended', gone, { reason: 'too_many', ...describe(gone) }));
    forget(to, gone);
  }
}

const byLastSeen = (a: RegistrationRow, b: RegistrationRow): number =>
  Number(isLiving(b)) - Number(isLiving(a)) || b.refreshed_at.getTime() - a.refreshed_at.getTime();

function handleUnregistered(to: Reducing, o: Extract<PhoneReport, { kind: 'unregistered' }>): void {
  const { node, ended } = o;
  const holder = to.known.holders.get(loginKey(ended.username, ended.domain));
  if (!holder) return;
  for (const row of phonesOf(to, holder.id)) {
    if (row.node_id !== node.id || row.grant_id !== holder.grant_id) continue;
    const judgement = judgeEnd(row, ended);
    if (judgement === 'unsure') to.doubts.push({ node, row, reason: ended.reason });
    if (judgement !== 'gone') continue;
    remove(to, row);
    // The end of one that a call found dead is told already.
    if (isLiving(row)) tellEnd(to, node, row, ended.reason);
  }
}

/** A phone that a call has found dead is not rung again until it registers again; one that has registered since is there. */
function handleRungInVain(to: Reducing, o: Extract<PhoneReport, { kind: 'rung_in_vain' }>): void {
  const { node, registrationId, since } = o;
  for (const phones of to.byUser.values()) {
    const row = phones.find(({ id }) => id === registrationId);
    if (!row || row.node_id !== node.id || !isLiving(row) || row.refreshed_at >= since) continue;
    const gone = { ...row, unreachable_at: to.now };
    save(to, gone);
    tellEnd(to, node, gone, 'unreachable');
  }
}

function tellEnd(to: Reducing, node: TellingNode, row: RegistrationRow, reason: string): void {
  to.told.push(draftOf('registration.ended', row, { node: node.name, reason, ...describe(row) }));
}

/** A copy: it may be gone through while it changes. */
const phonesOf = (to: Reducing, userId: string): RegistrationRow[] => [...(to.byUser.get(userId) ?? [])];

function save(to: Reducing, row: RegistrationRow): void {
  const others = phonesOf(to, row.user_id).filter(({ id }) => id !== row.id);
  to.byUser.set(row.user_id, [...others, row]);
  to.savedIds.set(row.id, row);
}

function remove(to: Reducing, row: RegistrationRow): void {
  to.byUser.set(
    row.user_id,
    phonesOf(to, row.user_id).filter(({ id }) => id !== row.id),
  );
  to.savedIds.delete(row.id);
  to.removedIds.push(row.id);
}

const forget = (to: Reducing, { node_id, profile, sip_call_id }: PhoneChanges['forgotten'][number]): void =>
  void to.forgotten.push({ node_id, profile, sip_call_id });
