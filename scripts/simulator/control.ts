/** A small HTTP control on loopback, so that a demo, a bench or a person can give simulated nodes phones and faults. */
import { createServer, type IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { SimulatedNode, SimulatedPhone } from './node';

const behaviour = z.strictObject({
  answerAfterMs: z.number().int().min(0).optional(),
  busy: z.boolean().optional(),
  reject: z.boolean().optional(),
  ringOnly: z.boolean().optional(),
  status: z.number().int().min(400).max(699).optional(),
  gone: z.enum(['refused', 'silent']).optional(),
  hangupAfterMs: z.number().int().min(0).optional(),
  talks: z
    .union([z.literal(true), z.strictObject({ forMs: z.number().min(1), pauseMs: z.number().min(1) })])
    .optional(),
  video: z.boolean().optional(),
  digits: z.array(z.string()).optional(),
});
const phone = z.strictObject({
  node: z.string().optional(),
  username: z.string().min(1),
  domain: z.string().min(1),
  password: z.string().optional(),
  ha1: z.string().optional(),
  expiresSeconds: z.number().int().min(1).optional(),
  behaviour: behaviour.optional(),
});
const dial = z.strictObject({
  number: z.string().min(1),
  callerName: z.string().optional(),
  hangupAfterMs: z.number().int().min(0).optional(),
  talks: behaviour.shape.talks,
  video: z.boolean().optional(),
  digits: z.array(z.string()).optional(),
});
const fault = z.strictObject({
  count: z.number().int().min(0).default(1),
  cause: z.string().default('NORMAL_TEMPORARY_FAILURE'),
  ms: z.number().int().min(0).default(0),
  silent: z.boolean().default(true),
});

const MAX_BODY_BYTES = 64 * 1024;

interface Answer {
  status: number;
  body: unknown;
}

export interface Control {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * POST /phones {node, username, domain, password, behaviour} or /nodes/{name}/phones ·
 * POST /nodes/{name}/phones/{id}/dial {number} · DELETE /nodes/{name}/phones/{id} ·
 * POST /nodes/{name}/faults/{freeze,thaw,drop,refuse,delay,silence,lose,fill-disk,stall,kill,restart} · GET /nodes
 */
export async function openControl(nodes: SimulatedNode[], port: number): Promise<Control> {
  const phones = new Map<string, SimulatedPhone>();
  const server = createServer((request, response) => {
    void answerTo(request)
      .catch((error: unknown) => ({ status: 422, body: { detail: error instanceof Error ? error.message : 'failed' } }))
      .then(({ status, body }) => {
        response.writeHead(status, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify(body));
      });
  });

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    // A page in a browser can post here as well: it can't do so with this type, nor under our name.
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? '')) return { status: 403, body: {} };
    const [first, name, kind, id, verb] = new URL(request.url ?? '/', 'http://localhost').pathname.split('/').slice(1);
    if (request.method === 'GET' && first === 'nodes' && !name) return { status: 200, body: nodes.map(describe) };
    const body = request.method === 'POST' ? await readBody(request) : {};
    if (request.method === 'POST' && first === 'phones' && !name) return addPhone(body, undefined);
    const node = nodes.find((n) => n.name === name);
    if (first !== 'nodes' || !node) return { status: 404, body: { detail: 'no such node' } };
    if (kind === 'faults' && request.method === 'POST') return applyFault(node, id ?? '', fault.parse(body));
    if (kind !== 'phones') return { status: 404, body: {} };
    if (!id && request.method === 'POST') return addPhone(body, node);
    const found = phones.get(id ?? '');
    if (!found) return { status: 404, body: { detail: 'no such phone' } };
    if (request.method === 'DELETE') {
      found.unregister();
      phones.delete(found.id);
      return { status: 200, body: {} };
    }
    if (verb !== 'dial' || request.method !== 'POST') return { status: 404, body: {} };
    const asked = dial.parse(body);
    return { status: 201, body: { channelId: found.dial(asked.number, asked).channelId } };
  }

  async function addPhone(body: unknown, at: SimulatedNode | undefined): Promise<Answer> {
    const { node: wanted, ...options } = phone.parse(body);
    const node = at ?? nodes.find((n) => n.name === wanted);
    if (!node) return { status: 404, body: { detail: 'no such node' } };
    const made = await node.registerPhone(options);
    phones.set(made.id, made);
    return { status: 201, body: { id: made.id, node: node.name, username: made.username, domain: made.domain } };
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function describe(node: SimulatedNode): Record<string, unknown> {
  if (!node.isRunning) return { name: node.name, running: false };
  return { name: node.name, running: true, eslPort: node.eslPort, channels: node.channelCount, phones: node.phones() };
}

async function applyFault(node: SimulatedNode, name: string, o: z.output<typeof fault>): Promise<Answer> {
  const apply: Record<string, () => void | Promise<void>> = {
    freeze: () => node.faults.freeze(),
    thaw: () => node.faults.thaw(),
    drop: () => node.faults.drop(),
    refuse: () => node.faults.refuse(o.count, o.cause),
    delay: () => node.faults.delayReplies(o.ms),
    lose: () => node.faults.loseCommands(o.count),
    'fill-disk': () => node.faults.fillDisk(o.silent),
    stall: () => node.faults.stallRecordings(o.silent),
    silence: () => node.faults.silenceHeartbeats(o.silent),
    kill: () => node.kill(),
    restart: () => node.restart(),
  };
  const run = Object.hasOwn(apply, name) ? apply[name] : undefined;
  if (!run) return { status: 404, body: { detail: `faults are ${Object.keys(apply).join(', ')}` } };
  await run();
  return { status: 200, body: describe(node) };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const type = request.headers['content-type'];
  const hasBody = request.headers['content-length'] !== '0' && request.headers['content-length'] !== undefined;
  if ((type !== undefined || hasBody) && !/^application\/json\b/.test(type ?? ''))
    throw new Error('send application/json');
  if (request.headers.origin !== undefined) throw new Error('pages of a browser are not served');
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > MAX_BODY_BYTES) throw new Error('the body is too large');
  }
  return text === '' ? {} : (JSON.parse(text) as unknown);
}
