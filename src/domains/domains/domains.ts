/** Domains: tenants, each with a SIP domain of its own, and the walls between them. */
import { z } from 'zod';
import { nameTaken, SwitchyardError } from '../../errors';
import { violatedUnique, type Db, type Queryable } from '../../infra/stores/db';
import { createId, isId } from '../../infra/ids';
import type { Caller } from '../../infra/route';
import { isCountry } from '../../infra/text/telephone-number';
import { plainText } from '../../infra/text/plain-text';
import { flushRegistrationsOf, PHONE_PROFILE } from '../../freeswitch/esl';
import { storeClock } from '../../infra/store-clock';
import type { EventLog } from '../events/events';
import { POOL_STREAM, type EventDraft } from '../events/events.store';
import type { UserEndings } from '../users/ended/end-user';
import * as store from './domains.store';

/** A DNS name: labels of letters, digits and inner hyphens; kept in lower case. */
export const domainName = z
  .string()
  .min(1)
  .max(253)
  .toLowerCase()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'must be a DNS name: labels of letters, digits and inner hyphens, joined by dots',
  )
  .refine((s) => s !== 'anonymous.invalid', 'is reserved for anonymous callers (RFC 3323)')
  .refine((s) => !isId(s), 'must not look like an id');

/** How a request names a domain: by its name or id. */
export const domainReference = plainText({ min: 1, max: 253 }).describe("A domain's name or id.");

/** By whose habits people of the domain dial. */
export const domainCountry = z
  .string()
  .refine(isCountry, 'must be an ISO 3166 country code in two capital letters, like DE')
  .nullable()
  .describe(
    'How national numbers are read: with DE, 030 12345 and 0049 30 12345 are +493012345. Null: only numbers with a ' +
      '+ are international. Applies to numbers stored and dialled from then on; stored numbers stay.',
  );

export const domainSchema = z
  .object({
    id: z.uuid(),
    name: z.string(),
    displayName: z.string(),
    country: z.string().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Domain' });

export type DomainView = z.output<typeof domainSchema>;

export function presentDomain(row: store.DomainRow): DomainView {
  return {
    id: row.id,
    name: row.name,
    displayName: row.display_name,
    country: row.country,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

/** True where the caller may know that the domain exists. */
export function mayUseDomain(caller: Caller, domainId: string): boolean {
  return caller.scopes.includes('admin') || caller.domainId === domainId;
}

/**
 * The domain a request names, or a domain key's own where it names none.
 * @throws SwitchyardError not_found where there is none, or the caller may not know of it; invalid_request where an
 * admin key names none
 */
export async function requireDomain(
  db: Queryable,
  caller: Caller,
  nameOrId: string | undefined,
): Promise<store.DomainRow> {
  const wanted = nameOrId ?? caller.domainId;
  if (wanted === null || wanted === undefined) {
    throw new SwitchyardError('invalid_request', 'A domain is required.', {
      errors: [{ path: 'domain', message: 'is required with an admin key' }],
    });
  }
  const row = await store.findDomain(db, wanted);
  if (!row || !mayUseDomain(caller, row.id)) throw new SwitchyardError('not_found', 'No such domain.');
  return row;
}

export interface DomainsDeps {
  db: Db;
  events: EventLog;
  /** After a user was changed or removed: nodes forget what they keep of it. */
  onUserChanged: (user: { domain: string; username: string }) => void | Promise<void>;
  /** Lets the phones of its users go, and the pages of its grants. */
  endings: UserEndings;
  /** Keys that died with their domain. */
  onKeysRevoked: (apiKeyIds: readonly string[]) => void | Promise<void>;
}

/** A domain's own readers and those of the pool both hear of it. */
function domainEvents(type: string, domain: DomainView): EventDraft[] {
  return [domain.id, POOL_STREAM].map((stream) => ({ stream, type, data: { domain } }));
}

export async function createDomain(
  deps: DomainsDeps,
  input: { name: string; displayName: string; country: string | null },
): Promise<DomainView> {
  const { name, displayName, country } = input;
  try {
    return await deps.events.record(async (trx, emit) => {
      const row = await store.insertDomain(trx, { id: createId(), name, display_name: displayName, country });
      const view = presentDomain(row);
      domainEvents('domain.created', view).forEach(emit);
      return view;
    });
  } catch (error) {
    if (violatedUnique(error)) throw nameTaken('domain', input.name);
    throw error;
  }
}

export async function changeDomain(
  deps: DomainsDeps,
  id: string,
  patch: { displayName?: string; country?: string | null },
): Promise<DomainView> {
  const changes: store.DomainChanges = {
    ...(patch.displayName !== undefined && { display_name: patch.displayName }),
    ...(patch.country !== undefined && { country: patch.country }),
  };
  return deps.events.record(async (trx, emit) => {
    const row = await store.updateDomain(trx, id, changes);
    if (!row) throw new SwitchyardError('not_found', 'No such domain.');
    const view = presentDomain(row);
    domainEvents('domain.updated', view).forEach(emit);
    return view;
  });
}

/** Refused while a call of the domain is going on. */
export async function removeDomain(deps: DomainsDeps, domain: store.DomainRow): Promise<void> {
  const gone = await deps.events.record(async (trx, emit) => {
    const { found, liveCalls } = await store.lockDomain(trx, domain.id);
    if (!found) throw new SwitchyardError('not_found', 'No such domain.');
    if (liveCalls) throw new SwitchyardError('conflict', 'This domain has live calls: hang them up first.');
    const usernames = await store.listUsernames(trx, domain.id);
    const keyIds = await store.listKeyIds(trx, domain.id);
    const sipNames = await store.listRegisteredNames(trx, domain.id);
    const grantIds = await store.listLivingGrantIds(trx, domain.id, storeClock.now());
    await store.deleteDomain(trx, domain.id);
    domainEvents('domain.deleted', presentDomain(domain)).forEach(emit);
    return { usernames, keyIds, sipNames, grantIds };
  });
  await deps.onKeysRevoked(gone.keyIds);
  await deps.endings.onGrantsEnded(gone.grantIds);
  for (const name of gone.sipNames) deps.endings.broadcast(flushRegistrationsOf(PHONE_PROFILE, name, domain.name));
  for (const username of gone.usernames) await deps.onUserChanged({ domain: domain.name, username });
}
