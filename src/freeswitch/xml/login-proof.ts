/**
 * What a phone shows to prove its password (a digest, RFC 2617), as a node repeats it in its question. A node says
 * nothing of a wrong password but for REGISTER and INVITE (of MESSAGE, SUBSCRIBE and BYE there is no event), and calls a
 * phone too many (max-registrations) by the same name. The question has all that is needed to know by ourselves.
 */
import { createHash } from 'node:crypto';

export interface LoginProof {
  nonce: string;
  uri: string;
  /** The URI as it stands in the node's form, not decoded. */
  uriAsSent?: string;
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
    ...(fields['sip_auth_uri as sent']?.includes('%') ? { uriAsSent: fields['sip_auth_uri as sent'] } : {}),
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

/** What a node escapes itself (SWITCH_URL_UNSAFE); any other escape it sends was written by the phone. */
const NODE_ESCAPES = /^%(?:0D|0A|20|22|23|25|26|2B|3A|3B|3C|3D|3E|3F|40|5B|5C|5D|5E|60|7B|7C|7D)$/;
/** Longer user parts are no numbers and no names. */
const LONGEST_SENT = 1000;
/** With so many characters of which it can't be told who escaped them each combination is tried: 64. */
const MOST_COMBINED = 6;

/** One character of a form's value: `either` where it is not known whether the phone had escaped it. */
interface Piece {
  asSent: string;
  decoded: string;
  either: boolean;
}

function piecesOf(sent: string): Piece[] {
  return [...sent.matchAll(/%[0-9A-F]{2}|[^]/g)].map(({ 0: asSent, index }) => {
    // What is beyond ASCII a node escapes as well; which of the two it was, `otherSpellings` tries.
    const isNodes = NODE_ESCAPES.test(asSent);
    const isEscapedPercent = asSent === '%25' && /^[0-9A-F]{2}/.test(sent.slice(index + 3, index + 5));
    if (!isNodes || isEscapedPercent) return { asSent, decoded: asSent, either: false };
    const decoded = String.fromCharCode(parseInt(asSent.slice(1), 16));
    return { asSent, decoded, either: decoded !== '%' };
  });
}

/**
 * The user part is where a phone escapes what it need not: what stands between the scheme and the last `@`. More
 * doubtful characters than can be combined are tried all together, and each by itself: at most 64 spellings, since
 * each costs a wrong password two digests.
 */
function spellingsAsSent(sent: string): string[] {
  if (sent.length > LONGEST_SENT) return [];
  const pieces = piecesOf(sent);
  const from = pieces.findIndex((piece) => piece.decoded === ':') + 1;
  const to = pieces.findLastIndex((piece) => piece.decoded === '@');
  const doubtful = pieces.flatMap((piece, at) => (piece.either && at >= from && at < to ? [at] : []));
  const spell = (escaped: ReadonlySet<number>): string =>
    pieces.map((piece, at) => (escaped.has(at) ? piece.asSent : piece.decoded)).join('');
  const chosen: number[][] =
    doubtful.length <= MOST_COMBINED
      ? Array.from({ length: 2 ** doubtful.length }, (_, bits) => doubtful.filter((_at, i) => bits & (1 << i)))
      : [[], doubtful, ...doubtful.map((at) => [at])].slice(0, 2 ** MOST_COMBINED);
  return chosen.map((escaped) => spell(new Set(escaped)));
}

/** What was said of a question's proof: who counts failures asks before who answers. */
const judged = new WeakMap<LoginProof, { ha1: string; isRight: boolean }>();

export function provesPassword(proof: LoginProof, ha1: string): boolean {
  const before = judged.get(proof);
  if (before?.ha1 === ha1) return before.isRight;
  const isRight = isDigestOf(proof, ha1);
  judged.set(proof, { ha1, isRight });
  return isRight;
}

/** As sofia_reg_parse_auth has it. No time is told by the comparison: the digest is of a nonce that is used once. */
function isDigestOf(proof: LoginProof, ha1: string): boolean {
  const { nonce, nc, cnonce, qop } = proof;
  const isLong = nc !== undefined && cnonce !== undefined && qop !== undefined;
  const middle = isLong ? `${nonce}:${nc}:${cnonce}:${qop}` : nonce;
  const isOf = (uri: string): boolean => md5(`${ha1}:${middle}:${md5(`${proof.method}:${uri}`)}`) === proof.response;
  if (isOf(proof.uri) || otherSpellings(proof.uri).some(isOf)) return true;
  return proof.uriAsSent !== undefined && spellingsAsSent(proof.uriAsSent).some(isOf);
}

/** The same login asked twice is one: a node asks again where the answer is "not found". */
export const proofMark = (proof: LoginProof): string => md5(`${proof.nonce}:${proof.response}`);
