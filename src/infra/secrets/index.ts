/** Everything that hides or proves something. */
export { hashSipPassword, isClearDigest, openDigest, sealDigest } from './digests';
export { createSecret, equalSecrets, hashSecret } from './hashes';
export { purposeKeys, secretNames, splitSecrets, type SealPurpose } from './keys';
export { decryptSecret, encryptSecret, sealedPrefix, type Sealed } from './sealing';
export { readToken, signToken } from './tokens';
