/** What a member's channel shows is worth something for that channel, session and node alone, and for its time. */
import { createId } from '../../../../src/infra/ids';
import { signToken } from '../../../../src/infra/secrets';
import { PROOF_SECONDS, readRoomProof, signRoomProof } from '../../../../src/domains/rooms/adoption/proof';
import type { ParticipantRow } from '../../../../src/domains/rooms/participants/participants.store';
import type { RoomRow } from '../../../../src/domains/rooms/rooms.store';
import type { SessionRow } from '../../../../src/domains/rooms/sessions/sessions.store';
import { DEFAULT_SETTINGS } from '../../../../src/domains/rooms/settings';

const KEY = Buffer.alloc(32, 7);
const NOW_MS = Date.parse('2026-01-01T12:00:00Z');
const at = new Date(NOW_MS - 1000);
const [session, room, person, legId] = [createId(), createId(), createId(), createId()];
const domainId = createId();
const rows = {
  session: {
    ...{ id: session, meeting_id: session, opened_at: at, locked: false },
    settings: { ...DEFAULT_SETTINGS, audioOnly: true },
  } as unknown as SessionRow,
  room: {
    ...{ id: room, domain_id: domainId, name: 'Über uns', pin_sealed: null, moderator_pin_sealed: null },
  } as unknown as RoomRow,
  participant: {
    ...{ id: person, call_id: createId(), identity: 'user:ann', kind: 'user', grant_id: null, user_id: createId() },
    ...{ name: 'Änn', role: 'moderator', max_video_kbps: null, entering_at: at },
  } as unknown as ParticipantRow,
};
const sign = (change: object = {}) => signRoomProof(KEY, { nodeName: 'one', legId, ...rows, ...change }, NOW_MS)!;
const read = (token: string, change: object = {}, nowMs = NOW_MS) =>
  readRoomProof(KEY, { nodeName: 'one', legId, sessionId: session, ...change }, token, nowMs);

test('what was signed is read, with what is needed to write the rows again', () => {
  expect(read(sign())).toEqual({
    session: { id: session, meetingId: session, openedAt: at },
    room: { id: room, domainId, name: 'Über uns', settings: { audioOnly: true }, isClosed: false },
    participant: rows.participant,
  });
});

test('a room that asked for a PIN, or was locked, is proven as closed', () => {
  for (const change of [{ pin_sealed: 'x' }, { moderator_pin_sealed: 'x' }])
    expect(read(sign({ room: { ...rows.room, ...change } }))?.room.isClosed).toBe(true);
  expect(read(sign({ session: { ...rows.session, locked: true } }))?.room.isClosed).toBe(true);
});

test.each([
  ['node', { nodeName: 'two' }],
  ['channel', { legId: createId() }],
  ['session', { sessionId: createId() }],
])('a proof is worth nothing for another %s', (_what, change) => {
  expect(read(sign(), change)).toBeUndefined();
});

test('a proof that is forged, made for something else, too old or of tomorrow is worth nothing', () => {
  const token = sign();
  const [body, mac] = token.split('.') as [string, string];
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, string | number>;
  const changed = Buffer.from(JSON.stringify({ ...claims, po: 'moderator', s: createId() })).toString('base64url');
  for (const forged of [`${changed}.${mac}`, body, '', '.', `${body}.`, `${body}.${mac}x`])
    expect(read(forged)).toBeUndefined();
  expect(read(signToken(KEY, 'adoption', claims))).toBeUndefined();
  expect(read(signToken(Buffer.alloc(32, 8), 'room-adoption', claims))).toBeUndefined();
  expect(read(signToken(KEY, 'room-adoption', { ...claims, k: 'king' }))).toBeUndefined();
  expect(read(signToken(KEY, 'room-adoption', { ...claims, e: NOW_MS + 60_000 }))).toBeUndefined();
  expect(read(token, {}, NOW_MS + (PROOF_SECONDS + 1) * 1000)).toBeUndefined();
});

test('settings that are longer than a channel may show are left out, and the rest is proven', () => {
  const settings = { layout: 'x'.repeat(1500) };
  expect(read(sign({ session: { ...rows.session, settings } }))).toMatchObject({ room: { settings: {} } });
});
