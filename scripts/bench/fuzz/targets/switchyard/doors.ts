/** The doors for nodes over HTTP: questions, call records, recordings and images, with and without a password. */
import * as fc from 'fast-check';
import { anyText, inUrl } from '../../grammar/text';
import { formPlans, writeForm } from '../../grammar/node-form';
import { nastyJson } from '../../grammar/json';
import { callApi, make, type Surroundings } from '../../cluster';
import { defineAsyncTarget, must, type Target } from '../../target';
import { mustBeInert } from '../node/answers';

const ID = '0198c0de-0000-7000-8000-000000000001';
const SLOW_MS = 3000;

/** Waits for Postgres as everybody does. */
async function ask(
  at: Surroundings,
  url: string,
  o: { method?: string; body: string | Uint8Array; type: string; authorization?: string },
): Promise<{ status: number; text: string }> {
  const basic = `Basic ${Buffer.from(`${at.node.name}:${at.node.password}`).toString('base64')}`;
  const from = performance.now();
  const response = await fetch(url, {
    method: o.method ?? 'POST',
    headers: { authorization: o.authorization ?? basic, 'content-type': o.type },
    body: o.method === 'GET' ? undefined : o.body,
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  const tookMs = performance.now() - from;
  must(tookMs < SLOW_MS, () => `${Math.round(tookMs)} ms for ${url}`);
  return { status: response.status, text };
}

/** Names that are hostile where they may be; a locked room and one with a PIN. */
export async function openXmlTarget(at: Surroundings): Promise<Target> {
  const domain = 'doors.test';
  await make(at, '/v1/domains', { name: domain });
  const names = ['${system(touch x)}', '$${base_dir}', '"><x/>', 'my x-pre-process name', '&#36;{x}', 'Zoë 王'];
  for (const [i, displayName] of names.entries()) {
    await make(at, '/v1/users', { domain, username: `u${i}`, password: 'Kah7oo-ngeiX2', displayName });
  }
  const rooms = [
    await make(at, '/v1/rooms', { domain, name: 'ward' }),
    await make(at, '/v1/rooms', { domain, name: 'secret', pin: '4711' }),
  ];
  const calls = [await make(at, '/v1/calls', { domain, from: 'user:u0', to: 'user:u1', callerName: names[0] })];
  const ids = [...rooms, ...calls].map(({ id }) => String(id));
  const known = {
    domains: [domain, 'none.test'],
    users: [...names.map((_, i) => `u${i}`), 'ward', 'secret', '9196', 'nobody'],
    ids: [...ids, ID, `${ID}.${ids[0]}`],
    tokens: ['eyJjIjoiYSJ9.x', 'a.b.c'],
  };
  return defineAsyncTarget({
    name: 'xml-door',
    holds: 'a node that asks anything is answered with inert XML, or refused below 500',
    perBatch: 300,
    inputs: formPlans(known),
    async check(plan) {
      const before = at.errors.length;
      const type = 'application/x-www-form-urlencoded';
      const { status, text } = await ask(at, at.node.xmlUrl, { body: writeForm(plan), type });
      must(status < 500, () => `${status} ${text} ${at.errors.slice(before).join('').slice(0, 2000)}`);
      if (status !== 200) return `refused ${status}`;
      mustBeInert(text);
      return /section name="(\w+)"/.exec(text)?.[1] ?? 'answered';
    },
  });
}

/** Call records are JSON that a node makes up; the other doors take files. */
export function openDoorsTarget(at: Surroundings): Promise<Target> {
  const value = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom('"NORMAL_CLEARING"', '"1790000000"', '"0"', '"1790000000000000"', `"${ID}"`),
    },
    { weight: 2, arbitrary: nastyJson },
  );
  const names = (
    'uuid switchyard_call_id hangup_cause answer_uepoch bridge_uepoch end_uepoch start_uepoch progress_uepoch ' +
    'originate_disposition switchyard_leg switchyard_refused billsec duration direction sip_term_status'
  ).split(' ');
  const cdr = fc
    .tuple(
      fc.array(
        fc.tuple(
          fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, { weight: 1, arbitrary: anyText }),
          value,
        ),
        { maxLength: 12 },
      ),
      nastyJson,
    )
    .map(
      ([pairs, flow]) =>
        `{"core-uuid":"x","variables":{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${v}`).join(',')}},"callflow":${flow}}`,
    );
  const authorization = fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: anyText.map((text) => `Basic ${Buffer.from(text).toString('base64')}`) },
    { weight: 1, arbitrary: fc.constantFrom('', 'Basic', 'Basic !!!', 'Bearer x', 'Basic Og==') },
  );
  const path = fc.oneof(
    { weight: 5, arbitrary: fc.constant('/freeswitch/cdr') },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        `/freeswitch/recordings/${ID}`,
        `/freeswitch/images/${ID}`,
        '/freeswitch/xml',
        '/freeswitch/',
      ),
    },
    { weight: 2, arbitrary: anyText.map((text) => `/freeswitch/recordings/${ID}?token=${inUrl(text)}`) },
    { weight: 1, arbitrary: anyText.map((text) => `/freeswitch/xml?host=${inUrl(text)}&esl=1&sip=1&internode=1&ws=1`) },
    { weight: 1, arbitrary: anyText.map((text) => `/freeswitch/images/${ID}?token=${inUrl(text)}`) },
  );
  const target = defineAsyncTarget({
    name: 'doors',
    holds: 'what a node, or who says to be one, sends to our doors is taken or refused, and never a fault of ours',
    perBatch: 300,
    inputs: fc.record({
      path,
      method: fc.constantFrom('POST', 'POST', 'POST', 'PUT', 'GET', 'DELETE'),
      body: fc.oneof(
        { weight: 6, arbitrary: cdr },
        { weight: 1, arbitrary: nastyJson },
        { weight: 1, arbitrary: anyText.map((t) => `cdr=${inUrl(t)}`) },
      ),
      type: fc.constantFrom('application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'),
      authorization,
    }),
    async check(input) {
      const before = at.errors.length;
      const { status, text } = await ask(at, `${at.url}${input.path}`, input);
      must(
        status < 500,
        () => `${input.method} ${input.path}: ${status} ${text} ${at.errors.slice(before).join('').slice(0, 2000)}`,
      );
      return `${input.path.split('?')[0]!.split('/')[2]} ${status}`;
    },
  });
  return callApi(at, 'GET', '/healthz').then(() => target);
}
