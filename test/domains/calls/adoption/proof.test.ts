/** What a leg shows of its call is worth something at the node that was given it, and for its time. */
import { createId } from '../../../../src/infra/ids';
import { signToken } from '../../../../src/infra/secrets';
import { readProof, signProof } from '../../../../src/domains/calls/adoption/proof';

const KEY = Buffer.alloc(32, 7);
const NOW_MS = Date.parse('2026-01-01T12:00:00Z');
const call = {
  ...{ id: createId(), domain_id: createId(), from_address: 'user:ann', to_address: 'user:bob' },
  ...{ origin: 'api' as const, queued_at: new Date(NOW_MS - 1000) },
};
const token = signProof(KEY, 'one', call, NOW_MS);
const [body, mac] = token.split('.') as [string, string];
const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, string | number>;
const read = (shown: string, nodeName = 'one', nowMs = NOW_MS) => readProof(KEY, nodeName, shown, nowMs);

test('what was signed is read at the node that was given it, and at no other', () => {
  expect(read(token)).toMatchObject({ callId: call.id, domainId: call.domain_id, from: 'user:ann', to: 'user:bob' });
  expect(read(token, 'two')).toBeUndefined();
});

test('a proof that is forged, made for something else, too old or of tomorrow is worth nothing', () => {
  const changed = Buffer.from(JSON.stringify({ ...claims, c: createId() })).toString('base64url');
  for (const forged of [`${changed}.${mac}`, body, '', '.', `${body}.`, `${body}.${mac}x`])
    expect(read(forged)).toBeUndefined();
  expect(read(signToken(KEY, 'room-adoption', claims))).toBeUndefined();
  expect(read(signToken(Buffer.alloc(32, 8), 'adoption', claims))).toBeUndefined();
  expect(read(signToken(KEY, 'adoption', { ...claims, q: NOW_MS + 60_000 }))).toBeUndefined();
  expect(read(token, 'one', NOW_MS + 9 * 86_400_000)).toBeUndefined();
});
