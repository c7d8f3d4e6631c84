/** What becomes of phones by a batch of reports: the same as by its reports one after the other, in their order. */
import * as fc from 'fast-check';
import {
  loginKey,
  reducePhones,
  type FoundRegistration,
  type KnownPhones,
  type PhoneChanges,
  type PhoneReport,
} from '../../../../src/domains/registrations/events/reduce-phones';
import type { NamedHolder, RegistrationRow } from '../../../../src/domains/registrations/registrations.store';

const DOMAIN = 'clinic.test';
const now = new Date('2026-01-01T12:00:00Z');
const [one, two] = [
  { id: 'n1', name: 'one' },
  { id: 'n2', name: 'two' },
];
const holder = (username: string, o: Partial<NamedHolder> = {}): NamedHolder => ({
  ...{ id: `id of ${username}`, domain_id: 'd', username, enabled: true },
  ...{ grant_id: null, grant_expires_at: null, grant_revoked_at: null, ...o },
});
const known = (o: Partial<KnownPhones> = {}): KnownPhones => ({
  holders: new Map(['ann', 'bob'].map((name) => [loginKey(name, DOMAIN), holder(name)])),
  phones: [],
  limits: new Map([['d', 3]]),
  ...o,
});
const found = (o: Partial<FoundRegistration> = {}): FoundRegistration => ({
  ...{ username: 'ann', domain: DOMAIN, contact: 'sip:ann@192.0.2.1:5060', sipCallId: 'a', expiresSeconds: 300 },
  ...{ networkIp: '192.0.2.1', networkPort: 5060, userAgent: '', profile: 'internal', transport: 'udp', ...o },
});
const registered = (o: Partial<FoundRegistration> = {}, node = one): PhoneReport => {
  return { kind: 'registered', node, found: found(o) };
};
const unregistered = (o: { sipCallId?: string; contact?: string } = {}, node = one): PhoneReport => {
  const { username, domain, contact, sipCallId, networkIp, networkPort } = found(o);
  return {
    kind: 'unregistered',
    node,
    ended: { username, domain, contact, sipCallId, networkIp, networkPort, profile: 'internal', reason: 'unregister' },
  };
};

/** Ids in the order of their making. */
function reduce(state: KnownPhones, reports: readonly PhoneReport[], from = 0): PhoneChanges {
  let count = from;
  return reducePhones(state, reports, { now, createId: () => `r${String((count += 1)).padStart(4, '0')}` });
}
const told = (changes: PhoneChanges): string[] =>
  changes.told.map((one) => ('grantId' in one ? 'grant.used' : `${one.type} ${String(one.data.reason ?? '')}`.trim()));
const callIds = (changes: PhoneChanges): string[] => changes.saved.map((row) => row.sip_call_id).sort();

/** As the database has them afterwards. */
function apply(phones: readonly RegistrationRow[], changes: PhoneChanges): RegistrationRow[] {
  const rows = new Map(phones.map((row) => [row.id, row]));
  for (const id of changes.removedIds) rows.delete(id);
  for (const row of changes.saved) rows.set(row.id, row);
  return [...rows.values()];
}

test('a phone that comes and goes within one batch leaves nothing, and both are told in their order', () => {
  const changes = reduce(known(), [registered(), unregistered()]);
  expect(changes.saved).toEqual([]);
  expect(told(changes)).toEqual(['registration.created', 'registration.ended unregister']);
});

test('a phone that goes and comes again within one batch is there, anew', () => {
  const before = reduce(known(), [registered()]).saved;
  const changes = reduce(known({ phones: before }), [unregistered(), registered()], 1);
  expect(changes.removedIds).toEqual(['r0001']);
  expect(changes.saved.map(({ id }) => id)).toEqual(['r0002']);
  expect(told(changes)).toEqual(['registration.ended unregister', 'registration.created']);
});

test('the same registration twice is told once', () => {
  const changes = reduce(known(), [registered(), registered()]);
  expect(callIds(changes)).toEqual(['a']);
  expect(told(changes)).toEqual(['registration.created']);
});

test('a phone that changes its node within one batch is there once, and the node it left forgets it', () => {
  const changes = reduce(known(), [registered(), registered({ sipCallId: 'b' }, two)]);
  expect(changes.saved.map((row) => [row.node_id, row.sip_call_id])).toEqual([['n2', 'b']]);
  expect(told(changes)).toEqual(['registration.created', 'registration.ended replaced', 'registration.created']);
  expect(changes.forgotten).toEqual([{ node_id: 'n1', profile: 'internal', sip_call_id: 'a' }]);
});

