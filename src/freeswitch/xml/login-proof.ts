/**
 * What a phone shows to prove its password (a digest, RFC 2617), as a node repeats it in its question. A node says
 * nothing of a wrong password but for REGISTER and INVITE (of MESSAGE, SUBSCRIBE and BYE there is no event), and calls a
 * phone too many (max-registrations) by the same name. The question has all that is needed to know by ourselves.
 */
import { createHash } from 'node:crypto';

export interface LoginProof {
  nonce: string;
  uri: string;
  method: string;
  response: string;
  /** All three, or the older digest without them. */
  nc?: string;
  cnonce?: string;
  qop?: string;
}

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/**
 * Whatever else is missing: with a response there was a try. (A phone may leave its URI empty, and the node takes it so.)
 * @returns undefined where the question has none: nothing was tried
 */
export function readLoginProof(fields: Record<string, string | undefined>): LoginProof | undefined {
  const { sip_auth_response: response } = fields;
  if (!response) return undefined;
  return {
    nonce: fields.sip_auth_nonce ?? '',
    uri: fields.sip_auth_uri ?? '',
    method: fields.sip_auth_method ?? '',
    response: response.toLowerCase(),
    nc: fields.sip_auth_nc,
    cnonce: fields.sip_auth_cnonce,
    qop: fields.sip_auth_qop,
  };
}

/** What does not stand in a SIP address without being escaped (RFC 3261, 25.1); some phones escape a number's + too. */
const ESCAPED = /[^A-Za-z0-9\-_.!~*'()&=+$,;?/:@[\]]/gu;
const ESCAPED_AND_PLUS = /[^A-Za-z0-9\-_.!~*'()&=$,;?/:@[\]]/gu;

/**
 * How else the phone may have written its URI: FreeSWITCH does not escape a `%23` once more when it asks
 * (switch_url_encode), so it comes here as `#`.
 */
const otherSpellings = (uri: string): string[] =>
  [ESCAPED, ESCAPED_AND_PLUS]
    .map((characters) => uri.replace(characters, (character) => encodeURIComponent(character)))
    .flatMap((spelling) => [spelling, spelling.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase())])
    .filter((spelling) => spelling !== uri);

/** As sofia_reg_parse_auth has it. No time is told by the comparison: the digest is of a nonce that is used once. */
export function provesPassword(proof: LoginProof, ha1: string): boolean {
  const { nonce, nc, cnonce, qop } = proof;
  const isLong = nc !== undefined && cnonce !== undefined && qop !== undefined;
  const middle = isLong ? `${nonce}:${nc}:${cnonce}:${qop}` : nonce;
  const isOf = (uri: string): boolean => md5(`${ha1}:${middle}:${md5(`${proof.method}:${uri}`)}`) === proof.response;
  return isOf(proof.uri) || otherSpellings(proof.uri).some(isOf);
}

/** The same login asked twice is one: a node asks again where the answer is "not found". */
export const proofMark = (proof: LoginProof): string => md5(`${proof.nonce}:${proof.response}`);
