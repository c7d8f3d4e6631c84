/** Says in words what stands between us and Switchyard: nobody there, a certificate that is not known, a proxy's own page. */

const CERTIFICATES: Record<string, string> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'its authority is not known here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its authority is not known here, or the server leaves out its chain',
  UNABLE_TO_GET_ISSUER_CERT: 'its authority is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its authority is not known here',
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not valid yet: is the clock right?',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for another name',
};
const UNKNOWN_AUTHORITY = /^(its authority|it is signed)/;

const CONNECTIONS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there: is Switchyard running?',
  ENOTFOUND: 'that name is not known',
  EAI_AGAIN: 'that name can not be looked up now',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  EHOSTUNREACH: 'no way leads there',
  ENETUNREACH: 'no way leads there',
  ETIMEDOUT: 'nobody answered in time',
  UND_ERR_CONNECT_TIMEOUT: 'nobody answered in time',
  UND_ERR_HEADERS_TIMEOUT: 'nobody answered in time',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS: should it be http://?',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS: should it be http://?',
  EPROTO: 'it does not speak TLS as we do: should it be http://?',
};

/** The code of the fault below all others that has one. */
function codeOf(fault: unknown): string | undefined {
  const { code, cause, errors } = fault as { code?: unknown; cause?: unknown; errors?: unknown[] };
  const below = cause ?? errors?.[0];
  return (below === undefined ? undefined : codeOf(below)) ?? (typeof code === 'string' ? code : undefined);
}

/** @param url where it was asked @param fault what fetch() threw */
export function explainFetchFault(url: string, fault: unknown): string {
  const { origin } = new URL(url);
  if ((fault as Error).name === 'TimeoutError') return `Switchyard does not answer: ${origin} took too long.`;
  const code = codeOf(fault);
  const certificate = CERTIFICATES[code ?? ''];
  if (certificate !== undefined) {
    const cure = UNKNOWN_AUTHORITY.test(certificate) ? ': name the authority’s file in NODE_EXTRA_CA_CERTS' : '';
    return `The certificate of ${origin} is not believed (${code}): ${certificate}${cure}.`;
  }
  const why = CONNECTIONS[code ?? ''] ?? (code || (fault as Error).message);
  return `Switchyard does not answer at ${origin}: ${why}${/[?.]$/.test(why) ? '' : '.'}`;
}

const TITLE = /<(title|h1)[^>]*>([^<]{1,100})/i;

/** What answered is no JSON of ours: a proxy's own page, or something else altogether. */
export function explainForeignAnswer(o: {
  url: string;
  status: number;
  type: string | null;
  server: string | null;
  text: string;
}): string {
  const { origin } = new URL(o.url);
  const said = (TITLE.exec(o.text)?.[2] ?? o.text).replace(/\s+/g, ' ').trim().slice(0, 100);
  const who = o.server ? `${o.server} at ${origin}` : origin;
  const quote = said ? `, which says "${said}"` : '';
  if ([502, 503, 504].includes(o.status))
    return `${who} can not reach Switchyard: it answers ${o.status} itself${quote}. Is a replica running behind it?`;
  return `What answers at ${who} is not Switchyard's API: ${o.status}, ${o.type ?? 'of no type'}${quote}. Is the URL right?`;
}