test('of more phones than a user may have those that came first within the batch go', () => {
  const phones = ['a', 'b', 'c', 'd', 'e'].map((sipCallId, i) =>
    registered({ sipCallId, contact: `sip:ann@192.0.2.${i}`, networkIp: `192.0.2.${i}` }),
  );
  const changes = reduce(known(), phones);
  expect(callIds(changes)).toEqual(['c', 'd', 'e']);
  expect(changes.refusals).toEqual([
    { domainId: 'd', limit: 3, used: 4 },
    { domainId: 'd', limit: 3, used: 4 },
  ]);
});

test('a phone that a call has found dead is told once to be gone, and told anew when it registers', () => {
  const [row] = reduce(known(), [registered()]).saved;
  const dead: PhoneReport = {
    kind: 'rung_in_vain',
    node: one,
    registrationId: row!.id,
    since: new Date(now.getTime() + 1),
  };
  const gone = reduce(known({ phones: [row!] }), [dead, dead]);
  expect(told(gone)).toEqual(['registration.ended unreachable']);
  expect(told(reduce(known({ phones: gone.saved }), [unregistered()]))).toEqual([]);
  expect(told(reduce(known({ phones: gone.saved }), [registered()]))).toEqual(['registration.created']);
});

test('one that has registered since it was rung is there, and another node is not believed of it', () => {
  const [row] = reduce(known(), [registered()]).saved;
  const told = (since: Date, node = one): PhoneReport => {
    return { kind: 'rung_in_vain', node, registrationId: row!.id, since };
  };
  expect(reduce(known({ phones: [row!] }), [told(now)]).saved).toEqual([]);
  expect(reduce(known({ phones: [row!] }), [told(new Date(now.getTime() + 1), two)]).saved).toEqual([]);
});

test.each<[string, Partial<NamedHolder>]>([
  ['a user who is disabled', { enabled: false }],
  ['a grant that was revoked', { grant_id: 'g', grant_revoked_at: now }],
  ['a grant that is over', { grant_id: 'g', grant_expires_at: now }],
])('%s has no phone', (_who, o) => {
  const holders = new Map([[loginKey('ann', DOMAIN), holder('ann', o)]]);
  expect(reduce(known({ holders }), [registered()])).toMatchObject({ saved: [], told: [] });
});

test('a phone of a grant is known until the grant is over, and its first use is told behind it', () => {
  const ends = new Date(now.getTime() + 60_000);
  const holders = new Map([[loginKey('ann', DOMAIN), holder('ann', { grant_id: 'g', grant_expires_at: ends })]]);
  const changes = reduce(known({ holders }), [registered()]);
  expect(changes.saved[0]!.expires_at).toEqual(ends);
  expect(told(changes)).toEqual(['registration.created', 'grant.used']);
});

test('what a node lists from before its restart is forgotten there where the phone has gone to another', () => {
  const phones = reduce(known(), [registered({}, two)]).saved;
  const listed = { ...registered({ sipCallId: 'old' }), unproven: true } as PhoneReport;
  const changes = reduce(known({ phones }), [listed]);
  expect(changes.saved).toEqual([]);
  expect(changes.forgotten).toEqual([{ node_id: 'n1', profile: 'internal', sip_call_id: 'old' }]);
});

test('a batch does what its reports do one after the other', () => {
  const report = fc
    .record({
      kind: fc.constantFrom('registered', 'unregistered', 'moved'),
      username: fc.constantFrom('ann', 'bob'),
      sipCallId: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      port: fc.constantFrom(5060, 5061, 5062, 5063, 5064),
      node: fc.constantFrom(one, two),
    })
    .map(({ kind, username, sipCallId, port, node }): PhoneReport => {
      const phone = { username, sipCallId, contact: `sip:${username}@192.0.2.1:${port}` };
      if (kind === 'unregistered') return unregistered(phone, node);
      return registered({ ...phone, ...(kind === 'moved' ? { networkPort: port } : {}) }, node);
    });
  fc.assert(
    fc.property(fc.array(report, { maxLength: 25 }), (reports) => {
      const together = reduce(known(), reports);
      let phones: RegistrationRow[] = [];
      const alone: string[] = [];
      let made = 0;
      for (const each of reports) {
        const changes = reduce(known({ phones }), [each], made);
        made += changes.told.filter((one) => 'type' in one && one.type === 'registration.created').length;
        // As the database gives them: the one that was seen last stands behind the others.
        const touched = new Set(changes.saved.map(({ id }) => id));
        phones = apply(phones, changes).sort((a, b) => Number(touched.has(a.id)) - Number(touched.has(b.id)));
        alone.push(...told(changes));
      }
      const plain = (rows: readonly RegistrationRow[]): string[] =>
        rows.map(({ id: _id, ...row }) => JSON.stringify(row)).sort();
      expect(plain(apply([], together))).toEqual(plain(phones));
      expect(told(together)).toEqual(alone);
    }),
    { numRuns: 300 },
  );
});
