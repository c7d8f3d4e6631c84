/** Asks for users, plans and configuration as mod_xml_curl does: a form by POST, the node's own credentials. */
import { Agent, request } from 'node:http';
import { parseDocument, type Element } from '../../src/freeswitch/xml/document';

/** Shared by all simulated nodes: a thousand of them must not keep a thousand idle sockets. */
const agent = new Agent({ keepAlive: true, maxSockets: 64, maxFreeSockets: 16 });

export interface PostOptions {
  url: string;
  name: string;
  password: string;
  body: string;
  contentType: string;
  userAgent: string;
  timeoutMs: number;
}

/** @returns status 0 where nobody answered in time */
export function post(o: PostOptions): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const body = Buffer.from(o.body);
    const call = request(
      o.url,
      {
        method: 'POST',
        agent,
        headers: {
          Authorization: `Basic ${Buffer.from(`${o.name}:${o.password}`).toString('base64')}`,
          'User-Agent': o.userAgent,
          'Content-Type': o.contentType,
          'Content-Length': body.length,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          clearTimeout(deadline);
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
        });
        response.on('error', () => resolve({ status: 0, body: '' }));
      },
    );
    const deadline = setTimeout(() => call.destroy(new Error('no answer in time')), o.timeoutMs);
    call.on('error', () => {
      clearTimeout(deadline);
      resolve({ status: 0, body: '' });
    });
    call.end(body);
  });
}

/** FreeSWITCH drops every line that holds `<?`, and with it what stands behind a prolog. */
export function readAnswer(text: string): Element | undefined {
  const kept = text
    .split('\n')
    .filter((line) => !line.includes('<?'))
    .join('\n');
  try {
    const section = child(parseDocument(kept), 'section');
    if (!section || child(section, 'result')?.attributes?.status === 'not found') return undefined;
    return section;
  } catch {
    return undefined;
  }
}

export function child(from: Element | undefined, name: string): Element | undefined {
  return from?.children?.find((c) => c.name === name);
}

export function childrenOf(from: Element | undefined, name: string): Element[] {
  return from?.children?.filter((c) => c.name === name) ?? [];
}

/** `<param name value>` or `<variable name value>` lists as a record. */
export function pairs(from: Element | undefined, name: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const one of childrenOf(from, name)) {
    const key = one.attributes?.name;
    if (key !== undefined) found[String(key)] = String(one.attributes?.value ?? '');
  }
  return found;
}
