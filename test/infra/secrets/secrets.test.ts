/** What is made from the one secret: apart by purpose and by whom it is for, and still read after the secret has changed. */
import { createCipheriv, randomBytes } from 'node:crypto';
import {
  decryptSecret,
  encryptSecret,
  hashSipPassword,
  openDigest,
  purposeKeys,
  readToken,
  sealDigest,
  secretNames,
  signToken,
} from '../../../src/infra/secrets';

const NOW_MS = 1_800_000_000_000;
const exp = NOW_MS / 1000 + 60;
const [first, second, third] = [randomBytes(32), randomBytes(32), randomBytes(32)];
const both = Buffer.concat([second, first]);

const TOKENS = ['call', 'room', 'canary', 'recording', 'image'] as const;
const SEALS = ['digest', 'node-password', 'room-pin', 'moderator-pin', 'stream-key', 'kept-answer'] as const;

test('no two purposes have the same key, and none has the secret itself', () => {
  const purposes = [
    ...TOKENS.map((name) => `token/${name}` as const),
    ...SEALS.map((name) => `seal/${name}` as const),
    'repeated-request' as const,
  ];
  const keys = purposes.map((purpose) => purposeKeys(first, purpose)[0].key.toString('hex'));
  expect(new Set([...keys, first.toString('hex')]).size).toBe(purposes.length + 1);
});

test('the same secret gives the same keys for ever: these were computed by another HKDF', () => {
  const known = Buffer.alloc(32, 7);
  expect(secretNames(known)).toEqual(['a12e7aba9f2a']);
  expect(purposeKeys(known, 'token/call')[0].key.toString('hex')).toBe(
    'b30c03bf4ed1c05922794d651623b5e087d768fcb19a2987da7c09a534bdb73b',
  );
});

test.each(TOKENS)('a token of the kind "%s" is read as that and as no other kind', (made) => {
  const token = signToken(first, made, { part: 'p', image: 'p', n: 'node', u: 'a@b', r: 'r', c: 'c', exp });
  const read = TOKENS.filter((kind) => readToken(first, kind, token, NOW_MS) !== undefined);
  expect(read).toEqual([made]);
  expect(readToken(second, made, token, NOW_MS)).toBeUndefined();
  expect(readToken(both, made, token, NOW_MS)).toMatchObject({ part: 'p' });
  expect(readToken(first, made, token, exp * 1000)).toBeUndefined();
  expect(readToken(first, made, `${token.slice(0, -2)}AA`, NOW_MS)).toBeUndefined();
});

test.each(SEALS)(
  'what is sealed as "%s" opens as that, for the one it was sealed for, and not otherwise',
  (purpose) => {
    const sealed = encryptSecret(first, { purpose, of: 'a' }, 'Ünsecret 4711');
    expect(sealed).not.toContain('4711');
    const opening = SEALS.filter((other) => {
      try {
        return decryptSecret(first, { purpose: other, of: 'a' }, sealed) === 'Ünsecret 4711';
      } catch {
        return false;
      }
    });
    expect(opening).toEqual([purpose]);
    expect(() => decryptSecret(first, { purpose, of: 'b' }, sealed)).toThrow();
    expect(() => decryptSecret(second, { purpose, of: 'a' }, sealed)).toThrow('unknown SWITCHYARD_SECRET');
    expect(decryptSecret(both, { purpose, of: 'a' }, sealed)).toBe('Ünsecret 4711');
  },
);

test('with two secrets the first one writes', () => {
  const what = { purpose: 'room-pin', of: 'a' } as const;
  expect(decryptSecret(second, what, encryptSecret(both, what, '1234'))).toBe('1234');
  expect(readToken(second, 'call', signToken(both, 'call', { exp }), NOW_MS)).toEqual({ exp });
  expect(secretNames(Buffer.concat([second, second, first]))).toEqual([...secretNames(second), ...secretNames(first)]);
});

/** As version 0.2 sealed. */
function sealAsBefore(key: Buffer, plain: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return ['v1', ...[iv, cipher.getAuthTag(), text].map((part) => part.toString('base64url'))].join('.');
}

test('what an earlier version has sealed is still read, by a later secret too where the old one is named', () => {
  const sealed = sealAsBefore(first, 'of before');
  const what = { purpose: 'node-password', of: 'any' } as const;
  expect(decryptSecret(first, what, sealed)).toBe('of before');
  expect(decryptSecret(Buffer.concat([third, second, first]), what, sealed)).toBe('of before');
  expect(() => decryptSecret(second, what, sealed)).toThrow('unknown SWITCHYARD_SECRET');
});

test('a cut tag, a changed byte and nonsense never open', () => {
  const what = { purpose: 'digest', of: 'a@b' } as const;
  const sealed = encryptSecret(first, what, 'x');
  const [v, id, iv, tag = '', text] = sealed.split('.');
  const cut = [v, id, iv, tag.slice(0, 6), text].join('.');
  for (const wrong of [cut, `${sealed}A`, sealed.replace('v2', 'v1'), '', 'v2', 'v2....', sealAsBefore(first, 'x')]) {
    expect(() => decryptSecret(first, what, wrong)).toThrow();
  }
});

test("a user's digest opens for their own name in their own domain only; one in clear is read until it is sealed", () => {
  const mallory = { username: 'mallory', domain: 'clinic.test' };
  const ha1 = hashSipPassword('mallory', 'clinic.test', 'a long password');
  const sealed = sealDigest(first, mallory, ha1);
  expect(sealed).not.toContain(ha1);
  expect(openDigest(first, mallory, sealed)).toBe(ha1);
  expect(openDigest(first, mallory, ha1)).toBe(ha1);
  for (const other of [
    { username: 'bob', domain: 'clinic.test' },
    { username: 'mallory', domain: 'school.test' },
  ]) {
    expect(() => openDigest(first, other, sealed)).toThrow();
  }
});

test('a secret of another length is refused, and not cut or filled', () => {
  for (const length of [0, 16, 31, 33]) expect(() => purposeKeys(Buffer.alloc(length, 1), 'token/call')).toThrow('32');
});
