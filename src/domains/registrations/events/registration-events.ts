/** Takes in what nodes tell of phones: registered, unregistered, rung in vain. A batch is one look, one decision, and one statement for each verb. */
import type { ChannelEvent, RegisteredEvent, UnregisteredEvent } from '../../../freeswitch/esl';
import { flushRegistration } from '../../../freeswitch/esl';
import { createId, isId } from '../../../infra/ids';
import { runInHalves } from '../../../infra/flow/in-halves';
import { storeClock } from '../../../infra/store-clock';
import type { Db, Trx } from '../../../infra/stores/db';
import { draftGrantEvent } from '../../grants/grants';
import { isGrantName } from '../../grants/grant-name';
import { markGrantsUsed } from '../../grants/grants.store';
import { endUnlessThere, foundNobody } from '../ended';
import { isPlausible } from '../plausible';
import type { RegistrationDeps } from '../registrations';
import type { RegistrationRow } from '../registrations.store';
import {
  deletePhones,
  listForgettable,
  lockHolders,
  lockPhonesOf,
  refreshPhones,
  savePhones,
  type LockedHolder,
  type WantedLogin,
} from './phone-batch.store';
import {
  columnsOf,
  expiryOf,
  loginKey,
  reducePhones,
  type FoundRegistration,
  type PhoneChanges,
  type PhoneReport,
  type TellingNode,
} from './reduce-phones';

/** Of these nobody else has to be told anything. */
export interface PhoneEvent {
  node: TellingNode;
  event: RegisteredEvent | UnregisteredEvent | ChannelEvent;
}

/** In the order in which they came. @throws where the database is away: then the same batch may be given again */
export async function handleRegistrationEvents(deps: RegistrationDeps, batch: readonly PhoneEvent[]): Promise<void> {
  const reports = batch.flatMap(({ node, event }) => readReport(node, event) ?? []);
  await savePhoneReports(deps, await sortOut(deps, reports));
}

/** @returns undefined where it tells nothing of a phone */
function readReport(node: TellingNode, event: PhoneEvent['event']): PhoneReport | undefined {
  if (event.type === 'registered') return { kind: 'registered', node, found: event };
  if (event.type === 'unregistered') return { kind: 'unregistered', node, ended: event };
  const { registrationId, wasHeardFrom = true, inviteStatus } = event;
  if (event.phase !== 'hangup' || registrationId === undefined || !isId(registrationId)) return undefined;
  if (event.profile !== 'internal' || !foundNobody({ wasHeardFrom, inviteStatus })) return undefined;
  const lastedMs = (event.endedAtMs ?? event.atMs) - (event.createdAtMs ?? event.atMs);
  // In our own time: the node's clock is another.
  const since = new Date(storeClock.nowMs() - Math.max(0, lastedMs));
  return { kind: 'rung_in_vain', node, registrationId, since };
}

type LoginReport = Exclude<PhoneReport, { kind: 'rung_in_vain' }>;
const loginOf = (report: LoginReport): { username: string; domain: string } =>
  report.kind === 'registered' ? report.found : report.ended;

/** A node is believed of phones that have proved their password there, in words that a phone can have said. */
async function sortOut(deps: RegistrationDeps, reports: readonly PhoneReport[]): Promise<PhoneReport[]> {
  const plausible = reports.filter((one) => one.kind !== 'registered' || isPlausible(one.found) || refuse(deps, one));
  const looked = await Promise.all(
    plausible.map(({ node, ...one }) =>
      one.kind === 'registered' ? deps.shownLogins.isShown(node.id, one.found.username, one.found.domain) : true,
    ),
  );
  return plausible.filter((report, at) => {
    if (report.kind === 'rung_in_vain') return true;
    const { username, domain } = loginOf(report);
    const key = `${report.node.id} ${loginKey(username, domain)}`;
    if (looked[at] && !deps.lateProofs.isWaiting(key)) return true;
    if (!deps.lateProofs.add(report.node.id, key, () => takeLate(deps, report))) refuse(deps, report);
    return false;
  });
}

async function takeLate(deps: RegistrationDeps, report: LoginReport): Promise<void> {
  if (report.kind === 'registered' && !(await isBelieved(deps, report.node, report.found))) return;
  await savePhoneReports(deps, [report]);
}

/** Waits for another replica's word where there is none yet. */
export async function isBelieved(
  deps: RegistrationDeps,
  node: TellingNode,
  found: FoundRegistration,
): Promise<boolean> {
  const { username, domain } = found;
  if (isPlausible(found) && (await deps.shownLogins.wasShown(node.id, username, domain))) return true;
  return refuse(deps, { kind: 'registered', node, found });
}

function refuse(deps: RegistrationDeps, report: LoginReport): false {
  const { username, domain } = loginOf(report);
  deps.refuseReport(report.node, 'registration', { username: username.slice(0, 64), domain: domain.slice(0, 253) });
  return false;
}

