/** Who is in which room by a batch of reports: the same as by its reports one after the other, in their order. */
import * as fc from 'fast-check';
import type { NodeRow } from '../../../../src/domains/nodes/nodes.store';
import type { ParticipantRow } from '../../../../src/domains/rooms/participants/participants.store';
import {
  reduceMembers,
  type KnownMembers,
  type MemberChanges,
  type MemberFact,
} from '../../../../src/domains/rooms/participants/reduce-members';
import type { SessionRow } from '../../../../src/domains/rooms/sessions/sessions.store';
import type { ChannelEvent, RoomEvent } from '../../../../src/freeswitch/esl';

const nowMs = Date.UTC(2026, 0, 1, 12);
const [one, two] = [{ id: 'n1', name: 'one' } as NodeRow, { id: 'n2', name: 'two' } as NodeRow];
const idOf = (n: number): string => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const ROOM = idOf(1);
const LEGS = [11, 12, 13].map(idOf);

const session = (o: Partial<SessionRow> = {}): SessionRow =>
  ({
    ...{ id: ROOM, room_id: 'r', domain_id: 'd', node_id: 'n1', epoch: '1', meeting_id: ROOM, state: 'opening' },
    ...{ conference_uuid: null, open_until: new Date(nowMs), started_at: null, opened_at: new Date(nowMs - 60_000) },
    ...{ observed: {}, ...o },
  }) as SessionRow;
const person = (legId: string, o: Partial<ParticipantRow> = {}): ParticipantRow =>
  ({
    ...{ id: `p ${legId}`, room_id: 'r', session_id: ROOM, meeting_id: ROOM, domain_id: 'd', call_id: `c ${legId}` },
    ...{
      leg_id: legId,
      member_id: null,
      identity: 'user:ann',
      kind: 'user',
      state: 'joining',
      leave_reason: null,
      ...o,
    },
  }) as ParticipantRow;
const known = (sessions: SessionRow[] = [session()], people = LEGS.map((leg) => person(leg))): KnownMembers => ({
  sessions: new Map(sessions.map((row) => [row.id, row])),
  participants: new Map(people.map((row) => [row.leg_id!, row])),
});
const told = (changes: MemberChanges): string[] =>
  changes.told.map((draft) =>
    'callId' in draft && 'at' in draft ? `answers ${draft.callId}` : (draft as { type: string }).type,
  );

const room = (action: string, o: Partial<RoomEvent> = {}, node = one): MemberFact => ({
  node,
  event: { type: 'room', action, room: ROOM, sessionId: 'u', atMs: nowMs, fields: {}, ...o } as RoomEvent,
});
const comes = (leg: number, node = one) => room('add-member', { legId: LEGS[leg], memberId: String(leg + 1) }, node);
const goes = (leg: number, node = one) => room('del-member', { legId: LEGS[leg], memberId: String(leg + 1) }, node);
const ends = (leg: number, hangupCause = 'NORMAL_CLEARING', node = one): MemberFact => ({
  node,
  event: { type: 'channel', phase: 'hangup', legId: LEGS[leg], hangupCause, atMs: nowMs } as ChannelEvent,
});
const reduce = (facts: MemberFact[], state = known()): MemberChanges => reduceMembers(state, facts, nowMs);

test('the first who comes brings the room to life, and their call is answered before they are told to be in', () => {
  const changes = reduce([room('conference-create'), comes(0), comes(1)]);
  expect(told(changes)).toEqual([
    'session.live',
    ...[`answers c ${LEGS[0]}`, 'participant.in', `answers c ${LEGS[1]}`, 'participant.in'],
  ]);
  expect(changes.sessions.get(ROOM)).toMatchObject({ state: 'live', conference_uuid: 'u', open_until: null });
  expect(changes.notices.map(({ kind }) => kind)).toEqual(['live', 'in', 'in']);
});

test('who comes and goes in one batch has been there, and is out once, whoever tells it', () => {
  const changes = reduce([comes(0), goes(0), ends(0)]);
  expect(told(changes)).toEqual(['session.live', `answers c ${LEGS[0]}`, 'participant.in', 'participant.left']);
  expect(changes.participants.get(`p ${LEGS[0]}`)).toMatchObject({
    state: 'left',
    leg_id: null,
    leave_reason: 'hung_up',
  });
});

test('why somebody is put out, where it is written already, is what is told', () => {
  const state = known([session()], [person(LEGS[0]!, { state: 'in', leave_reason: 'removed' }), person(LEGS[1]!)]);
  const changes = reduce([ends(0), ends(1, 'MEDIA_TIMEOUT')], state);
  const reasons = [...changes.participants.values()].map((row) => row.leave_reason);
  expect(reasons).toEqual(['removed', 'connection_lost']);
});

test.each<[string, MemberFact[], KnownMembers]>([
  ['runs a room of another node', [comes(0, two)], known()],
  ['tells of the end of a channel in it', [ends(0, 'NORMAL_CLEARING', two)], known()],
  ['says that it is over', [room('conference-destroy', {}, two)], known()],
])('a node that %s is not believed', (_what, facts, state) => {
  const changes = reduce(facts, state);
  expect(told(changes)).toEqual([]);
  expect(changes.ended).toEqual([]);
  expect(changes.refusals).toMatchObject([{ about: 'room' }]);
});

test('a room that is over here, and somebody in one whom no row explains, are looked at', () => {
  expect(reduce([comes(0)], known([session({ state: 'ended' })])).strangers).toMatchObject([{ session: undefined }]);
  expect(reduce([comes(0)], known([session()], [])).strangers).toMatchObject([
    { session: { id: ROOM, state: 'live' }, room: { members: [{ memberId: 1, legId: LEGS[0] }] } },
  ]);
});

test('a batch does what its reports do one after the other', () => {
  const fact = fc
    .record({
      what: fc.constantFrom('create', 'comes', 'goes', 'ends'),
      leg: fc.nat(2),
      node: fc.constantFrom(one, one, two),
    })
    .map(({ what, leg, node }) => {
      if (what === 'create') return room('conference-create', {}, node);
      return what === 'comes' ? comes(leg, node) : what === 'goes' ? goes(leg, node) : ends(leg, undefined, node);
    });
  fc.assert(
    fc.property(fc.array(fact, { maxLength: 20 }), (facts) => {
      const together = reduce(facts);
      let state = known();
      const alone: string[] = [];
      for (const each of facts) {
        const changes = reduce([each], state);
        alone.push(...told(changes));
        const people = new Map([...state.participants.values()].map((row) => [row.id, row]));
        for (const [id, row] of changes.participants) people.set(id, row);
        state = known(
          [...state.sessions.values()].map((row) => changes.sessions.get(row.id) ?? row),
          [...people.values()].filter((row) => row.leg_id !== null),
        );
      }
      expect(told(together)).toEqual(alone);
      const now = LEGS.flatMap((leg) => together.participants.get(`p ${leg}`) ?? person(leg)).filter(
        (row) => row.leg_id,
      );
      expect(now).toEqual(LEGS.flatMap((leg) => state.participants.get(leg) ?? []));
    }),
    { numRuns: 300 },
  );
});
