/** Reads and writes just enough SIP for a phone that registers, answers and calls: no library, so that the demo needs nothing. */

export interface SipMessage {
  /** "INVITE sip:…  SIP/2.0" or "SIP/2.0 200 OK". */
  readonly start: string;
  /** Names in lower case, short forms written out; in the order they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

const SHORT: Record<string, string> = { v: 'via', f: 'from', t: 'to', i: 'call-id', m: 'contact', l: 'content-length' };

/** @returns undefined for what is not SIP, such as a keep-alive. */
export function parseSip(text: string): SipMessage | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [start, ...lines] = text
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  if (!start?.includes('SIP/2.0')) return undefined;
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    return [SHORT[name] ?? name, line.slice(colon + 1).trim()] as const;
  });
  return { start, headers, body: text.slice(end + 4) };
}

export function headerOf(message: SipMessage, name: string): string | undefined {
  return message.headers.find(([n]) => n === name)?.[1];
}

/** The status of an answer; NaN for a request. */
export const statusOf = (message: SipMessage): number => Number(message.start.split(' ')[1]);

/** The method of a request. */
export const methodOf = (message: SipMessage): string => message.start.split(' ')[0]!;

/** The tag in a From or To; empty where there is none yet. */
export const tagOf = (header: string | undefined): string => /;tag=([^;>\s]+)/.exec(header ?? '')?.[1] ?? '';

/** Where requests to its sender go. */
export const contactOf = (message: SipMessage): string | undefined =>
  /<([^>]+)>/.exec(headerOf(message, 'contact') ?? '')?.[1];

/** An answer to `request`: it repeats what ties the two together. */
export function formatAnswer(
  request: SipMessage,
  status: string,
  o: { toTag: string; headers?: string[]; body?: string },
): string {
  const kept = request.headers
    .filter(([name]) => ['via', 'from', 'to', 'call-id', 'cseq', 'record-route'].includes(name))
    .map(([name, value]) =>
      name === 'to' && !/;tag=/.test(value) ? `To: ${value};tag=${o.toTag}` : `${name}: ${value}`,
    );
  return join([`SIP/2.0 ${status}`, ...kept, ...(o.headers ?? [])], o.body ?? '');
}

/** A request of our own. */
export function formatRequest(start: string, headers: string[], body = ''): string {
  return join([start, 'Max-Forwards: 70', ...headers], body);
}

function join(lines: string[], body: string): string {
  return [...lines, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
}