/** Of reports that are believed. Each that can't be kept is left out by itself: it must not keep a whole node out of the pool. */
export async function savePhoneReports(deps: RegistrationDeps, reports: readonly PhoneReport[]): Promise<void> {
  const now = storeClock.now();
  const rest = new Set(reports);
  await runInHalves(
    refreshable(reports, now),
    async (some) => {
      for (const at of await refreshPhones(deps.db, some.map(asRefresh(now)), now)) rest.delete(some[at]!);
    },
    () => undefined, // the longer way says what is wrong
  );
  await runInHalves(
    [...rest],
    (some) => writeReports(deps, some, now),
    ({ node }, error) => deps.logger.error({ err: error, node: node.name }, 'a report of a phone can not be kept'),
  );
}

type Registered = Extract<PhoneReport, { kind: 'registered' }>;

/** The only report of its login in this batch: others may have to come before it. */
function refreshable(reports: readonly PhoneReport[], now: Date): Registered[] {
  const counts = new Map<string, number>();
  const keyOf = (report: LoginReport): string => loginKey(loginOf(report).username, loginOf(report).domain);
  for (const one of reports) if (one.kind !== 'rung_in_vain') counts.set(keyOf(one), (counts.get(keyOf(one)) ?? 0) + 1);
  const isLasting = ({ found }: Registered): boolean => expiryOf(found, now.getTime()) > now.getTime();
  return reports.filter(
    (one): one is Registered =>
      one.kind === 'registered' && one.unproven !== true && counts.get(keyOf(one)) === 1 && isLasting(one),
  );
}

const wantedLogin = ({ username, domain }: { username: string; domain: string }): WantedLogin => {
  return { username, domain: domain.toLowerCase(), is_grant: isGrantName(username) };
};

const asRefresh =
  (now: Date) =>
  ({ node, found }: Registered, at: number) => ({
    at,
    node_id: node.id,
    ...wantedLogin(found),
    sip_call_id: found.sipCallId,
    ...columnsOf(found),
    expires_at: new Date(expiryOf(found, now.getTime())),
  });

async function writeReports(deps: RegistrationDeps, reports: readonly PhoneReport[], now: Date): Promise<void> {
  const logins = new Map<string, WantedLogin>();
  const ids: string[] = [];
  for (const report of reports) {
    if (report.kind === 'rung_in_vain') ids.push(report.registrationId);
    else logins.set(loginKey(loginOf(report).username, loginOf(report).domain), wantedLogin(loginOf(report)));
  }
  const changes = await deps.log.record(async (trx, emit) => {
    const holders = await lockHolders(trx, [...logins.values()], ids);
    if (holders.length === 0) return undefined;
    const phones = await lockPhonesOf(trx, [...new Set(holders.map(({ id }) => id))]);
    const known = { holders: byLogin(holders), phones, limits: await readLimits(deps, trx, holders) };
    const changed = reducePhones(known, reports, { now, createId: () => createId(now.getTime()) });
    await deletePhones(trx, changed.removedIds);
    await savePhones(trx, changed.saved);
    await tellChanges(trx, emit, changed, now);
    return changed;
  });
  if (!changes) return;
  for (const { domainId, ...refusal } of changes.refusals)
    deps.quotas.refuse(domainId, { quota: 'registrationsPerUser', ...refusal });
  for (const { node, row, reason } of changes.doubts)
    deps.doubts.add(row.id, () => endUnlessThere(deps, node, row, reason));
  await forgetAtNodes(deps, deps.db, changes.forgotten);
}

const byLogin = (holders: readonly LockedHolder[]): Map<string, LockedHolder> =>
  new Map(
    holders.flatMap((one) =>
      one.login === null || one.domain_name === null ? [] : [[loginKey(one.login, one.domain_name), one]],
    ),
  );

async function readLimits(
  deps: RegistrationDeps,
  trx: Trx,
  holders: readonly LockedHolder[],
): Promise<Map<string, number>> {
  const limits = new Map<string, number>();
  for (const { domain_id } of holders)
    if (!limits.has(domain_id))
      limits.set(domain_id, await deps.quotas.limitOf(domain_id, 'registrationsPerUser', trx));
  return limits;
}

/** A grant's first use is told where it is: another replica may have been first. */
async function tellChanges(
  trx: Trx,
  emit: Parameters<Parameters<RegistrationDeps['log']['record']>[0]>[1],
  changes: PhoneChanges,
  now: Date,
): Promise<void> {
  const uses = changes.told.flatMap((one) => ('grantId' in one ? [one.grantId] : []));
  const used = new Map((await markGrantsUsed(trx, uses, now)).map((grant) => [grant.id, grant]));
  for (const one of changes.told) {
    if (!('grantId' in one)) {
      emit(one);
      continue;
    }
    const grant = used.get(one.grantId);
    if (grant) emit(draftGrantEvent('grant.used', grant, { by: 'register', node: one.by.name }));
    used.delete(one.grantId);
  }
}

/** Has nodes forget phones: else they list them, and would ring them, until their time is over. */
export async function forgetAtNodes(
  deps: Pick<RegistrationDeps, 'flush'>,
  db: Db,
  phones: readonly Pick<RegistrationRow, 'node_id' | 'profile' | 'sip_call_id'>[],
): Promise<void> {
  const ours = phones.filter(({ profile }) => profile === 'internal');
  for (const { node_id, profile, sip_call_id } of await listForgettable(db, ours))
    deps.flush(node_id, flushRegistration(profile, sip_call_id));
}
